"""Who is at the door of our own pages.

Owns: reading a request of ours: the visitor's session (the store has the last word), their address, their
form.
Doesn't belong here: the check, which works from memory (check/check.py).
"""

import asyncio
from collections.abc import Callable
from urllib.parse import parse_qsl

from starlette.requests import Request

from sidecar.access.policy import Principal
from sidecar.errors import BadRequest, RequestTooLarge, RequestTooSlow
from sidecar.sessions.cookie import Session, Sessions, principal
from sidecar.sessions.feed import Feed
from sidecar.settings import Settings
from sidecar.store import Store

MAX_BODY = 16 * 1024
BODY_DEADLINE = 3.0  # seconds; less than server.stop_timeout, so that nobody's slow form delays a restart
_MAX_FIELDS = 16


class Visitors:
    """Tells who sent a request to one of our pages."""

    def __init__(
        self, settings: Settings, *, sessions: Sessions, store: Store, feed: Feed, now: Callable[[], float]
    ) -> None:
        self._handle_max_age = settings.identity.handle_max_age
        self._sessions = sessions
        self._store = store
        self._feed = feed
        self._now = now

    async def session(self, request: Request) -> Session | None:
        """The visitor's session, if it is alive. Raises DuplicateCookies, StoreUnavailable."""
        value = self._sessions.find(cookies(request))
        session = self._sessions.verify(value) if value is not None else None
        if session is None or not self._sessions.alive(session, self._now()):
            return None
        if self._feed.ended(session.id, session.did, session.signed_in_at):
            return None
        return None if await self._store.is_revoked(session.id) else session

    def principal(self, session: Session) -> Principal:
        """Who that is by now: a handle verified too long ago is none."""
        fact = self._feed.handle_fact(session.did)
        return principal(session, fact, now=self._now(), max_age=self._handle_max_age)


def cookies(request: Request) -> list[bytes]:
    """The value of each Cookie header."""
    return [value for name, value in request.scope["headers"] if name == b"cookie"]


def address(request: Request) -> str:
    """The visitor's address as Caddy gives it (`header_up X-Forwarded-For {client_ip}`), "" if it doesn't."""
    values = request.headers.getlist("x-forwarded-for")
    return values[0].strip() if len(values) == 1 else ""


async def form(request: Request) -> dict[str, str]:
    """The fields of a URL-encoded form. Raises BadRequest for anything else, otherwise as `body`."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise BadRequest("the form must be sent as application/x-www-form-urlencoded")
    return fields((await body(request)).decode("utf-8", "replace"))


async def body(request: Request) -> bytes:
    """All that was sent. Raises RequestTooLarge over 16 kB, RequestTooSlow if it isn't there in 4 seconds."""
    received = bytearray()
    try:
        async with asyncio.timeout(BODY_DEADLINE):
            async for chunk in request.stream():
                received += chunk
                if len(received) > MAX_BODY:
                    raise RequestTooLarge("the form is larger than 16 kB")
    except TimeoutError:
        raise RequestTooSlow(f"the form wasn't there within {BODY_DEADLINE:.0f} s") from None
    return bytes(received)


def fields(text: str) -> dict[str, str]:
    """URL-encoded fields, each at most once. Raises BadRequest."""
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=_MAX_FIELDS, errors="replace")
    except ValueError as error:
        raise BadRequest("too many fields") from error
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BadRequest("a field was sent twice")
    return found
