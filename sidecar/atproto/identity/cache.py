"""A bounded cache whose misses are loaded once, however many wait.

Owns: time to live, the bound, single flight. Only successes are remembered: a fault never becomes an answer.
A fresh answer is the caller's own: what was asked before the call may be older than what made it needed.
Doesn't belong here: what is loaded.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
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
        self.flights: dict[K, asyncio.Task[V]] = {}

    async def get(self, key: K, *, fresh: bool = False) -> V:
        """The value, remembered or loaded; `fresh`: by a load that begins now and is nobody else's.

        A waiter that is cancelled leaves a shared load to the others. Raises what the load raises.
        """
        if fresh:
            return await self._fly(key)
        if (entry := self._entries.get(key)) and self._now() < entry[0]:
            return entry[1]
        flight = self.flights.get(key)
        if flight is None:
            flight = self.flights[key] = asyncio.create_task(self._fly(key))
            flight.add_done_callback(partial(self._landed, key))
        return await asyncio.shield(flight)

    async def _fly(self, key: K) -> V:
        value = await self._load(key)
        self._entries.pop(key, None)
        self._entries[key] = (self._now() + self._ttl, value)
        while len(self._entries) > self._size:
            del self._entries[next(iter(self._entries))]
        return value

    def _landed(self, key: K, flight: asyncio.Task[V]) -> None:
        del self.flights[key]
        if not flight.cancelled():
            flight.exception()  # looked at, lest asyncio complain where all waiters are gone
