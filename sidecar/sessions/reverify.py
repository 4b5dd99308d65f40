"""Asks again, in the background, about the people who are here: which handle they have, and whether their
account still stands.

Owns: who was seen lately, when they are due, one worker at a time, patience with servers that fail.
Doesn't belong here: the questions themselves (atproto.identity), what the answers open (sessions/,
access/policy.py).

A handle verified longer ago than `handle_max_age` opens nothing. An account that was taken down or
deactivated is out within `standing_max_age`. So people are asked about at half of the shorter one. If a
server fails, that isn't an answer: what was known stays until it is too old.
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
AT_ONCE = 4
MOST_SEEN = 100_000
_LEASE = ("lease", b"reverify")
_LEASE_TIME = 300.0  # seconds; a worker that died gives it up by this
_LAST_QUESTION = 60.0  # seconds before the lease ends: what is asked by then is answered within it
_FIRST_PAUSE = 300.0  # seconds before a failed DID is asked about again; doubles up to an eighth of max_age


class Reverifier:
    """`verified_handle`: the handle that holds both ways, or None. `lost_standing`: why the account isn't
    active any more, or None. Both raise AtprotoError if nobody can say.

    `max_age`: seconds, the shorter of the two ages. `retention`: seconds for which facts and ended accounts
    are kept in the store: as long as any session lives.
    """

    def __init__(
        self,
        store: Store,
        feed: Feed,
        verified_handle: Callable[[str], Awaitable[str | None]],
        lost_standing: Callable[[str], Awaitable[str | None]],
        *,
        max_age: float,
        retention: float,
        now: Callable[[], float] = time.time,
        every: float = _EVERY,
    ) -> None:
        self._store = store
        self._feed = feed
        self._verified_handle = verified_handle
        self._lost_standing = lost_standing
        self._max_age = max_age
        self._retention = retention
        self._now = now
        self._every = every
        self.waiting: set[str] = set()
        self.pauses: dict[str, tuple[float, float]] = {}  # DID → (not before, length of the pause)
        self._working: asyncio.Task[None] | None = None

    def follow(self, *, max_age: float, retention: float) -> None:
        """Ask at these ages from the next round on."""
        self._max_age, self._retention = max_age, retention

    def seen(self, did: str) -> None:
        """Remember that someone is here. Called by every check of somebody signed in."""
        if did not in self.waiting and len(self.waiting) < MOST_SEEN:
            self.waiting.add(did)

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
        due = {did for did in self.waiting if self._is_due(did, now)}
        self.waiting &= due
        if not due or not await self._store.put(*_LEASE, b"", expires=now + _LEASE_TIME, if_absent=True):
            return
        try:
            await self.ask_all(due, now + _LEASE_TIME - _LAST_QUESTION)
        finally:
            await self._store.delete(*_LEASE)

    async def ask_all(self, due: set[str], until: float) -> None:
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
                for _ in range(min(AT_ONCE, len(due))):
                    group.create_task(ask_in_turn())
        except* StoreUnavailable as faults:
            fault = faults.exceptions[0]
        if fault is not None:
            raise fault
        await self._feed.catch_up()

    async def _ask(self, did: str) -> None:
        asked_at = self._now()
        if not await self._ask_both(did, asked_at):
            self.pause(did, asked_at)
            return
        self.pauses.pop(did, None)
        self.waiting.discard(did)

    async def _ask_both(self, did: str, asked_at: float) -> bool:
        """Whether there were answers. Raises StoreUnavailable."""
        expires = asked_at + self._retention
        try:
            handle = await self._verified_handle(did)
            await self._store.record_handle(did, handle, verified_at=asked_at, expires=expires)
            reason = await self._lost_standing(did)
        except AtprotoError as error:
            details = {"event": error.code, "did": did, "reason": str(error)[:300]}
            log.info("account not re-verified", extra=details)
            return False
        except StoreUnavailable:
            raise
        except Exception:  # a mistake of ours about one person must not end the round for all the others
            log.exception("account not re-verified", extra={"event": "reverify_failed", "did": did})
            return False
        if reason is not None:
            await self._feed.revoke_account(did, before=asked_at, expires=expires)
            log.info("account ended", extra={"event": "account_ended", "did": did, "reason": reason})
        return True

    def pause(self, did: str, now: float) -> None:
        _, length = self.pauses.get(did, (0.0, _FIRST_PAUSE / 2))
        longer = min(2 * length, max(_FIRST_PAUSE, self._max_age / 8))
        if len(self.pauses) >= MOST_SEEN:
            self.pauses.clear()
        self.pauses[did] = (now + longer, longer)

    def _is_due(self, did: str, now: float) -> bool:
        fact = self._feed.handle_fact(did)
        if did in self.pauses:  # a question is open, though the other may have been answered
            return now >= self.pauses[did][0]
        return fact is None or not -CLOCK_AHEAD <= now - fact.verified_at < self._max_age / 2
