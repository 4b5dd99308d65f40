"""Which sessions and accounts ended early, in little memory.

Owns: what the check looks into, and enough beside it to write all entries back to a store.
Doesn't belong here: how entries arrive (feed.py).

A session costs about 90 bytes: the last 60 bits of the random id in a set, and the whole id in the list of
the day after which the session is over anyway. Two ids of a million share their last 60 bits once in a
million million times; then somebody has to sign in again.
"""

import asyncio
import struct
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from itertools import islice

from sidecar.store import CLOCK_AHEAD, AccountRevocation, Revocation

_DAY = 86400
_KEPT = (1 << 60) - 1
_ID = struct.Struct(">QQ")
_SLICE = 500  # ids; the event loop is never held up for longer than these take
_FEW = 100


def key_of(session_id: str) -> int:
    """The part of an id (32 hex digits) that is looked for."""
    return int(session_id[-15:], 16)


class EndedSessions:
    """`keys`: what `key_of` says of every session that ended."""

    def __init__(self) -> None:
        self.keys: set[int] = set()
        self.by_day: dict[int, bytearray] = {}
        self._turn: Iterator[list[Revocation]] = iter(())

    def add(self, session_id: str, expires: float) -> None:
        key = key_of(session_id)
        if key not in self.keys:
            self.keys.add(key)
            self.by_day.setdefault(int(expires // _DAY) + 1, bytearray()).extend(bytes.fromhex(session_id))

    async def forget(self, now: float) -> None:
        """Drop whole days that are over."""
        for day in [day for day in self.by_day if day * _DAY < now]:
            for ids in _slices(self.by_day.pop(day), _SLICE):
                self.keys.difference_update([low & _KEPT for _, low in _ID.iter_unpack(ids)])
                await asyncio.sleep(0)

    async def without(self, found: set[int]) -> AsyncIterator[list[Revocation]]:
        """What is here and not among the keys `found`, some at a time."""
        for day, ids in list(self.by_day.items()):
            for some in _slices(ids, _SLICE):
                yield [each for each in _revocations(day, some) if key_of(each.session_id) not in found]
                await asyncio.sleep(0)

    def few(self, now: float) -> list[Revocation]:
        """A few that can't have expired. One call after the other, all of them come by."""
        few = next(self._turn, None)
        if few is None:
            self._turn = self._in_turn(now)
            few = next(self._turn, [])
        return few

    def _in_turn(self, now: float) -> Iterator[list[Revocation]]:
        for day in list(self.by_day):
            if (day - 1) * _DAY > now + _DAY:  # a turn may take hours
                for ids in _slices(self.by_day.get(day, bytearray()), _FEW):
                    yield _revocations(day, ids)


class EndedAccounts:
    """`entries`: one for each DID. Few, beside the sessions."""

    def __init__(self) -> None:
        self.entries: dict[str, AccountRevocation] = {}
        self._turn: Iterator[str] = iter(())

    def add(self, entry: AccountRevocation, now: float) -> None:
        entry = _believed(entry, now)
        known = self.entries.get(entry.did, entry)
        before, expires = max(entry.before, known.before), max(entry.expires, known.expires)
        self.entries[entry.did] = replace(entry, before=before, expires=expires)

    def end(self, did: str, signed_in_at: float, now: float) -> bool:
        """A session that a clock ahead of ours began can't be said to be later than anything."""
        entry = self.entries.get(did)
        return entry is not None and (signed_in_at < entry.before or signed_in_at > now + CLOCK_AHEAD)

    def forget(self, now: float) -> None:
        for did in [did for did, entry in self.entries.items() if entry.expires <= now]:
            del self.entries[did]

    def clock_went_back(self, now: float) -> None:
        self.entries.update({did: _believed(entry, now) for did, entry in self.entries.items()})

    def few(self) -> list[AccountRevocation]:
        """A few. One call after the other, all of them come by."""
        dids = list(islice(self._turn, _FEW))
        if not dids:
            self._turn = iter(list(self.entries))
        return [self.entries[did] for did in dids if did in self.entries]


def _believed(entry: AccountRevocation, now: float) -> AccountRevocation:
    """If a clock ahead of ours named the time, it can only mean the sessions until now."""
    return entry if entry.before <= now + CLOCK_AHEAD else replace(entry, before=now)


def _revocations(day: int, ids: bytes) -> list[Revocation]:
    """Each with the end of the day for its own."""
    return [Revocation(0, f"{high:016x}{low:016x}", float(day * _DAY)) for high, low in _ID.iter_unpack(ids)]


def _slices(ids: bytearray, count: int) -> Iterator[bytes]:
    step = count * _ID.size
    for start in range(0, len(ids), step):
        yield bytes(ids[start : start + step])
