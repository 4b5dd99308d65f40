"""Which sessions ended early, in little memory.

Owns: the set that the check looks into, and enough beside it to write all entries back to a store.
Doesn't belong here: how entries arrive (feed.py).

An entry costs about 85 bytes: the last 60 bits of the random id in a set, and the whole id in the list of the
day after which the session is over anyway. Two ids of a million share their last 60 bits once in a million
million times; then somebody has to sign in again.
"""

import asyncio
import struct
from collections.abc import AsyncIterator, Iterator

from sidecar.store import Revocation

_DAY = 86400
_KEPT = (1 << 60) - 1
_ID = struct.Struct(">QQ")
_SLICE = 500 * _ID.size  # bytes; the event loop is never held up for longer than these take


def key_of(session_id: str) -> int:
    """The part of an id (32 hex digits) that is looked for."""
    return int(session_id[-15:], 16)


class EndedSessions:
    """`keys`: what `key_of` says of every session that ended."""

    def __init__(self) -> None:
        self.keys: set[int] = set()
        self._by_day: dict[int, bytearray] = {}

    def add(self, session_id: str, expires: float) -> None:
        key = key_of(session_id)
        if key not in self.keys:
            self.keys.add(key)
            self._by_day.setdefault(int(expires // _DAY) + 1, bytearray()).extend(bytes.fromhex(session_id))

    async def forget(self, now: float) -> None:
        """Drop whole days that are over."""
        for day in [day for day in self._by_day if day * _DAY < now]:
            for ids in _slices(self._by_day.pop(day)):
                self.keys.difference_update([low & _KEPT for _, low in _ID.iter_unpack(ids)])
                await asyncio.sleep(0)

    async def without(self, found: set[int]) -> AsyncIterator[list[Revocation]]:
        """What is here and not among the keys `found`, some at a time. Each expires at the end of its day."""
        for day, ids in list(self._by_day.items()):
            for some in _slices(ids):
                yield [
                    Revocation(0, f"{high:016x}{low:016x}", float(day * _DAY))
                    for high, low in _ID.iter_unpack(some)
                    if low & _KEPT not in found
                ]
                await asyncio.sleep(0)


def _slices(ids: bytearray) -> Iterator[bytes]:
    for start in range(0, len(ids), _SLICE):
        yield bytes(ids[start : start + _SLICE])
