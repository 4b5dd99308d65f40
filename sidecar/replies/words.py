"""The public words for whatever went wrong.

Owns: one table from error class to status, code, title, message and what the page offers next.
Doesn't belong here: markup (pages.py, templates/), how a reply is put together (reply.py), who gets which.

The words say what happened, whose fault it is, and what to do now. What a stranger's server said goes to the
log only.
"""

from typing import Literal, NamedTuple

from sidecar import errors
from sidecar.atproto import errors as atproto

# What a page offers: the same again, another name, a new sign-in, that or another account, home, nothing
Action = Literal["try_again", "retype", "start_again", "other_account", "home", "none"]


class Explanation(NamedTuple):
    """What a person is told. `code` is stable, to be searched for."""

    status: int
    code: str
    title: str
    message: str
    action: Action


class _Words(NamedTuple):
    status: int
    title: str
    message: str
    action: Action = "start_again"


_WORDS: dict[type[BaseException], _Words] = {
    # what was typed
    atproto.InvalidIdentifier: _Words(
        400,
        "That isn't a handle",
        "Type one like alice.bsky.social, or a DID, or your server's address.",
        "retype",
    ),
    # who that is
    atproto.HandleNotFound: _Words(
        404,
        "Handle not found",
        "No account has this handle. Check the spelling; a handle has a dot in it, like alice.bsky.social.",
        "retype",
    ),
    atproto.HandleMismatch: _Words(
        409,
        "Handle doesn't match its account",
        "The handle points to an account that doesn't claim it. "
        "If it is yours, mend it in your account's settings, or sign in with your DID.",
        "retype",
    ),
    atproto.DidNotFound: _Words(
        404, "Account gone", "This account's identity no longer exists, or was never registered.", "retype"
    ),
    atproto.UnsupportedDidMethod: _Words(
        400, "Unknown kind of DID", "Only did:plc and did:web can sign in here.", "retype"
    ),
    atproto.IdentityError: _Words(
        502,
        "Account can't be read",
        "The account's public record doesn't name a server that we could ask.",
        "retype",
    ),
    # the servers
    atproto.RequestRefused: _Words(
        503,
        "Your server turned us away",
        "It, or a filter in front of it, refuses this site. That often passes: try again in a while.",
        "try_again",
    ),
    atproto.HostNotFound: _Words(
        503,
        "Server not found",
        "A server that this sign-in needs has no address right now. "
        "If you typed it yourself, check the spelling; otherwise try again in a moment.",
        "try_again",
    ),
    atproto.CertificateExpired: _Words(
        503,
        "Your server's certificate has expired",
        "So this site can't be sure which server answers. The server's operator has to renew it. "
        "Your account is fine: try again when that is done.",
        "try_again",
    ),
    atproto.CertificateForAnotherName: _Words(
        503,
        "Your server's certificate is for another name",
        "So this site can't be sure which server answers. Check the spelling of what you typed. "
        "If it is right, the server's operator has to get a certificate for its name. Then try again.",
        "try_again",
    ),
    atproto.CertificateFromUnknownIssuer: _Words(
        503,
        "Your server's certificate has an unknown issuer",
        "So this site can't be sure which server answers. The server's operator has to use "
        "a certificate that the public trusts, and to send its whole chain. Then try again.",
        "try_again",
    ),
    atproto.CertificateRefused: _Words(
        503,
        "Your server's certificate isn't valid",
        "So this site can't be sure which server answers. The server's operator has to fix it. "
        "Then try again. If you run this site, the log says what is wrong.",
        "try_again",
    ),
    atproto.ServerUnreachable: _Words(
        503,
        "Server can't be reached",
        "A server that knows this account didn't answer. Your account is fine: try again in a moment.",
        "try_again",
    ),
    atproto.ForbiddenAddress: _Words(
        400, "Not a public server", "The account's server has an address that this site doesn't connect to."
    ),
    atproto.FetchError: _Words(
        502, "Strange answer", "A server that knows this account gave an answer that we can't use."
    ),
    # the protocol
    atproto.InvalidServerMetadata: _Words(
        502, "Server can't be used", "The account's server breaks a rule that its operator has to mend."
    ),
    atproto.ClientRefused: _Words(
        502,
        "Your server refuses this site",
        "The account's server doesn't accept this site as a place to sign in to. "
        "If you run this site, `sidecar doctor` says why.",
    ),
    atproto.AuthorizationRefused: _Words(
        502,
        "Your server said no",
        "The account's server refused to go on. Start again; if that fails too, its operator can say why.",
    ),
    atproto.AccessDenied: _Words(
        403,
        "Sign-in was declined",
        "You, or your server for you, declined. Nothing was shared. "
        "You can start again, or use another account.",
        "other_account",
    ),
    atproto.WrongAccount: _Words(
        403,
        "That was another account",
        "You signed in as somebody else than you had typed. Start again with the account you want.",
        "other_account",
    ),
    atproto.IssuerMismatch: _Words(
        403,
        "The wrong server answered",
        "The answer came from a server that doesn't speak for this account. "
        "If you have just moved your account, start again.",
    ),
    atproto.InvalidCallback: _Words(
        400, "This link is incomplete", "The answer from your server arrived damaged. Start again."
    ),
    atproto.OAuthError: _Words(
        502, "Your server gave a strange answer", "The sign-in couldn't be finished. Start again."
    ),
    # our own side
    errors.SignInExpired: _Words(
        400,
        "Sign-in expired or already used",
        "A sign-in can be finished once, within fifteen minutes. Start again: it takes a moment.",
    ),
    errors.OtherBrowser: _Words(
        400,
        "Another browser",
        "This sign-in was started in another browser or app, or its cookies are gone. "
        "Go back to where you started, or start again here.",
    ),
    errors.CookiesOff: _Words(
        400,
        "Cookies are off",
        "Your browser didn't keep this site's cookie, and without it you can't be signed in. "
        "Allow cookies for this site, then try again.",
        "try_again",
    ),
    errors.DuplicateCookies: _Words(
        400,
        "Two sessions at once",
        "Your browser sent two session cookies, so we can't tell which is yours. Both have been deleted: "
        "load the page again. If this comes back, clear the cookies of this site.",
    ),
    errors.LoopDetected: _Words(
        508,
        "Going in circles",
        "You are signed in here, but the page you want doesn't see it: your session cookie doesn't reach it. "
        "Most often the site's cookie domain is set up wrong, or your browser blocks cookies.",
    ),
    errors.TooManyRequests: _Words(
        429,
        "Too many tries",
        "There were many sign-ins from your network just now. Wait a little, and try again.",
        "try_again",
    ),
    errors.Busy: _Words(
        429,
        "Busy",
        "Very many people are signing in at this moment. Wait a few seconds, and try again.",
        "try_again",
    ),
    errors.CrossSiteRequest: _Words(
        403, "Sent from another site", "This form works from its own page only. Open it and send it again."
    ),
    errors.RequestTooLarge: _Words(
        413,
        "Too large",
        "Your browser sent more than we need. Clearing this site's cookies may help.",
        "none",
    ),
    errors.BadRequest: _Words(
        400, "Can't be read", "What your browser sent can't be read. Start again from the sign-in page."
    ),
    errors.StoreUnavailable: _Words(
        503, "Try again soon", "This service has a fault and can't sign anyone in right now.", "try_again"
    ),
    errors.StoreFull: _Words(
        503, "Too busy", "Too many people are signing in. Try again in a few minutes.", "try_again"
    ),
}
# What was typed, as it was read: the page shows it, so that a slip can be seen.
_READ = {
    "word": "We read “{}”. It has no dot: write the whole handle.",
    "handle": "We read “{}” as a handle, but a handle isn't spelled so.",
    "did": "We read “{}” as a DID, but it isn't complete.",
    "email": "We read “{}” as an e-mail address. This site needs your handle.",
    "link": "We read “{}” as a link, but it doesn't lead to a person's profile or to a server.",
}
_STATUSES = {
    400: ("bad_request", _Words(400, "Can't be read", "This address can't be read. Start again.")),
    404: ("not_found", _Words(404, "Page not found", "There is nothing at this address.", "home")),
    405: ("method_not_allowed", _Words(405, "Not possible here", "This address takes no such form.", "home")),
    421: (
        "misdirected",
        _Words(421, "Wrong address", "Forms work only at this service's own public address. Start there."),
    ),
}
_FAULT = _Words(500, "Our fault", "Something went wrong here. Try again in a moment.", "try_again")


def explain(error: BaseException) -> Explanation:
    """The public side of an error: the words of its class or of the nearest one above it."""
    # starlette's HTTPException, by its attribute: the check's floor doesn't import starlette
    by_status = _STATUSES.get(getattr(error, "status_code", 0))
    if by_status is not None:
        return _explanation(*by_status)
    for each in type(error).__mro__:
        if each in _WORDS:
            return _explanation(str(getattr(error, "code", "error")), _read(error, _WORDS[each]))
    return _explanation("internal_error", _FAULT)


def _read(error: BaseException, words: _Words) -> _Words:
    if not isinstance(error, atproto.InvalidIdentifier) or error.kind not in _READ:
        return words
    return words._replace(message=f"{_READ[error.kind].format(error.read)} {words.message}")


def _explanation(code: str, words: _Words) -> Explanation:
    return Explanation(words.status, code, words.title, words.message, words.action)
