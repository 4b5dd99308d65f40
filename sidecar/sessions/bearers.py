"""Who brings a request: from its Cookie header to a live session, or the reason why there is none.

Owns: the one call that the check makes, and the memory of recent cookies. Only verified cookies are
remembered. The age of the session, sign-outs and the handle are looked at again every time. No I/O.
Doesn't belong here: what the cookie says (cookie.py), which cookies go on to the app (cookie_line.py),
sign-outs and handles (feed.py), who may pass (access/).
"""

from typing import Any, Literal, NamedTuple

from sidecar.access.policy import Principal
from sidecar.errors import DuplicateCookies
from sidecar.recent import Recent
from sidecar.sessions import cookie_line
from sidecar.sessions.cookie import Session, Sessions, principal
from sidecar.sessions.feed import Feed
from sidecar.settings import Settings
from sidecar.store import HandleFact

_HEADERS, _LONGEST_HEADER = 4000, 1024  # remembered headers, and bytes of one: 16 MB with their replies


class Nobody(NamedTuple):
    """No live session, and why. `session`: the one that is over, if it is expired or revoked."""

    why: Literal["none", "duplicate", "forged", "expired", "revoked", "unknown"]
    session: Session | None = None


NONE = Nobody("none")  # no session cookie
DUPLICATE = Nobody("duplicate")  # two of them: somebody else must have planted one
FORGED = Nobody("forged")  # not signed by us
UNKNOWN = Nobody("unknown")  # sign-outs can't be learned


class Bearer:
    """Somebody with a live session. The object stays the same while nothing of it changes.

    `who`: as the rules see them. `fact`: what the feed knows of their handle. `due`: the cookie is old enough
    to be renewed. `decided`: for the check, what it decided about this bearer, by host.
    """

    __slots__ = ("_until", "decided", "due", "fact", "session", "who")

    def __init__(
        self, session: Session, fact: HandleFact | None, who: Principal, until: float, *, due: bool
    ) -> None:
        self.session = session
        self.who = who
        self.due = due
        self.decided: dict[str, Any] = {}
        self.fact = fact
        self._until = until

    def stands(self, feed: Feed, now: float) -> bool:
        """Whether neither time nor news from the feed has changed anything."""
        session = self.session
        return (
            now < self._until
            and not feed.ended(session.id, session.did, session.signed_in_at)
            and feed.handle_fact(session.did) is self.fact
        )


class Brought:
    """What the Cookie headers of a request bring; the same object each time, while its bearer stands.

    `cookies`: the line for the app, b"" if there are none. `verdict`, `reply`: for the check, its last allow
    to this header.
    """

    __slots__ = ("bearer", "cookies", "reply", "verdict")

    def __init__(self, bearer: Bearer, cookies: bytes) -> None:
        self.bearer = bearer
        self.cookies = cookies
        self.verdict: Any = None
        self.reply: Any = None


class Bearers:
    """Tells who brings a request, under one configuration. One per process."""

    def __init__(self, settings: Settings, *, sessions: Sessions, feed: Feed) -> None:
        self._handle_max_age = settings.identity.handle_max_age
        self._sessions = sessions
        self._feed = feed
        self._by_header: Recent[bytes, Brought] = Recent(_HEADERS)
        self._by_value: Recent[bytes, Bearer] = Recent(settings.limits.cached_cookies)

    def __len__(self) -> int:
        """How many verified cookies are remembered."""
        return len(self._by_value)

    def of(self, cookies: list[bytes], now: float) -> Brought | Nobody:
        """`cookies`: the value of each Cookie header."""
        feed = self._feed
        if not feed.usable(now):
            return UNKNOWN
        if len(cookies) == 1:
            brought = self._by_header.get(cookies[0])
            if brought is not None and brought.bearer.stands(feed, now):
                return brought
        try:
            value = self._sessions.find(cookies)
        except DuplicateCookies:
            return DUPLICATE
        if value is None:
            return NONE
        bearer = self._of_value(value, now)
        return bearer if isinstance(bearer, Nobody) else self._brought(bearer, cookies, value)

    def has_seen(self, cookie_header: bytes) -> bool:
        """Whether this very header came lately, with one session cookie of ours in it."""
        return self._by_header.get(cookie_header) is not None

    def _of_value(self, value: bytes, now: float) -> Bearer | Nobody:
        known = self._by_value.get(value)
        if known is None or not known.stands(self._feed, now):
            session = known.session if known is not None else self._sessions.verify(value)
            if session is None:
                return FORGED
            if self._feed.ended(session.id, session.did, session.signed_in_at):
                return Nobody("revoked", session)
            if not self._sessions.alive(session, now):
                return Nobody("expired", session)
            known = self._bearer(session, now)
            self._by_value.add(value, known)
        return known

    def _brought(self, bearer: Bearer, cookies: list[bytes], value: bytes) -> Brought:
        brought = Brought(bearer, cookie_line.for_app(cookies, self._sessions.assigned + value))
        if len(cookies) == 1 and len(cookies[0]) <= _LONGEST_HEADER:
            self._by_header.add(cookies[0], brought)
        return brought

    def _bearer(self, session: Session, now: float) -> Bearer:
        fact = self._feed.handle_fact(session.did)
        who = principal(session, fact, now=now, max_age=self._handle_max_age)
        until = self._sessions.unchanged_until(session, fact, now, handle_max_age=self._handle_max_age)
        return Bearer(session, fact, who, until, due=self._sessions.due(session, now))
