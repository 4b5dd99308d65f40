"""What a process knows of sign-outs and handles, and when it knows too little."""

import asyncio
import logging

import pytest

from sidecar.errors import StoreUnavailable
from sidecar.sessions.feed import Feed
from sidecar.store import FeedEntry, HandleFact, Revocation
from sidecar.store.memory import MemoryStore

NOW = 1_800_000_000.0
DAY = 86400
DID = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"


class Clock:
    time = NOW

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> MemoryStore:
    return MemoryStore(now=clock)


def following(store: MemoryStore, clock: Clock, interval: float = 1.0) -> Feed:
    return Feed(store, max_stale=300, now=clock, interval=interval)


async def test_it_is_of_no_use_before_it_has_loaded_and_when_it_has_become_stale(
    store: MemoryStore, clock: Clock
) -> None:
    feed = following(store, clock)
    assert not feed.usable(NOW)
    await feed.catch_up()
    assert feed.usable(NOW + 299.9)
    assert not feed.usable(NOW + 300)


async def test_it_learns_what_was_there_and_what_is_new(store: MemoryStore, clock: Clock) -> None:
    await store.revoke("aa" * 16, expires=NOW + DAY)
    feed = following(store, clock)
    await feed.catch_up()
    await store.revoke("bb" * 16, expires=NOW + DAY)
    await store.record_handle(DID, "alice.test", verified_at=NOW, expires=NOW + DAY)
    assert (feed.revoked("aa" * 16), feed.revoked("bb" * 16), feed.handle_fact(DID)) == (True, False, None)
    await feed.catch_up()
    fact = feed.handle_fact(DID)
    assert feed.revoked("bb" * 16)
    assert fact is not None
    assert fact.handle == "alice.test"


async def test_more_than_a_page_is_loaded_whole(
    store: MemoryStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sidecar.sessions.feed._PAGE", 10)
    for number in range(25):
        await store.revoke(f"{number:032x}", expires=NOW + DAY)
    feed = following(store, clock)
    await feed.catch_up()
    assert all(feed.revoked(f"{number:032x}") for number in range(25))


async def test_an_entry_can_be_taken_in_at_once_and_an_older_fact_never_wins(
    store: MemoryStore, clock: Clock
) -> None:
    feed = following(store, clock)
    feed.apply(Revocation(0, "aa" * 16, NOW + DAY))
    feed.apply(HandleFact(5, DID, "new.test", NOW, NOW + DAY))
    feed.apply(HandleFact(4, DID, "old.test", NOW, NOW + DAY))
    fact = feed.handle_fact(DID)
    assert feed.revoked("aa" * 16)
    assert fact is not None
    assert fact.handle == "new.test"


async def test_what_has_expired_is_forgotten_but_never_before_its_time(
    store: MemoryStore, clock: Clock
) -> None:
    feed = following(store, clock)
    for hours in range(1, 73):
        feed.apply(Revocation(hours, f"{hours:032x}", NOW + hours * 3600))
    feed.apply(HandleFact(100, DID, "alice.test", NOW, NOW + 3600))
    for hours in range(1, 73):
        clock.time = NOW + hours * 3600 - 1
        await feed.catch_up()
        assert feed.revoked(f"{hours:032x}")
    clock.time = NOW + 5 * DAY
    await feed.catch_up()
    assert not feed._revoked
    assert not feed._forgettable
    assert feed.handle_fact(DID) is None


async def test_started_it_follows_by_itself_and_stopped_it_does_not(store: MemoryStore, clock: Clock) -> None:
    feed = following(store, clock, interval=0.001)
    await feed.start()
    await store.revoke("aa" * 16, expires=NOW + DAY)
    async with asyncio.timeout(5):
        while not feed.revoked("aa" * 16):
            await asyncio.sleep(0.001)
    await feed.stop()
    await feed.stop()


class Flaky(MemoryStore):
    """A store that can be pulled."""

    down = True
    fault: Exception = StoreUnavailable("pulled")

    async def feed(self, after: int, *, limit: int = 10_000) -> list[FeedEntry]:
        if self.down:
            raise self.fault
        return await super().feed(after, limit=limit)


@pytest.mark.parametrize("fault", [StoreUnavailable("pulled"), RuntimeError("a mistake of ours")])
async def test_a_store_that_is_down_at_the_start_is_tried_until_it_is_back(
    clock: Clock, caplog: pytest.LogCaptureFixture, fault: Exception
) -> None:
    store = Flaky(now=clock)
    store.fault = fault
    feed = following(store, clock, interval=0.001)
    with caplog.at_level(logging.INFO, "sidecar"):
        await feed.start()
        assert not feed.usable(NOW)
        await asyncio.sleep(0.02)
        store.down = False
        async with asyncio.timeout(5):
            while not feed.usable(NOW):
                await asyncio.sleep(0.001)
    await feed.stop()
    if isinstance(fault, StoreUnavailable):
        events = [getattr(record, "event", "") for record in caplog.records]
        assert events == ["store_unavailable", "store_back"]  # one line each, however many tries


async def test_a_clock_that_was_set_back_is_no_word_from_the_store(store: MemoryStore, clock: Clock) -> None:
    feed = following(store, clock)
    await feed.catch_up()
    clock.time = NOW - 3600
    assert feed.usable(NOW - 1)  # a correction, as time services make them
    assert not feed.usable(clock.time)
    await feed.catch_up()
    assert feed.usable(clock.time)
    assert not feed.usable(clock.time + 300)
