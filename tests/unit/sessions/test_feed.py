"""What a process knows of sign-outs and handles, and when it knows too little."""

import asyncio
import logging
import secrets
from collections.abc import Sequence
from dataclasses import replace

import pytest

from sidecar.errors import StoreUnavailable
from sidecar.sessions.feed import Feed
from sidecar.store import AccountRevocation, FeedEntry, FeedPage, HandleFact, Revocation
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


def is_ended(feed: Feed, session_id: str, did: str = DID, signed_in_at: float = NOW) -> bool:
    return feed.ended(session_id, did, signed_in_at)


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
    assert (is_ended(feed, "aa" * 16), is_ended(feed, "bb" * 16), feed.handle_fact(DID)) == (
        True,
        False,
        None,
    )
    await feed.catch_up()
    fact = feed.handle_fact(DID)
    assert is_ended(feed, "bb" * 16)
    assert fact is not None
    assert fact.handle == "alice.test"


async def test_more_than_a_page_is_loaded_whole(
    store: MemoryStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sidecar.sessions.feed.PAGE", 10)
    for number in range(25):
        await store.revoke(f"{number:032x}", expires=NOW + DAY)
    feed = following(store, clock)
    await feed.catch_up()
    assert all(is_ended(feed, f"{number:032x}") for number in range(25))


async def test_an_entry_can_be_taken_in_at_once_and_an_older_fact_never_wins(
    store: MemoryStore, clock: Clock
) -> None:
    feed = following(store, clock)
    feed.apply(Revocation(0, "aa" * 16, NOW + DAY))
    feed.apply(HandleFact(5, DID, "new.test", NOW, NOW + DAY))
    feed.apply(HandleFact(4, DID, "old.test", NOW, NOW + DAY))
    fact = feed.handle_fact(DID)
    assert is_ended(feed, "aa" * 16)
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
        assert is_ended(feed, f"{hours:032x}")
    clock.time = NOW + 5 * DAY
    await feed.catch_up()
    assert not feed.ended_sessions.keys
    assert not feed.ended_sessions.by_day
    assert feed.handle_fact(DID) is None


async def test_started_it_follows_by_itself_and_stopped_it_does_not(store: MemoryStore, clock: Clock) -> None:
    feed = following(store, clock, interval=0.001)
    await feed.start()
    await store.revoke("aa" * 16, expires=NOW + DAY)
    async with asyncio.timeout(5):
        while not is_ended(feed, "aa" * 16):
            await asyncio.sleep(0.001)
    await feed.stop()
    await feed.stop()


class Flaky(MemoryStore):
    """A store that can be pulled."""

    down = True
    fault: Exception = StoreUnavailable("pulled")

    async def feed(self, after: int, *, limit: int = 10_000) -> FeedPage:
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


# what the store has lost


class Restored(MemoryStore):
    """A store whose past can be taken away, and whose writes can fail."""

    read_only = False
    written = 0

    def lose(self, *, identity: bool) -> None:
        """Everything is gone. Without the identity it is another store; else one that went back."""
        former, number = self._id, self._seq
        self.__init__(now=self._now)  # type: ignore[misc] # as if it were made anew
        if not identity:
            self._id, self._seq = former, number // 2

    async def write_back(self, entries: Sequence[FeedEntry]) -> None:
        if self.read_only:
            raise StoreUnavailable("read-only")
        self.written += len(entries)
        await super().write_back(entries)


@pytest.mark.parametrize("identity", [True, False], ids=["another store", "one that went back"])
async def test_what_a_store_has_lost_is_written_back_before_anything_is_known_again(
    clock: Clock, identity: bool
) -> None:
    store = Restored(now=clock)
    feed = following(store, clock)
    session = secrets.token_hex(16)
    await store.revoke(session, expires=NOW + DAY)
    await store.revoke_account(DID, before=NOW, expires=NOW + DAY)
    await store.record_handle(DID, "alice.test", verified_at=NOW, expires=NOW + DAY)
    await feed.catch_up()
    store.lose(identity=identity)
    store.read_only = True
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            await feed.catch_up()
        assert not feed.usable(NOW)
        assert is_ended(feed, session)
    store.read_only = False
    await feed.catch_up()
    assert feed.usable(NOW)
    assert await store.is_revoked(session)
    fact = await store.handle_of(DID)
    assert fact is not None
    assert (fact.handle, feed.handle_fact(DID)) == ("alice.test", fact)
    entries = [replace(entry, seq=0) for entry in (await store.feed(0)).entries]
    assert AccountRevocation(0, DID, NOW, NOW + DAY) in entries
    store.written = 0
    await feed.catch_up()
    assert store.written == 0


async def test_two_processes_give_each_other_what_only_one_of_them_remembers(clock: Clock) -> None:
    store = Restored(now=clock)
    first, second = following(store, clock), following(store, clock)
    for feed, did in ((first, DID), (second, DID[:-1] + "b")):
        await feed.catch_up()
        await feed.revoke(secrets.token_hex(16), expires=NOW + DAY)
        await feed.revoke_account(did, before=NOW, expires=NOW + DAY)
    sessions = {entry.session_id for entry in (await store.feed(0)).entries if isinstance(entry, Revocation)}
    store.lose(identity=True)
    for feed in (first, second, first):
        await feed.catch_up()
    for feed in (first, second):
        assert all(is_ended(feed, session) for session in sessions)
        assert is_ended(feed, "0" * 32, DID, NOW - 1)
        assert is_ended(feed, "0" * 32, DID[:-1] + "b", NOW - 1)


async def test_what_the_store_still_has_and_what_is_over_is_not_written_back(clock: Clock) -> None:
    store = Restored(now=clock)
    feed = following(store, clock)
    await feed.catch_up()
    for number in range(3):
        await feed.revoke(f"{number:032x}", expires=NOW + DAY)
    await feed.revoke("ff" * 16, expires=NOW + 1)
    await feed.catch_up()
    clock.time = NOW + 2 * DAY
    store.lose(identity=True)
    await feed.catch_up()
    assert (store.written, (await store.feed(0)).entries) == (0, [])


async def test_the_newest_word_on_a_handle_wins_whoever_remembers_it(clock: Clock) -> None:
    store = Restored(now=clock)
    feed = following(store, clock)
    older, newer, ahead = (DID[:-1] + letter for letter in "bcd")
    for did in (older, newer):
        await store.record_handle(did, f"{did[-1]}.test", verified_at=NOW, expires=NOW + DAY)
    await store.record_handle(ahead, "d.test", verified_at=NOW + 3600, expires=NOW + DAY)
    await feed.catch_up()
    store.lose(identity=True)
    await store.record_handle(older, "early.test", verified_at=NOW - 60, expires=NOW + DAY)
    await store.record_handle(newer, "late.test", verified_at=NOW + 30, expires=NOW + DAY)
    await feed.catch_up()
    facts = [feed.handle_fact(did) for did in (older, newer, ahead)]
    assert [fact and fact.handle for fact in facts] == ["b.test", "late.test", None]


@pytest.mark.parametrize("known", [1, 40, 3000])
async def test_what_a_store_lost_in_silence_is_found_in_time_and_the_latest_at_once(
    clock: Clock, known: int
) -> None:
    store = Restored(now=clock)
    ids = [secrets.token_hex(16) for _ in range(known)]
    await store.revoke_account(DID, before=NOW, expires=NOW + 9 * DAY)
    for session in ids:
        await store.revoke(session, expires=NOW + 9 * DAY)
    feed = following(store, clock)
    await feed.catch_up()
    for lost, rounds in ((ids[-1], 1), (ids[0], known // 100 + 2), (ids[known // 2], known // 100 + 2)):
        if lost in store.revocations:
            del store.entries[store.revocations.pop(lost).seq]
        for _ in range(rounds):
            await feed.catch_up()
        assert await store.is_revoked(lost)
    del store.entries[store.accounts.pop(DID).seq]
    for _ in range(3):
        await feed.catch_up()
    assert DID in store.accounts
    assert store.written <= 4


async def test_what_is_not_recorded_yet_is_not_taken_for_lost(clock: Clock) -> None:
    store = Locked(now=clock)
    feed = following(store, clock)
    await feed.catch_up()
    with pytest.raises(StoreUnavailable):
        await feed.revoke("aa" * 16, expires=NOW + 9 * DAY)
    for _ in range(3):
        await feed.catch_up()
        assert feed.usable(NOW)


async def test_a_store_that_loses_its_entries_again_and_again_is_left_for_the_next_round(
    clock: Clock,
) -> None:
    class Restless(MemoryStore):
        async def feed(self, after: int, *, limit: int = 10_000) -> FeedPage:
            return replace(await super().feed(after, limit=limit), store_id=secrets.token_hex(16))

    feed = following(Restless(now=clock), clock)
    await feed.catch_up()
    with pytest.raises(StoreUnavailable, match="again"):
        await feed.catch_up()
    assert not feed.usable(NOW)


async def test_a_clock_that_was_ahead_and_went_back_brings_back_the_sign_outs_that_seemed_over(
    store: MemoryStore, clock: Clock
) -> None:
    feed = following(store, clock)
    await feed.catch_up()
    await feed.revoke("aa" * 16, expires=NOW + 30 * DAY)
    await feed.revoke_account(DID, before=NOW, expires=NOW + 30 * DAY)
    await store.record_handle(DID, "alice.test", verified_at=NOW, expires=NOW + 30 * DAY)
    clock.time = NOW + 40 * DAY
    await feed.catch_up()
    await store.revoke("bb" * 16, expires=NOW + 35 * DAY)  # over already, as it seems
    await store.revoke("cc" * 16, expires=NOW + 70 * DAY)
    await feed.catch_up()
    clock.time = NOW + 60
    assert not feed.usable(clock.time)
    await feed.catch_up()
    assert feed.usable(clock.time)
    assert all(is_ended(feed, each * 16) for each in ("aa", "bb", "cc"))
    assert is_ended(feed, "0" * 32, DID, NOW - 1)
    assert feed.handle_fact(DID) is not None
    clock.time += 4000
    await feed.catch_up()
    assert is_ended(feed, "aa" * 16)


async def test_a_clock_that_goes_back_while_the_store_is_down_is_reported_once(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    store = Flaky(now=clock)
    store.down = False
    feed = following(store, clock)
    await feed.catch_up()
    clock.time -= 3600
    store.down = True
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            await feed.catch_up()
    assert [vars(record)["reason"] for record in caplog.records] == ["the clock went back"]
    store.down = False
    await feed.catch_up()
    assert feed.usable(clock.time)


# accounts


async def test_an_accounts_entry_ends_the_sessions_that_began_before_it_and_no_others(
    store: MemoryStore, clock: Clock
) -> None:
    feed = following(store, clock)
    await feed.catch_up()
    await feed.revoke_account(DID, before=NOW, expires=NOW + DAY)
    other = following(store, clock)
    await other.catch_up()
    for each in (feed, other):
        assert is_ended(each, "aa" * 16, DID, NOW - 1)
        assert not is_ended(each, "aa" * 16, DID, NOW)
        assert not is_ended(each, "aa" * 16, DID[:-1] + "b", NOW - 1)
    await feed.revoke_account(DID, before=NOW - 100, expires=NOW + DAY)
    assert is_ended(feed, "aa" * 16, DID, NOW - 1)
    await feed.revoke_account(DID, before=NOW + 10, expires=NOW + DAY)
    await other.catch_up()
    assert is_ended(other, "aa" * 16, DID, NOW + 5)
    clock.time += 2 * DAY
    await other.catch_up()
    assert not other.ended_accounts.entries


async def test_an_account_that_a_clock_ahead_ended_can_sign_in_again(
    store: MemoryStore, clock: Clock
) -> None:
    feed = following(store, clock)
    clock.time = NOW + 30 * DAY
    await feed.catch_up()
    await feed.revoke_account(DID, before=clock.time, expires=NOW + 60 * DAY)
    begun_ahead = clock.time + 5
    clock.time = NOW
    for each in (feed, following(store, clock)):
        await each.catch_up()
        assert is_ended(each, "aa" * 16, DID, NOW - 1)
        assert is_ended(each, "aa" * 16, DID, begun_ahead)
        assert not is_ended(each, "aa" * 16, DID, NOW + 1)


# what couldn't be recorded


class Locked(MemoryStore):
    """A store that takes no sign-outs for a while."""

    locked = True
    lost = False

    async def revoke(self, session_id: str, *, expires: float) -> Revocation:
        if self.locked:
            raise StoreUnavailable("locked")
        return (
            Revocation(1, session_id, expires)
            if self.lost
            else await super().revoke(session_id, expires=expires)
        )

    async def revoke_account(self, did: str, *, before: float, expires: float) -> AccountRevocation:
        if self.locked:
            raise StoreUnavailable("locked")
        return await super().revoke_account(did, before=before, expires=expires)


async def until_recorded(store: MemoryStore, session: str) -> None:
    async with asyncio.timeout(5):
        while not await store.is_revoked(session):
            await asyncio.sleep(0.001)


async def test_a_sign_out_that_failed_counts_here_at_once_and_is_tried_until_it_is_recorded(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    store = Locked(now=clock)
    feed = following(store, clock, interval=0.001)
    await feed.start()
    with pytest.raises(StoreUnavailable):
        await feed.revoke("aa" * 16, expires=NOW + DAY)
    with pytest.raises(StoreUnavailable):
        await feed.revoke_account(DID, before=NOW, expires=NOW + DAY)
    assert feed.unrecorded("aa" * 16)
    assert is_ended(feed, "aa" * 16)
    assert is_ended(feed, "bb" * 16, DID, NOW - 1)
    await asyncio.sleep(0.02)
    assert not await store.is_revoked("aa" * 16)
    assert feed.usable(NOW)
    with caplog.at_level("INFO"):
        store.locked = False
        await until_recorded(store, "aa" * 16)
        async with asyncio.timeout(5):
            while feed.recording.unseen():
                await asyncio.sleep(0.001)
    assert not feed.unrecorded("aa" * 16)
    late = [record for record in caplog.records if vars(record).get("event") == "sign_out_recorded_late"]
    assert [vars(record)["count"] for record in late] == [2]
    await feed.stop()


async def test_a_sign_out_that_was_confirmed_and_then_lost_is_written_again(clock: Clock) -> None:
    store = Locked(now=clock)
    store.locked, store.lost = False, True
    feed = following(store, clock, interval=0.001)
    await feed.start()
    await feed.revoke("aa" * 16, expires=NOW + DAY)
    assert not feed.unrecorded("aa" * 16)
    store.lost = False
    await until_recorded(store, "aa" * 16)
    await feed.stop()


async def test_what_is_over_before_it_could_be_recorded_is_dropped(clock: Clock) -> None:
    store = Locked(now=clock)
    feed = following(store, clock)
    await feed.catch_up()
    with pytest.raises(StoreUnavailable):
        await feed.revoke("aa" * 16, expires=NOW + 1)
    clock.time += 2
    await feed.stop()
    assert (feed.recording.unseen(), feed.unrecorded("aa" * 16)) == ([], False)
    assert (await store.feed(0)).entries == []


async def test_an_older_entry_of_the_account_is_not_taken_for_ours(clock: Clock) -> None:
    store = Locked(now=clock)
    feed = following(store, clock)
    with pytest.raises(StoreUnavailable):
        await feed.revoke_account(DID, before=NOW, expires=NOW + DAY)
    store.locked = False
    await store.revoke_account(DID, before=NOW - 100, expires=NOW + DAY)
    await feed.catch_up()
    assert feed.recording.unseen()
    await feed.stop()
    await feed.catch_up()
    assert feed.recording.unseen() == []
    assert [replace(entry, seq=0) for entry in (await store.feed(0)).entries] == [
        AccountRevocation(0, DID, NOW, NOW + DAY)
    ]


async def test_neither_writing_back_nor_forgetting_holds_up_the_loop(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Restored(now=clock)
    feed = following(store, clock)
    for number in range(5_000):
        feed.apply(Revocation(0, f"{number:032x}", NOW + DAY))
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    await feed.ended_sessions.forget(NOW)
    await asyncio.sleep(0)
    turns = 0
    missing = [entry async for some in feed.ended_sessions.without(set()) for entry in some]
    assert ({entry.session_id for entry in missing}, turns >= 10) == (
        {f"{number:032x}" for number in range(5_000)},
        True,
    )
    turns = 0
    await feed.ended_sessions.forget(NOW + 3 * DAY)
    assert (len(feed.ended_sessions.keys), turns >= 10) == (0, True)
    counting.cancel()
