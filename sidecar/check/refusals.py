"""What the check answers if it lets nobody in: one reply for each reason.

Owns: the form of each refusal: a redirect to sign in for a page load, a page if a person will look at it,
JSON for everything else; and the memory of those that come often.
Doesn't belong here: when to refuse (check.py), counting (tally.py).
"""

from collections.abc import Callable, Iterable

from sidecar.access.identity_headers import NO_HANDLE
from sidecar.access.policy import Decision, Principal
from sidecar.errors import DuplicateCookies
from sidecar.recent import Recent
from sidecar.replies.pages import Pages
from sidecar.replies.reply import Header, Reply, json_reply, redirect
from sidecar.replies.words import explain
from sidecar.request.forwarded import Target
from sidecar.request.return_to import Destinations
from sidecar.settings import Settings

_REMEMBERED_HOSTS = 1000
_REMEMBERED = 200  # of either kind
_LONGEST_REMEMBERED = 1024  # characters of a URI: with its page and its bytes on the wire 17 kB


class Refusals:
    """The refusals of one configuration.

    `deletions`: for a path, the `Set-Cookie` values that delete every session cookie sent there.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        pages: Pages,
        destinations: Destinations,
        deletions: Callable[[str], list[str]],
    ) -> None:
        self._destinations = destinations
        self._deletions = deletions
        # A 401 must carry a challenge (RFC 9110 section 15.5.2); browsers ignore schemes they don't know.
        self._challenge = (b"www-authenticate", b'Cookie realm="%b"' % settings.public_host.encode())
        self._sign_in_first: Recent[str, Reply] = Recent(_REMEMBERED_HOSTS)
        self._redirects: Recent[tuple[str, str], tuple[int, Reply]] = Recent(_REMEMBERED)
        self._forbidden: Recent[tuple[Principal, str, str, str], Reply] = Recent(_REMEMBERED)
        self._forbidden_page = pages.prepared("forbidden", "handle", "did", "host", "login_url", "reason")
        self._not_delivered_page = pages.prepared("not_delivered", "host", "login_url")
        self._error_page = pages.prepared("check_error", "heading", "message", "code")

    def sign_in_required(self, target: Target, now: float) -> Reply:
        """No live session."""
        if target.navigation:
            return self._to_sign_in(target, int(now))
        if target.page:
            login_url = self._destinations.login_for(target)
            return self._not_delivered_page.reply(
                401, [self._challenge], host=target.host, login_url=login_url
            )
        reply = self._sign_in_first.get(target.host)
        if reply is None:
            refusal = {
                "error": "sign_in_required",
                "message": "Sign in, then send the request again.",
                "login_url": self._destinations.login_for_host(target.host),
            }
            reply = json_reply(401, refusal, [self._challenge])
            self._sign_in_first.add(target.host, reply)
        return reply

    def _to_sign_in(self, target: Target, second: int) -> Reply:
        asked = (target.host, target.uri)
        known = self._redirects.get(asked)
        if known is not None and known[0] == second:
            return known[1]
        reply = redirect(302, self._destinations.login_for(target, checked=second))
        if len(target.uri) <= _LONGEST_REMEMBERED:
            self._redirects.add(asked, (second, reply))
        return reply

    def forbidden(self, who: Principal, decision: Decision) -> Reply:
        """The rules refuse this person; for clients that show no page."""
        return json_reply(403, {"error": "forbidden", "reason": decision.reason, "did": who.did})

    def forbidden_page(self, target: Target, who: Principal, decision: Decision) -> Reply:
        """The same for a person who looks at it: who they are, and a way to use another account."""
        asked = (who, decision.reason, target.host, target.uri)
        reply = self._forbidden.get(asked)
        if reply is None:
            reply = self._forbidden_page.reply(
                403,
                handle=who.handle or NO_HANDLE,
                did=who.did,
                host=target.host,
                login_url=self._destinations.login_for(target, switch=True),
                reason=decision.reason,
            )
            if len(target.uri) <= _LONGEST_REMEMBERED:
                self._forbidden.add(asked, reply)
        return reply

    def foreign_websocket(self, target: Target) -> Reply:
        """A page of another origin opened the WebSocket."""
        return json_reply(
            403, {"error": "foreign_websocket", "message": f"This socket is for pages of {target.host}."}
        )

    def unknown_host(self, target: Target) -> Reply:
        """No app has this host."""
        message = (
            "The sign-in gate has no rule for this site, so it lets nobody in. Its set-up is incomplete. "
            "If you run it, add the host to an [apps] table."
        )
        return self._error(target, 403, "unknown_host", "Not set up", message)

    def pages_missing(self, target: Target) -> Reply:
        """Caddy doesn't send our own pages to us, so nobody can sign in."""
        message = (
            "The sign-in page of this site can't be reached. That is a mistake in the site's setup, not "
            "yours. If you run it, add the line `import atproto-pages` to the site "
            f"{target.host} in your Caddyfile."
        )
        return self._error(target, 500, "pages_missing", "The sign-in page is missing", message)

    def duplicate_cookies(self, target: Target) -> Reply:
        """Two session cookies, one of which somebody else must have planted: both are deleted."""
        words = explain(DuplicateCookies())
        deletions = [(b"set-cookie", each.encode()) for each in self._deletions(target.uri)]
        return self._error(target, words.status, words.code, words.title, words.message, deletions)

    def unavailable(self, target: Target) -> Reply:
        """Sign-outs can't be learned, so nobody is known to be signed in."""
        message = (
            "The sign-in gate can't tell who is signed in right now. The fault is on this site. "
            "Try again in a moment."
        )
        return self._error(
            target, 503, "store_unavailable", "Try again soon", message, [(b"retry-after", b"5")]
        )

    def unreadable(self, reason: str) -> Reply:
        """The forwarded headers don't describe exactly one request."""
        message = (
            "The sign-in gate can't read this request. The fault is in the request, or in the site's set-up. "
            "If you run the site, look at your Caddyfile."
        )
        return json_reply(400, {"error": reason, "message": message})

    def _error(
        self,
        target: Target,
        status: int,
        code: str,
        title: str,
        message: str,
        headers: Iterable[Header] = (),
    ) -> Reply:
        if target.navigation or target.page:
            return self._error_page.reply(status, headers, heading=title, message=message, code=code)
        return json_reply(status, {"error": code, "message": message}, headers)
