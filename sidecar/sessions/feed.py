"""What this process knows of sign-outs and handles: the store's feed, followed into memory.

Owns: the copy in memory that the check reads without I/O, and how fresh it is.
Doesn't belong here: writing to the feed (store/), what a fact means for a session (sessions/).

A revocation costs about 75 bytes: the last 60 bits of its random id in one set, and a place in the list of
the day on which it may be forgotten. Two ids of a million share them once in a million million times, and
then somebody has to sign in again.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress

from sidecar.errors import StoreUnavailable
from sidecar.store import FeedEntry, HandleFact, Revocation, Store

log = logging.getLogger("sidecar")

_DAY = 86400
_PAGE = 5_000  # entries; few enough that the event loop isn't held up for long
_TIDY_EVERY = 3600.0  # seconds
_BACK = 5.0  # seconds that a clock may be set back without our noticing


class Feed:
    """Follows one store. `max_stale`: seconds without word from the store after which nothing is known any
    more.
    """

    def __init__(
        self, store: Store, *, max_stale: float, now: Callable[[], float] = time.time, interval: float = 1.0
    ) -> None:
        self._store = store
        self._max_stale = max_stale
        self._now = now
        self._interval = interval
        self._seq = 0
        self._heard_at: float | None = None
        self._tidied_at = 0.0
        self._revoked: set[int] = set()
        self._forgettable: dict[int, list[int]] = {}
        self._facts: dict[str, HandleFact] = {}
        self._catching_up = asyncio.Lock()
        self._following: asyncio.Task[None] | None = None
        self._silent = False

    # what the check asks

    def usable(self, now: float) -> bool:
        """Whether sign-outs are known well enough to let anyone in.

        A clock that was set back can't say how long ago we heard: until we hear again, nothing is known.
        """
        return self._heard_at is not None and -_BACK < now - self._heard_at < self._max_stale

    def revoked(self, session_id: str) -> bool:
        """Whether the session was ended early. `session_id`: 32 hex digits."""
        return bool(self._revoked) and _key(session_id) in self._revoked

    def handle_fact(self, did: str) -> HandleFact | None:
        """What was last learned of the DID's handle."""
        return self._facts.get(did)

    # following

    async def start(self) -> None:
        """Learn everything, then follow. Where the store is down, go on trying; until then nothing is
        usable.
        """
        await self._try()
        self._following = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        if self._following is not None:
            self._following.cancel()
            with suppress(asyncio.CancelledError):
                await self._following
            self._following = None

    async def catch_up(self) -> None:
        """Learn what is new, now. Raises StoreUnavailable."""
        async with self._catching_up:
            started = self._now()
            while True:
                entries = await self._store.feed(self._seq, limit=_PAGE)
                for entry in entries:
                    self.apply(entry)
                    self._seq = entry.seq
                if len(entries) < _PAGE:
                    break
            self._heard_at = started
            self._tidy(started)

    def apply(self, entry: FeedEntry) -> None:
        """Take one entry in at once, for the process that caused it."""
        if isinstance(entry, HandleFact):
            known = self._facts.get(entry.did)
            if known is None or known.seq < entry.seq:
                self._facts[entry.did] = entry
            return
        key = _key(entry.session_id)
        if key not in self._revoked:
            self._revoked.add(key)
            self._forgettable.setdefault(_last_day(entry), []).append(key)

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            await self._try()

    async def _try(self) -> None:
        try:
            if self._heard_at is None:
                await self._store.open()
            await self.catch_up()
        except StoreUnavailable as error:
            if not self._silent:
                log.warning("sign-outs can't be followed", extra={"event": error.code, "reason": str(error)})
            self._silent = True
        except Exception:
            log.exception("following the store failed", extra={"event": "feed_failed"})
        else:
            if self._silent:
                log.info("sign-outs are followed again", extra={"event": "store_back"})
            self._silent = False

    def _tidy(self, now: float) -> None:
        """Forget what has expired: whole days of revocations, single facts."""
        if now - self._tidied_at < _TIDY_EVERY:
            return
        self._tidied_at = now
        for day in [day for day in self._forgettable if day * _DAY < now]:
            self._revoked.difference_update(self._forgettable.pop(day))
        for did in [did for did, fact in self._facts.items() if fact.expires <= now]:
            del self._facts[did]


def _key(session_id: str) -> int:
    """What is kept of an id of 32 hex digits."""
    return int(session_id[-15:], 16)


def _last_day(entry: Revocation) -> int:
    """The day, counted from the epoch, at whose beginning the session is over for certain."""
    return int(entry.expires // _DAY) + 1
