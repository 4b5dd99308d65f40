"""The forward-auth check: Caddy asks about every request, this answers. The hot path.

Owns: one pass from request headers to a reply, in memory only: no I/O, no framework, no log line of its own.
Doesn't belong here: reading the headers (forwarded.py), the rules (policy.py), what is known of sign-outs
(feed.py).

Refusals are values, each with its own reply; a fault is an exception, which the gate answers with 500.
Neither ever becomes an allow or a sign-in loop. Nothing is read from the check's own path, query or Host.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple
from urllib.parse import quote

from sidecar import forwarded
from sidecar.errors import DuplicateCookies
from sidecar.feed import Feed
from sidecar.forwarded import Target, Unreadable
from sidecar.identity_headers import NO_HANDLE, identity_headers
from sidecar.pages import Pages
from sidecar.policy import Decision, Policy, Principal
from sidecar.recent import Recent
from sidecar.replies import Explanation, Reply, explain, json_reply, redirect
from sidecar.sessions import Session, Sessions, principal
from sidecar.settings import Settings
from sidecar.store import HandleFact
from sidecar.tally import Tally

Headers = Iterable[tuple[bytes, bytes]]

_NOTHING = (b"content-length", b"0")
_RENEWAL_PAUSE = 60.0  # seconds before the same session is offered a renewed cookie again
_REMEMBERED_RENEWALS = 10_000
_REMEMBERED_HOSTS = 1000
_REMEMBERED_REFUSALS = 200  # of either kind
_LONGEST_REMEMBERED = 1024  # characters of a URI: with its page and its bytes on the wire 17 kB
_QUERY_SAFE = "/:?="  # as they are in a query's value (RFC 3986 section 3.4), which also keeps it readable


class Check:
    """Answers checks under one configuration. One per process."""

    def __init__(
        self,
        settings: Settings,
        *,
        policy: Policy,
        sessions: Sessions,
        feed: Feed,
        pages: Pages,
        tally: Tally,
        seen: Callable[[str], None],
        now: Callable[[], float],
    ) -> None:
        self._scheme = settings.scheme
        self._prefix = settings.prefix
        self._public_host = settings.public_host
        self._login_url = settings.base_url + "/login"
        self._handle_max_age = settings.identity.handle_max_age
        self._policy = policy
        self._sessions = sessions
        self._feed = feed
        self._tally = tally
        self._seen = seen
        self._now = now
        self._standing: Recent[tuple[bytes, str], _Standing] = Recent(settings.limits.cached_cookies)
        self._sign_in_first: Recent[str, Reply] = Recent(_REMEMBERED_HOSTS)
        self._redirects: Recent[tuple[str, str], Reply] = Recent(_REMEMBERED_REFUSALS)
        self._forbidden: Recent[tuple[Principal, str, str, str], Reply] = Recent(_REMEMBERED_REFUSALS)
        self._redirected = _Offered()
        self._offered = _Offered()
        self._forbidden_page = pages.prepared("forbidden", "handle", "did", "host", "login_url", "reason")
        self._not_delivered_page = pages.prepared("not_delivered", "host", "login_url")
        self._error_page = pages.prepared("check_error", "heading", "message", "code")

    def answer(self, headers: Headers) -> Reply:
        """The reply to one check. `headers`: as ASGI has them, names in lower case."""
        try:
            target = forwarded.read(headers)
        except Unreadable as error:
            return self._unreadable(error.reason)
        return self.answer_for(target)

    def has_seen(self, cookies: bytes) -> bool:
        """Whether this very Cookie header came lately, with one session cookie in it."""
        return self._sessions.has_seen(cookies)

    def answer_for(self, target: Target) -> Reply:
        """The reply to a check whose headers have been read."""
        now = self._now()
        if not self._feed.usable(now):
            return self._unavailable(target)
        try:
            value = self._sessions.find(target.cookies)
        except DuplicateCookies as error:
            return self._duplicate_cookies(target, explain(error))
        if value is None:
            return self._without_cookie(target)
        standing = self._standing.get((value, target.host))
        if standing is None or target.websocket_origin or not self._holds(standing, now):
            return self._judge(target, value, now)
        return self._repeat(target, standing)

    def _holds(self, standing: "_Standing", now: float) -> bool:
        return (
            now < standing.until
            and not self._feed.ended(standing.session_id, standing.who.did, standing.signed_in_at)
            and self._feed.handle_fact(standing.who.did) is standing.fact
        )

    def _repeat(self, target: Target, standing: "_Standing") -> Reply:
        decision, who = standing.decision, standing.who
        self._seen(who.did)
        if decision.allowed:
            return standing.reply
        self._tally.refused(decision.app, decision.reason, who.did, standing.session_id)
        if target.navigation or target.page:
            return self._no_access(target, who, decision)
        return standing.reply

    def _judge(self, target: Target, value: bytes, now: float) -> Reply:
        """The long way: signature, age, revocation, rules."""
        if not self._policy.knows(target.host):
            return self._unknown_host(target)
        session = self._sessions.verify(value)
        if session is None:
            self._tally.forged()
            return self._no_session(target)
        if self._feed.ended(session.id, session.did, session.signed_in_at):
            return self._over(target, session, "revoked")
        if not self._sessions.alive(session, now):
            return self._over(target, session, "expired")
        return self._signed_in(target, value, session, now)

    def _over(self, target: Target, session: Session, reason: str) -> Reply:
        self._tally.refused(self._policy.app_for(target.host) or "", reason, session.did, session.id)
        return self._no_session(target)

    def _without_cookie(self, target: Target) -> Reply:
        if not self._policy.knows(target.host):
            return self._unknown_host(target)
        self._tally.missing()
        return self._no_session(target)

    def _signed_in(self, target: Target, value: bytes, session: Session, now: float) -> Reply:
        fact = self._feed.handle_fact(session.did)
        who = principal(session, fact, now=now, max_age=self._handle_max_age)
        decision = self._policy.decide(who, target.host)
        until = self._sessions.unchanged_until(session, fact, now, handle_max_age=self._handle_max_age)
        reply = _allowed(who) if decision.allowed else _refused(who, decision)
        standing = _Standing(reply, session.id, session.signed_in_at, who, decision, fact, until)
        if decision.allowed:
            if target.websocket_origin and target.websocket_origin != f"{self._scheme}://{target.host}":
                return self._foreign_websocket(target, session, decision)
            if self._sessions.due(session, now):
                offers = self._redirected if target.renewable else self._offered
                if offers.offer(session.id, now):
                    return self._renewed(target, self._sessions.renewed(session, fact, now), who, now)
        self._standing.add((value, target.host), standing)
        return self._repeat(target, standing)

    def _renewed(self, target: Target, session: Session, who: Principal, now: float) -> Reply:
        """A page load is redirected to itself with the new cookie, which plain forward_auth would drop from
        a 200.

        Other requests get theirs with the 200, for the Caddyfile that copies it.
        """
        cookie = (b"set-cookie", self._sessions.cookie(session, now).encode())
        if target.renewable:
            return redirect(302, f"{self._scheme}://{target.host}{target.uri}", [cookie])
        return _allowed(who, cookie)

    # refusals, one each

    def _no_session(self, target: Target) -> Reply:
        if target.navigation:
            return self._to_sign_in(target)
        if target.page:
            login_url = self._login(target)
            return self._not_delivered_page.reply(
                401, [self._challenge()], host=target.host, login_url=login_url
            )
        reply = self._sign_in_first.get(target.host)
        if reply is None:
            front_page = quote(f"{self._scheme}://{target.host}/", safe=_QUERY_SAFE)
            refusal = {
                "error": "sign_in_required",
                "message": "Sign in, then send the request again.",
                "login_url": f"{self._login_url}?return_to={front_page}",
            }
            reply = json_reply(401, refusal, [self._challenge()])
            self._sign_in_first.add(target.host, reply)
        return reply

    def _to_sign_in(self, target: Target) -> Reply:
        asked = (target.host, target.uri)
        reply = self._redirects.get(asked)
        if reply is None:
            reply = redirect(302, self._login(target))
            if len(target.uri) <= _LONGEST_REMEMBERED:
                self._redirects.add(asked, reply)
        return reply

    def _no_access(self, target: Target, who: Principal, decision: Decision) -> Reply:
        asked = (who, decision.reason, target.host, target.uri)
        reply = self._forbidden.get(asked)
        if reply is None:
            reply = self._forbidden_page.reply(
                403,
                handle=who.handle or NO_HANDLE,
                did=who.did,
                host=target.host,
                login_url=self._login(target, switch=True),
                reason=decision.reason,
            )
            if len(target.uri) <= _LONGEST_REMEMBERED:
                self._forbidden.add(asked, reply)
        return reply

    def _foreign_websocket(self, target: Target, session: Session, decision: Decision) -> Reply:
        self._tally.refused(decision.app, "foreign_websocket", session.did, session.id)
        return json_reply(
            403, {"error": "foreign_websocket", "message": f"This socket is for pages of {target.host}."}
        )

    def _unknown_host(self, target: Target) -> Reply:
        self._tally.refused("", "unknown_host", "", "")
        message = (
            "The sign-in gate has no rule for this site. If you run it, add the host to an [apps] table."
        )
        return self._error(target, 403, "unknown_host", "Not set up", message)

    def _duplicate_cookies(self, target: Target, words: Explanation) -> Reply:
        self._tally.refused(self._policy.app_for(target.host) or "", words.code, "", "")
        deletions = [(b"set-cookie", each.encode()) for each in self._sessions.deletions(target.uri)]
        return self._error(target, words.status, words.code, words.title, words.message, deletions)

    def _unavailable(self, target: Target) -> Reply:
        message = "The sign-in gate can't tell who is signed in right now. Try again in a moment."
        return self._error(
            target, 503, "store_unavailable", "Try again soon", message, [(b"retry-after", b"5")]
        )

    def _unreadable(self, reason: str) -> Reply:
        self._tally.refused("", reason, "", "")
        message = "The sign-in gate can't read this request. If you run it, look at your Caddyfile."
        return json_reply(400, {"error": reason, "message": message})

    def _error(
        self,
        target: Target,
        status: int,
        code: str,
        title: str,
        message: str,
        headers: Iterable[tuple[bytes, bytes]] = (),
    ) -> Reply:
        if target.navigation or target.page:
            return self._error_page.reply(status, headers, heading=title, message=message, code=code)
        return json_reply(status, {"error": code, "message": message}, headers)

    def _login(self, target: Target, *, switch: bool = False) -> str:
        """Address of the sign-in page that leads back to the page asked for."""
        return_to, shortened = forwarded.return_to(
            target, scheme=self._scheme, prefix=self._prefix, public_host=self._public_host
        )
        flags = ("&switch=1" if switch else "") + ("&shortened=1" if shortened else "")
        return f"{self._login_url}?return_to={quote(return_to, safe=_QUERY_SAFE)}{flags}"

    def _challenge(self) -> tuple[bytes, bytes]:
        """A 401 must carry one (RFC 9110 section 15.5.2); browsers pass over schemes they don't know."""
        return (b"www-authenticate", b'Cookie realm="%b"' % self._public_host.encode())


