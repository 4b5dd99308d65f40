"""The public words for whatever went wrong.

Owns: the words for errors of our own side, and which words an error gets.
Doesn't belong here: the words for other people's servers (server_words.py), markup (pages.py, templates/).

The words say what happened, whose fault it is, and what to do now. If a server refused, its own words are
shown beside them, as a quotation. Everything else that a stranger's server says goes to the log only.
"""

from typing import NamedTuple

from sidecar import errors
from sidecar.atproto import errors as atproto
from sidecar.replies.server_words import READ, WORDS, Action, Words


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


_WORDS: dict[type[BaseException], Words] = {
    **WORDS,
    # our own side
    errors.SignInExpired: Words(
        400,
        "Sign-in expired or already used",
        "A sign-in can be finished once, within fifteen minutes. This one is over; your account is fine. "
        "Start again: it takes a moment.",
    ),
    errors.OtherBrowser: Words(
        400,
        "Another browser",
        "This sign-in was started in another browser or app, or your browser has lost its cookies. "
        "To protect you, it can't be finished here. Go back to where you started, or start again here.",
    ),
    errors.CookiesOff: Words(
        400,
        "Cookies are off",
        "Your browser didn't keep this site's cookie. Without it you can't be signed in. "
        "Allow cookies for this site, then try again.",
        "try_again",
    ),
    errors.DuplicateCookies: Words(
        400,
        "Two sessions at once",
        "Your browser sent two session cookies, so this site can't tell which one is yours. "
        "Another site next to this one may have set one of them. "
        "Both have been deleted: load the page again. If this comes back, clear the cookies of this site.",
    ),
    errors.LoopDetected: Words(
        508,
        "Going in circles",
        "You are signed in here, but the page you want doesn't get your session cookie. "
        "Most often this site's cookie domain is set up wrong, or your browser blocks cookies. "
        "Try the steps below.",
    ),
    errors.TooManyRequests: Words(
        429,
        "Too many tries",
        "There were many sign-ins from your network just now. They may not have been yours. "
        "Wait a little, and try again.",
        "try_again",
    ),
    errors.Busy: Words(
        429,
        "Busy",
        "Very many people are signing in on this site at this moment. You did nothing wrong. "
        "Wait a few seconds, and try again.",
        "try_again",
    ),
    errors.CrossSiteRequest: Words(
        403,
        "Sent from another site",
        "Another site sent this form, and this site doesn't accept that. If you wanted it, nothing is lost. "
        "Open the page here and send the form again.",
    ),
    errors.RequestTooLarge: Words(
        413,
        "Too large",
        "Your browser sent more than this site accepts. Too many cookies are the usual cause. "
        "Clear this site's cookies, and try again.",
        "none",
    ),
    errors.RequestTooSlow: Words(
        408,
        "Sent too slowly",
        "Your browser began to send a form, and the rest of it didn't arrive in time. "
        "Your connection is the usual cause. Go back, and send the form again.",
    ),
    errors.BadRequest: Words(
        400,
        "This can't be read",
        "What your browser sent can't be read. The fault may be in a program or an extension on your side. "
        "Start again from the sign-in page.",
    ),
    errors.UntrustedPeer: Words(
        403,
        "Not set up yet",
        "The sign-in gate doesn't know the server that passed your request on, so it lets nobody in. "
        "The fault is in this site's set-up, not yours. If you run the site, add the address that "
        "the sidecar's log names to server.trusted_peers.",
        "none",
    ),
    errors.StoreUnavailable: Words(
        503,
        "Try again soon",
        "Nobody can be signed in right now. The fault is on this site; your account is fine. "
        "Try again in a moment.",
        "try_again",
    ),
    errors.StoreFull: Words(
        503,
        "Too busy",
        "Too many people are signing in on this site. You did nothing wrong. Try again in a few minutes.",
        "try_again",
    ),
}
_STATUSES = {
    400: (
        "bad_request",
        Words(
            400,
            "This can't be read",
            "The address can't be read. The link that you followed may be damaged. Start again.",
        ),
    ),
    404: (
        "not_found",
        Words(
            404,
            "Page not found",
            "There is nothing at this address. The link that you followed may be wrong. "
            "Go on from your account's page.",
            "home",
        ),
    ),
    405: (
        "method_not_allowed",
        Words(
            405,
            "Not possible here",
            "Nothing can be sent to this address. The page that sent it may be wrong. "
            "Go on from your account's page.",
            "home",
        ),
    ),
    421: (
        "misdirected",
        Words(
            421,
            "Wrong address",
            "Forms work only at this site's own public address, and this one came elsewhere. "
            "This site's set-up may be wrong. Start again there.",
        ),
    ),
}
_FAULT = Words(
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
            code = str(getattr(error, "code", "error"))
            said = error.said if isinstance(error, atproto.Refusal) else ""
            return _explanation(code, _read(error, _WORDS[each]))._replace(said=said)
    return _explanation("internal_error", _FAULT)


def _read(error: BaseException, words: Words) -> Words:
    """Put what was typed, as this site read it, before the words: so a slip can be seen."""
    if not isinstance(error, atproto.InvalidIdentifier) or error.kind not in READ:
        return words
    return words._replace(message=f"{READ[error.kind].format(error.read)} {words.message}")


def _explanation(code: str, words: Words) -> Explanation:
    return Explanation(words.status, code, words.title, words.message, words.action)
