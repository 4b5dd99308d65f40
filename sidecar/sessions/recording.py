"""Sign-outs that the store may not have: written again until the feed shows them.

Owns: what this process caused and hasn't seen in the feed yet, and the attempts to write it again.
Doesn't belong here: what counts as signed out meanwhile (feed.py), what a person reads about it
(account/logout.py).
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from sidecar.errors import StoreUnavailable
from sidecar.store import AccountRevocation, FeedEntry, Revocation, SignOut, Store

log = logging.getLogger("sidecar")

_AT_ONCE = 500  # entries; the store's write lock is never held for long


class Recording:
    """Of one process, into one store."""

    def __init__(self, store: Store, *, now: Callable[[], float]) -> None:
        self._store = store
        self._now = now
        self._unseen: dict[str, SignOut] = {}
        self._failed: set[str] = set()
        self._retrying: asyncio.Task[None] | None = None

    async def write(self, entry: SignOut) -> None:
        """Record a new sign-out. Raises StoreUnavailable if it isn't recorded yet."""
        name = _name(entry)
        self._unseen[name] = entry
        self._failed.add(name)  # unless the next lines succeed
        if isinstance(entry, Revocation):
            await self._store.revoke(entry.session_id, expires=entry.expires)
        else:
            await self._store.revoke_account(entry.did, before=entry.before, expires=entry.expires)
        self._failed.discard(name)

    def failed(self, name: str) -> bool:
        """Whether no attempt to record the sign-out of this session or account has succeeded."""
        return name in self._failed

    def holds(self, entry: SignOut) -> bool:
        """Whether the store may not have the entry yet."""
        return _name(entry) in self._unseen

    def seen(self, entry: SignOut) -> None:
        """The feed shows the entry, so it is recorded."""
        mine = self._unseen.get(_name(entry))
        if mine is not None and _covers(entry, mine):
            self._drop(_name(entry))

    def unseen(self) -> list[SignOut]:
        """What the feed must show by the end of the next reading, if it is in the store."""
        return list(self._unseen.values())

    def retry(self, entries: Iterable[SignOut]) -> None:
        """Write again what is still missing of these, beside all other work and one attempt at a time."""
        missing = [entry for entry in entries if self._unseen.get(_name(entry)) is entry]
        if missing and (self._retrying is None or self._retrying.done()):
            self._retrying = asyncio.create_task(self._again(missing))

    async def stop(self) -> None:
        """A last attempt."""
        if self._retrying is not None:
            self._retrying.cancel()
            with suppress(asyncio.CancelledError):
                await self._retrying
        await self._again(self.unseen())

    async def _again(self, entries: list[SignOut]) -> None:
        now = self._now()
        with suppress(StoreUnavailable):  # it was reported when it first failed
            await write_back(self._store, entries, now)
            late = self._failed.intersection(map(_name, entries))
            self._failed.difference_update(late)
            if late:
                details = {"event": "sign_out_recorded_late", "count": len(late)}
                log.info("sign-outs recorded after all", extra=details)
        for entry in entries:
            if entry.expires <= now:
                self._drop(_name(entry))

    def _drop(self, name: str) -> None:
        self._unseen.pop(name, None)
        self._failed.discard(name)


async def write_back(store: Store, entries: Sequence[FeedEntry], now: float) -> int:
    """Those that haven't expired, in short steps; their number. Raises StoreUnavailable."""
    live = [entry for entry in entries if entry.expires > now]
    for start in range(0, len(live), _AT_ONCE):
        await store.write_back(live[start : start + _AT_ONCE])
    return len(live)


def _name(entry: SignOut) -> str:
    return entry.session_id if isinstance(entry, Revocation) else entry.did


def _covers(entry: SignOut, mine: SignOut) -> bool:
    """An account has one entry at a time, which may be another's."""
    if isinstance(entry, AccountRevocation) and isinstance(mine, AccountRevocation):
        return entry.ends_as_much_as(mine)
    return True