class _Standing(NamedTuple):
    """A decision and what it rests on. It stands until `until`, unless the session is revoked or the fact
    replaced.

    `reply`: the answer, but for refusals that a person will look at.
    """

    reply: Reply
    session_id: str
    signed_in_at: int
    who: Principal
    decision: Decision
    fact: HandleFact | None
    until: float


def _allowed(who: Principal, *more: tuple[bytes, bytes]) -> Reply:
    return Reply(200, [*identity_headers(who), *more, _NOTHING], b"")


def _refused(who: Principal, decision: Decision) -> Reply:
    return json_reply(403, {"error": "forbidden", "reason": decision.reason, "did": who.did})


class _Offered:
    """Whom this process offered a renewed cookie in the last minute: a browser that refuses it is not asked
    again.
    """

    def __init__(self) -> None:
        self._since = 0.0
        self._recent: set[str] = set()
        self._before: set[str] = set()

    def offer(self, session_id: str, now: float) -> bool:
        """True once per session in any minute. Past the bound nobody is offered one until the minute is
        over.
        """
        if not 0 <= now - self._since < _RENEWAL_PAUSE:
            stale = not 0 <= now - self._since < 2 * _RENEWAL_PAUSE
            self._before = set() if stale else self._recent
            self._recent = set()
            self._since = now
        if (
            session_id in self._recent
            or session_id in self._before
            or len(self._recent) >= _REMEMBERED_RENEWALS
        ):
            return False
        self._recent.add(session_id)
        return True
