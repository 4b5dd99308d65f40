"""Asks again, in the background, which handles the people here have.

Owns: who was seen lately, when they are due, one worker at a time, patience with servers that fail.
Doesn't belong here: the question itself (atproto.identity), what the answer opens (sessions/,
access/policy.py).

A handle verified longer ago than `max_age` opens nothing, so people are asked about at half of it. If a
server fails, that isn't an answer: the old fact stays until it is too old.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from sidecar.atproto.errors import AtprotoError
from sidecar.errors import StoreUnavailable
from sidecar.sessions.feed import Feed
from sidecar.store import CLOCK_AHEAD, Store

log = logging.getLogger("sidecar")

_EVERY = 60.0  # seconds between rounds
_AT_ONCE = 4
_MOST_SEEN = 100_000
_LEASE = ("lease", b"reverify")
_LEASE_TIME = 300.0  # seconds; a worker that died gives it up by this
_LAST_QUESTION = 60.0  # seconds before the lease ends: what is asked by then is answered within it
_FIRST_PAUSE = 300.0  # seconds before a failed DID is asked about again; doubles up to an eighth of max_age


class Reverifier:
    """`verified_handle`: the handle that holds both ways, None for none, AtprotoError where nobody can say.

    `retention`: seconds for which a fact is kept in the store: as long as any session lives.
    """

    def __init__(
        self,
        store: Store,
        feed: Feed,
        verified_handle: Callable[[str], Awaitable[str | None]],
        *,
        max_age: float,
        retention: float,
        now: Callable[[], float] = time.time,
        every: float = _EVERY,
    ) -> None:
        self._store = store
        self._feed = feed
        self._verified_handle = verified_handle
        self._max_age = max_age
        self._retention = retention
        self._now = now
        self._every = every
        self._seen: set[str] = set()
        self._pauses: dict[str, tuple[float, float]] = {}  # DID → (not before, length of the pause)
        self._working: asyncio.Task[None] | None = None

    def seen(self, did: str) -> None:
        """Remember that someone is here. Called by every check of somebody signed in."""
        if did not in self._seen and len(self._seen) < _MOST_SEEN:
            self._seen.add(did)

    async def start(self) -> None:
        self._working = asyncio.create_task(self._work())

    async def stop(self) -> None:
        if self._working is not None:
            self._working.cancel()
            with suppress(asyncio.CancelledError):
                await self._working
            self._working = None

    async def _work(self) -> None:
        while True:
            await asyncio.sleep(self._every)
            try:
                await self.round()
            except StoreUnavailable as error:
                log.warning("handles not re-verified", extra={"event": error.code, "reason": str(error)})
            except Exception:
                log.exception("re-verification failed", extra={"event": "reverify_failed"})

    async def round(self) -> None:
        """Ask about everyone due, unless another worker is at it. Raises StoreUnavailable."""
        now = self._now()
        due = {did for did in self._seen if self._is_due(did, now)}
        self._seen &= due
        if not due or not await self._store.put(*_LEASE, b"", expires=now + _LEASE_TIME, if_absent=True):
            return
        try:
            await self._ask_all(due, now + _LEASE_TIME - _LAST_QUESTION)
        finally:
            await self._store.delete(*_LEASE)

    async def _ask_all(self, due: set[str], until: float) -> None:
        """Everyone due, a few at once; who isn't reached while the lease lasts stays due."""
        waiting = iter(due)

        async def ask_in_turn() -> None:
            for did in waiting:
                if self._now() >= until:
                    return
                await self._ask(did)

        fault: BaseException | None = None
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(_AT_ONCE, len(due))):
                    group.create_task(ask_in_turn())
        except* StoreUnavailable as faults:
            fault = faults.exceptions[0]
        if fault is not None:
            raise fault
        await self._feed.catch_up()

    async def _ask(self, did: str) -> None:
        asked_at = self._now()
        try:
            handle = await self._verified_handle(did)
        except AtprotoError as error:
            self._pause(did, asked_at)
            log.info(
                "handle not re-verified", extra={"event": error.code, "did": did, "reason": str(error)[:300]}
            )
            return
        except Exception:  # a mistake of ours about one person must not end the round for all the others
            self._pause(did, asked_at)
            log.exception("handle not re-verified", extra={"event": "reverify_failed", "did": did})
            return
        await self._store.record_handle(did, handle, verified_at=asked_at, expires=asked_at + self._retention)
        self._pauses.pop(did, None)
        self._seen.discard(did)

    def _pause(self, did: str, now: float) -> None:
        _, length = self._pauses.get(did, (0.0, _FIRST_PAUSE / 2))
        longer = min(2 * length, max(_FIRST_PAUSE, self._max_age / 8))
        if len(self._pauses) >= _MOST_SEEN:
            self._pauses.clear()
        self._pauses[did] = (now + longer, longer)

    def _is_due(self, did: str, now: float) -> bool:
        fact = self._feed.handle_fact(did)
        not_before, _ = self._pauses.get(did, (0.0, 0.0))
        fresh = fact is not None and -CLOCK_AHEAD <= now - fact.verified_at < self._max_age / 2
        return now >= not_before and not fresh
