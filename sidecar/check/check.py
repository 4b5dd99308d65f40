"""The forward-auth check: Caddy asks about every request, this answers. The hot path.

Owns: one pass from request headers to a reply, in memory only: no I/O, no framework, no log line of its own.
Doesn't belong here: reading the headers (request/forwarded.py), who brings them (sessions/bearers.py), the
rules (access/policy.py), the replies that refuse (refusals.py).

An allow is a 200 with the mark, the identity headers and the Cookie line for the app. Refusals are values; a
fault is an exception, which the gate answers with 500. Neither ever becomes an allow or a sign-in loop.
Nothing is read from the check's own path, query or Host.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from sidecar.access.identity_headers import SIGNED_IN, identity_headers
from sidecar.access.policy import Decision, Policy, Principal
from sidecar.check.refusals import Refusals
from sidecar.check.renewals import Renewals
from sidecar.check.tally import Tally
from sidecar.replies.reply import Reply, redirect
from sidecar.request import forwarded
from sidecar.request.forwarded import Target, Unreadable
from sidecar.sessions.bearers import DUPLICATE, FORGED, NONE, UNKNOWN, Bearers, Brought, Nobody
from sidecar.sessions.cookie import Sessions
from sidecar.settings import Settings

Headers = Iterable[tuple[bytes, bytes]]

_NOTHING = (b"content-length", b"0")
_MOST_HOSTS = 64  # whose decision is remembered for one bearer


class Check:
    """Answers checks under one configuration. One per process. `seen` is called with each bearer's DID."""

    def __init__(
        self,
        settings: Settings,
        *,
        policy: Policy,
        sessions: Sessions,
        bearers: Bearers,
        refusals: Refusals,
        tally: Tally,
        seen: Callable[[str], None],
        now: Callable[[], float],
    ) -> None:
        self._scheme = settings.scheme
        self._public_host = settings.public_host
        self._pages = settings.prefix + "/"
        self._policy = policy
        self._sessions = sessions
        self._bearers = bearers
        self._refusals = refusals
        self.tally = tally
        self.seen = seen
        self._now = now
        self.redirected = Renewals()
        self.offered = Renewals()

    def answer(self, headers: Headers) -> Reply:
        """The reply to one check. `headers`: as ASGI has them, names in lower case."""
        try:
            target = forwarded.read(headers)
        except Unreadable as error:
            self.tally.refused("", error.reason, "", "")
            return self._refusals.unreadable(error.reason)
        return self.answer_for(target)

    def has_seen(self, cookies: bytes) -> bool:
        """Whether this very Cookie header came lately, with one session cookie in it."""
        return self._bearers.has_seen(cookies)

    def answer_for(self, target: Target) -> Reply:
        """The reply to a check whose headers have been read."""
        now = self._now()
        brought = self._bearers.of(target.cookies, now)
        if isinstance(brought, Nobody):
            return self._nobody(target, brought, now)
        bearer = brought.bearer
        verdict: _Verdict | None = bearer.decided.get(target.host)
        if verdict is None or bearer.due or target.websocket_origin:
            return self._judge(target, brought, now)
        return self._repeat(target, brought, verdict)

    def _repeat(self, target: Target, brought: Brought, verdict: "_Verdict") -> Reply:
        session = brought.bearer.session
        self.seen(session.did)
        decision = verdict.decision
        if decision.allowed:
            self.tally.allowed[decision.app] += 1
            return brought.reply if brought.verdict is verdict else _let_in(brought, verdict)
        self.tally.refused(decision.app, decision.reason, session.did, session.id)
        if self._asks_about_our_pages(target):
            return self._refusals.pages_missing(target)
        if target.navigation or target.page:
            return self._refusals.forbidden_page(target, brought.bearer.who, decision)
        return verdict.reply

    def _judge(self, target: Target, brought: Brought, now: float) -> Reply:
        """The long way: the rules, a WebSocket's origin, renewal."""
        bearer = brought.bearer
        decision = self._policy.decide(bearer.who, target.host)
        if not decision.app:
            return self._unknown_host(target)
        if decision.allowed:
            if target.websocket_origin and target.websocket_origin != f"{self._scheme}://{target.host}":
                session = bearer.session
                self.tally.refused(decision.app, "foreign_websocket", session.did, session.id)
                return self._refusals.foreign_websocket(target)
            offers = self.redirected if target.renewable else self.offered
            if bearer.due and offers.offer(bearer.session.id, now):
                return self._renewed(target, brought, now)
        reply = _allowed(bearer.who) if decision.allowed else self._refusals.forbidden(bearer.who, decision)
        verdict = _Verdict(reply, decision)
        if len(bearer.decided) >= _MOST_HOSTS:
            bearer.decided.clear()
        bearer.decided[target.host] = verdict
        return self._repeat(target, brought, verdict)

    def _renewed(self, target: Target, brought: Brought, now: float) -> Reply:
        """A page load is redirected to itself with the new cookie, which plain forward_auth drops from a 200.

        Other requests get theirs with the 200, for the Caddyfile that copies it.
        """
        bearer = brought.bearer
        session = self._sessions.renewed(bearer.session, bearer.fact, now)
        cookie = (b"set-cookie", self._sessions.cookie(session, now).encode())
        if target.renewable:
            return redirect(302, f"{self._scheme}://{target.host}{target.uri}", [cookie])
        return _with_cookies(_allowed(bearer.who, cookie), brought.cookies)

    def _nobody(self, target: Target, nobody: Nobody, now: float) -> Reply:
        if nobody is UNKNOWN:
            return self._refusals.unavailable(target)
        app = self._policy.app_for(target.host)
        if nobody is DUPLICATE:
            self.tally.refused(app or "", "duplicate_cookies", "", "")
            return self._refusals.duplicate_cookies(target)
        if self._asks_about_our_pages(target):
            self.tally.refused(app or "", "pages_missing", "", "")
            return self._refusals.pages_missing(target)
        if app is None:
            return self._unknown_host(target)
        if nobody is NONE:
            self.tally.missing(app)
        elif nobody is FORGED:
            self.tally.forged(app)
        elif nobody.session is not None:
            self.tally.refused(app, nobody.why, nobody.session.did, nobody.session.id)
        return self._refusals.sign_in_required(target, now)

    def _asks_about_our_pages(self, target: Target) -> bool:
        """Caddy should have sent this to us instead of asking about it. A redirect there would be a loop."""
        path = target.uri.partition("?")[0] + "/"
        return target.host == self._public_host and path.startswith(self._pages)

    def _unknown_host(self, target: Target) -> Reply:
        self.tally.refused("", "unknown_host", "", "")
        return self._refusals.unknown_host(target)


class _Verdict(NamedTuple):
    """A decision about a bearer on a host.

    `reply`: the answer to a request without cookies for the app, unless a person will look at a refusal.
    """

    reply: Reply
    decision: Decision


def _let_in(brought: Brought, verdict: _Verdict) -> Reply:
    """The allow for this Cookie header, kept with it for the next time on the same host."""
    reply = _with_cookies(verdict.reply, brought.cookies)
    brought.verdict, brought.reply = verdict, reply
    return reply


def _with_cookies(allowed: Reply, cookies: bytes) -> Reply:
    """If none are left the name isn't sent, and Caddy deletes the header on its way to the app."""
    return allowed.with_header(b"cookie", cookies) if cookies else allowed


def _allowed(who: Principal, *more: tuple[bytes, bytes]) -> Reply:
    return Reply(200, [SIGNED_IN, *identity_headers(who), *more, _NOTHING], b"")
