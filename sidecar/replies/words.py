"""The public words for whatever went wrong.

Owns: one table from error class to status, code, title, message and what the page offers next.
Doesn't belong here: markup (pages.py, templates/), how a reply is put together (reply.py), who gets which.

The words say what happened, whose fault it is, and what to do now. If a server refused, its own words are
shown beside them, as a quotation. Everything else that a stranger's server says goes to the log only.
"""

from typing import Literal, NamedTuple

from sidecar import errors
from sidecar.atproto import errors as atproto

# Which button the page offers. other_account: a new sign-in, or one with another account.
Action = Literal["try_again", "retype", "start_again", "other_account", "home", "none"]


class Explanation(NamedTuple):
    """What a person reads: what happened, whose fault it is, what to do now. `code` is stable.

    `said`: the words of the server that refused, one visible line; "" if there are none.
    """

    status: int
    code: str
    title: str
    message: str
    action: Action
    said: str = ""


class _Words(NamedTuple):
    status: int
    title: str
    message: str
    action: Action = "start_again"


_WORDS: dict[type[BaseException], _Words] = {
    # what was typed
    atproto.InvalidIdentifier: _Words(
        400,
        "This isn't a handle",
        "What you typed can't be read as the name of an account. There may be a typing mistake in it. "
        "Type a handle like alice.bsky.social, a DID, or the address of your server.",
        "retype",
    ),
    # who that is
    atproto.HandleNotFound: _Words(
        404,
        "Handle not found",
        "No account has the handle that you typed. There may be a typing mistake in it. "
        "Check the spelling: a handle has a dot in it, like alice.bsky.social.",
        "retype",
    ),
    atproto.HandleMismatch: _Words(
        409,
        "Handle doesn't match its account",
        "The handle points to an account, but that account doesn't name the handle. "
        "The mistake is in the settings of the account, not on this site. "
        "If it is yours, set the handle there again, or sign in with your DID.",
        "retype",
    ),
    atproto.DidNotFound: _Words(
        404,
        "Account gone",
        "This account's identity no longer exists, or was never registered. Nothing is wrong with this site. "
        "Check what you typed, or use another account.",
        "retype",
    ),
    atproto.UnsupportedDidMethod: _Words(
        400,
        "Unknown kind of DID",
        "You typed a DID of a kind that this site doesn't know. Only did:plc and did:web can sign in. "
        "Type your handle instead.",
        "retype",
    ),
    atproto.IdentityError: _Words(
        502,
        "Account can't be read",
        "The account's public record names no server that we could ask. "
        "The mistake is in that record, not on this site. "
        "Check what you typed; if it is right, ask the people who run your account's server.",
        "retype",
    ),
    # the servers
    atproto.RequestRefused: _Words(
        503,
        "Your server refuses to talk to us",
        "Your server, or a filter in front of it, refuses requests from this site. You did nothing wrong. "
        "This often passes: try again in a while.",
        "try_again",
    ),
    atproto.HostNotFound: _Words(
        503,
        "Server not found",
        "A server that this sign-in needs has no address right now. The fault may be in the name you typed, "
        "or at your server. Check the spelling, or try again in a moment.",
        "try_again",
    ),
    atproto.ServerUnreachable: _Words(
        503,
        "Server can't be reached",
        "A server that this sign-in needs didn't answer. The fault is there; your account is fine. "
        "Try again in a moment.",
        "try_again",
    ),
    atproto.ForbiddenAddress: _Words(
        400,
        "Not a public server",
        "The account's server has an address that isn't on the public internet. "
        "This site doesn't connect to such addresses. Check what you typed, or use another account.",
    ),
    atproto.FetchError: _Words(
        502,
        "Answer that can't be used",
        "A server that this sign-in needs gave an answer that we can't use. "
        "The fault is at that server, not on this site. "
        "Start again; if that fails too, tell the people who run your server.",
    ),
    # the protocol
    atproto.InvalidServerMetadata: _Words(
        502,
        "Your server can't be used here",
        "Your server breaks a rule that every sign-in needs. The fault is at your server, not on this site. "
        "Tell the people who run it, or use an account on another server.",
    ),
    atproto.ClientRefused: _Words(
        502,
        "Your server refuses this site",
        "Your server doesn't accept this site as a place to sign in to. "
        "The fault is most often on this site. "
        "Try again later. If you run this site, `sidecar doctor` says what to do.",
    ),
    atproto.AuthorizationRefused: _Words(
        502,
        "Your server said no",
        "Your server refused to go on with the sign-in. The reason is known there, not on this site. "
        "Start again; if that fails too, ask the people who run your server.",
    ),
    atproto.AccessDenied: _Words(
        403,
        "Sign-in was declined",
        "Your server says that the sign-in was declined, by you or by its own rules. Nothing was shared. "
        "Start again, or use another account.",
        "other_account",
    ),
    atproto.WrongAccount: _Words(
        403,
        "This was another account",
        "At your server you signed in with another account than the one you typed here. "
        "So nobody was signed in on this site. Start again with the account you want.",
        "other_account",
    ),
    atproto.IssuerMismatch: _Words(
        403,
        "The wrong server answered",
        "The answer came from a server that doesn't speak for this account. "
        "The fault is at that server, or your account has just moved. Start again.",
    ),
    atproto.InvalidCallback: _Words(
        400,
        "This link is incomplete",
        "The answer from your server arrived damaged. Your server sent it so, or the link was cut. "
        "Start again.",
    ),
    atproto.OAuthError: _Words(
        502,
        "Your server gave a wrong answer",
        "The sign-in couldn't be finished, because your server's answer breaks a rule. "
        "The fault is at your server, not on this site. Start again.",
    ),
    # our own side
    errors.SignInExpired: _Words(
        400,
        "Sign-in expired or already used",
        "A sign-in can be finished once, within fifteen minutes. This one is over; your account is fine. "
        "Start again: it takes a moment.",
    ),
    errors.OtherBrowser: _Words(
        400,
        "Another browser",
        "This sign-in was started in another browser or app, or your browser has lost its cookies. "
        "To protect you, it can't be finished here. Go back to where you started, or start again here.",
    ),
    errors.CookiesOff: _Words(
        400,
        "Cookies are off",
        "Your browser didn't keep this site's cookie. Without it you can't be signed in. "
        "Allow cookies for this site, then try again.",
        "try_again",
    ),
    errors.DuplicateCookies: _Words(
        400,
        "Two sessions at once",
        "Your browser sent two session cookies, so this site can't tell which one is yours. "
        "Another site next to this one may have set one of them. "
        "Both have been deleted: load the page again. If this comes back, clear the cookies of this site.",
    ),
    errors.LoopDetected: _Words(
        508,
        "Going in circles",
        "You are signed in here, but the page you want doesn't get your session cookie. "
        "Most often this site's cookie domain is set up wrong, or your browser blocks cookies. "
        "Try the steps below.",
    ),
    errors.TooManyRequests: _Words(
        429,
        "Too many tries",
        "There were many sign-ins from your network just now. They may not have been yours. "
        "Wait a little, and try again.",
        "try_again",
    ),
    errors.Busy: _Words(
        429,
        "Busy",
        "Very many people are signing in on this site at this moment. You did nothing wrong. "
        "Wait a few seconds, and try again.",
        "try_again",
    ),
    errors.CrossSiteRequest: _Words(
        403,
        "Sent from another site",
        "Another site sent this form, and this site doesn't accept that. If you wanted it, nothing is lost. "
        "Open the page here and send the form again.",
    ),
    errors.RequestTooLarge: _Words(
        413,
        "Too large",
        "Your browser sent more than this site accepts. Too many cookies are the usual cause. "
        "Clear this site's cookies, and try again.",
        "none",
    ),
    errors.BadRequest: _Words(
        400,
        "This can't be read",
        "What your browser sent can't be read. The fault may be in a program or an extension on your side. "
        "Start again from the sign-in page.",
    ),
    errors.StoreUnavailable: _Words(
        503,
        "Try again soon",
        "Nobody can be signed in right now. The fault is on this site; your account is fine. "
        "Try again in a moment.",
        "try_again",
    ),
    errors.StoreFull: _Words(
        503,
        "Too busy",
        "Too many people are signing in on this site. You did nothing wrong. Try again in a few minutes.",
        "try_again",
    ),
}
_STATUSES = {
    400: (
        "bad_request",
        _Words(
            400,
            "This can't be read",
            "The address can't be read. The link that you followed may be damaged. Start again.",
        ),
    ),
    404: (
        "not_found",
        _Words(
            404,
            "Page not found",
            "There is nothing at this address. The link that you followed may be wrong. "
            "Go on from your account's page.",
            "home",
        ),
    ),
    405: (
        "method_not_allowed",
        _Words(
            405,
            "Not possible here",
            "Nothing can be sent to this address. The page that sent it may be wrong. "
            "Go on from your account's page.",
            "home",
        ),
    ),
    421: (
        "misdirected",
        _Words(
            421,
            "Wrong address",
            "Forms work only at this site's own public address, and this one came elsewhere. "
            "This site's set-up may be wrong. Start again there.",
        ),
    ),
}
_FAULT = _Words(
    500,
    "Our fault",
    "Something went wrong on this site. You did nothing wrong. Try again in a moment.",
    "try_again",
)


def explain(error: BaseException) -> Explanation:
    """The public side of an error: the words of its class or of the nearest one above it."""
    # starlette's HTTPException, by its attribute: the check's floor doesn't import starlette
    by_status = _STATUSES.get(getattr(error, "status_code", 0))
    if by_status is not None:
        return _explanation(*by_status)
    for each in type(error).__mro__:
        if each in _WORDS:
            explanation = _explanation(str(getattr(error, "code", "error")), _WORDS[each])
            return (
                explanation._replace(said=error.said) if isinstance(error, atproto.Refusal) else explanation
            )
    return _explanation("internal_error", _FAULT)


def _explanation(code: str, words: _Words) -> Explanation:
    return Explanation(words.status, code, words.title, words.message, words.action)
