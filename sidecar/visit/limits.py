"""What one visitor, and all together, may ask of this process.

Owns: attempts per key in a window of time, and how many may be at work at once. Bounded; time is an argument.
Doesn't belong here: the numbers (settings/), what a visitor reads (replies/words.py).
"""

import ipaddress
from collections.abc import Iterator
from contextlib import contextmanager

from sidecar.errors import Busy

_UNKNOWN = "unknown"
_RETRY = 5  # seconds until someone who found every slot taken should try again


def client_key(address: str) -> str:
    """The key that a client's address counts under: IPv4 whole, IPv6 by its /64, all the rest as one."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return _UNKNOWN
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(parsed) >> 64 << 64, 64)))


class Attempts:
    """At most `limit` attempts per key in `window` seconds, counted from a key's first.

    At most `capacity` keys: past that the oldest is forgotten, so that a flood of addresses locks nobody out.
    Somebody with that many addresses has that many times the limit in any case.
    """

    def __init__(self, limit: int, window: float, *, capacity: int = 20_000) -> None:
        self._limit = limit
        self._window = window
        self._capacity = capacity
        self._counts: dict[str, tuple[float, int]] = {}  # key → (start of its window, attempts), oldest first

    def __len__(self) -> int:
        """How many keys are remembered."""
        return len(self._counts)

    def allow(self, key: str, now: float) -> float:
        """Count an attempt: 0 if it may go on, else the seconds until the next one may."""
        start, count = self._counts.get(key, (now, 0))
        if not self._current(start, now):
            start, count = now, 0
        if count >= self._limit:
            return start + self._window - now
        if count == 0:
            self._make_room(now)
        self._counts[key] = (start, count + 1)
        return 0.0

    def _make_room(self, now: float) -> None:
        """Forget what has expired, and the oldest if the table is full."""
        while self._counts:
            oldest = next(iter(self._counts))
            if len(self._counts) < self._capacity and self._current(self._counts[oldest][0], now):
                break
            del self._counts[oldest]

    def _current(self, start: float, now: float) -> bool:
        """A window that starts in the future was opened before the clock was set back."""
        return start <= now < start + self._window


class Slots:
    """At most `limit` at work at once; nobody waits."""

    def __init__(self, limit: int) -> None:
        self._free = limit

    @contextmanager
    def take(self) -> Iterator[None]:
        """A slot for as long as the block runs. Busy if none is free."""
        if self._free == 0:
            raise Busy("every slot is taken", retry_after=_RETRY)
        self._free -= 1
        try:
            yield
        finally:
            self._free += 1
