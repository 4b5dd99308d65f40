"""A bounded cache whose misses are loaded once, however many wait.

Owns: time to live, the bound, single flight. Only successes are remembered: a fault never becomes an answer.
Doesn't belong here: what is loaded.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Cache(Generic[K, V]):
    """`ttl` in seconds of `now`; `size` entries at most, the oldest go first."""

    def __init__(
        self, load: Callable[[K], Awaitable[V]], *, ttl: float, size: int, now: Callable[[], float]
    ) -> None:
        self._load = load
        self._ttl = ttl
        self._size = size
        self._now = now
        self._entries: dict[K, tuple[float, V]] = {}  # in order of loading, so of expiry too
        self._flights: dict[K, asyncio.Task[V]] = {}

    async def get(self, key: K, *, fresh: bool = False) -> V:
        """The value, from memory or loaded; `fresh` always loads, or joins a load under way. Raises what it raises.

        A waiter that is cancelled leaves the load to the others.
        """
        if not fresh and (entry := self._entries.get(key)) and self._now() < entry[0]:
            return entry[1]
        flight = self._flights.get(key)
        if flight is None:
            flight = asyncio.create_task(self._fly(key))
            flight.add_done_callback(_retrieved)
            self._flights[key] = flight
        return await asyncio.shield(flight)

    async def _fly(self, key: K) -> V:
        try:
            value = await self._load(key)
        finally:
            del self._flights[key]
        self._entries.pop(key, None)
        self._entries[key] = (self._now() + self._ttl, value)
        while len(self._entries) > self._size:
            del self._entries[next(iter(self._entries))]
        return value


def _retrieved(flight: asyncio.Task[V]) -> None:
    """Look at the outcome even if all waiters are gone, or asyncio warns of a fault nobody saw."""
    if not flight.cancelled():
        flight.exception()
