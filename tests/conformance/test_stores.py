"""What every store promises, asked of every store."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from sidecar.errors import StoreFull
from sidecar.store import AccountRevocation, FeedEntry, HandleFact, Revocation, SignOut, Store
from sidecar.store.memory import MemoryStore
from sidecar.store.sqlite import SqliteStore

NOW = 1_800_000_000.0
LATER = NOW + 1000
SESSION = "0123456789abcdef0123456789abcdef"
ALICE = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"
BOB = "did:plc:bbbbbbbbbbbbbbbbbbbbbbbb"


@dataclass
class Clock:
    time: float = NOW

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> AsyncIterator[Store]:
    made: Store = (
        MemoryStore(now=clock, max_records=5)
        if request.param == "memory"
        else SqliteStore(tmp_path / "store.db", now=clock, max_records=5)
    )
    await made.open()
    yield made
    await made.close()


async def test_opening_twice_and_pinging_are_harmless(store: Store) -> None:
    await store.open()
    await store.ping()


async def test_what_is_put_can_be_got_until_it_is_deleted(store: Store) -> None:
    assert await store.put("k", b"1", b"value", expires=LATER)
    assert await store.get("k", b"1") == b"value"
    await store.delete("k", b"1")
    assert await store.get("k", b"1") is None


async def test_a_second_put_replaces_the_first(store: Store) -> None:
    await store.put("k", b"1", b"old", expires=LATER)
    await store.put("k", b"1", b"new", expires=LATER)
    assert await store.get("k", b"1") == b"new"


async def test_kinds_are_kept_apart(store: Store) -> None:
    await store.put("a", b"1", b"value", expires=LATER)
    assert await store.get("b", b"1") is None
    assert await store.take("b", b"1") is None
    assert await store.get("a", b"1") == b"value"


async def test_a_record_can_be_taken_once(store: Store) -> None:
    await store.put("k", b"1", b"value", expires=LATER)
    assert await store.take("k", b"1") == b"value"
    assert await store.take("k", b"1") is None
    assert await store.get("k", b"1") is None


async def test_of_many_who_take_at_once_exactly_one_gets_the_value(store: Store) -> None:
    await store.put("k", b"1", b"value", expires=LATER)
    taken = await asyncio.gather(*(store.take("k", b"1") for _ in range(50)))
    assert sorted(value is not None for value in taken) == [False] * 49 + [True]


async def test_an_expired_record_is_gone_for_every_verb_before_it_is_pruned(
    store: Store, clock: Clock
) -> None:
    await store.put("k", b"1", b"value", expires=LATER)
    await store.put("k", b"2", b"value", expires=LATER)
    clock.time = LATER
    assert await store.get("k", b"1") is None
    assert await store.take("k", b"1") is None
    assert await store.put("k", b"2", b"mine", expires=LATER + 1, if_absent=True)


async def test_if_absent_leaves_a_live_record_alone(store: Store) -> None:
    assert await store.put("k", b"1", b"first", expires=LATER, if_absent=True)
    assert not await store.put("k", b"1", b"second", expires=LATER, if_absent=True)
    assert await store.get("k", b"1") == b"first"


async def test_of_many_who_put_if_absent_exactly_one_does(store: Store) -> None:
    puts = (store.put("k", b"1", b"%d" % n, expires=LATER, if_absent=True) for n in range(20))
    assert sum(await asyncio.gather(*puts)) == 1


async def test_a_full_kind_says_so_and_keeps_what_it_has(store: Store) -> None:
    for number in range(5):
        await store.put("k", b"%d" % number, b"value", expires=LATER)
    with pytest.raises(StoreFull):
        await store.put("k", b"one more", b"value", expires=LATER)
    await store.put("k", b"0", b"replaced", expires=LATER)
    assert await store.get("k", b"0") == b"replaced"


async def test_a_full_kind_is_no_hindrance_to_another_or_to_signing_out(store: Store) -> None:
    for number in range(5):
        await store.put("k", b"%d" % number, b"value", expires=LATER)
    assert await store.put("other", b"1", b"value", expires=LATER)
    await store.revoke(SESSION, expires=LATER)
    assert await store.is_revoked(SESSION)


async def test_expired_records_make_room(store: Store, clock: Clock) -> None:
    for number in range(5):
        await store.put("k", b"%d" % number, b"value", expires=LATER)
    clock.time = LATER
    assert await store.put("k", b"new", b"value", expires=LATER + 1)


async def test_what_is_replaced_taken_deleted_or_pruned_does_not_count(store: Store, clock: Clock) -> None:
    for _ in range(3):
        for number in range(5):
            await store.put("k", b"%d" % number, b"value", expires=clock.time + 1)
    await store.take("k", b"0")
    await store.delete("k", b"1")
    clock.time += 1
    await store.prune()
    for number in range(5):
        assert await store.put("k", b"new %d" % number, b"value", expires=LATER)
    with pytest.raises(StoreFull):
        await store.put("k", b"one more", b"value", expires=LATER)


async def test_pruning_deletes_what_has_expired_and_nothing_else(store: Store, clock: Clock) -> None:
    await store.put("k", b"old", b"value", expires=NOW + 1)
    await store.put("k", b"new", b"value", expires=LATER)
    await store.revoke("aa" * 16, expires=NOW + 1)
    await store.revoke("bb" * 16, expires=LATER)
    await store.record_handle(ALICE, None, verified_at=NOW, expires=NOW + 1)
    await store.record_handle(BOB, None, verified_at=NOW, expires=LATER)
    await store.revoke_account(ALICE, before=NOW, expires=NOW + 1)
    await store.revoke_account(BOB, before=NOW, expires=LATER)
    clock.time = NOW + 1
    assert await store.prune() == 4
    assert await store.prune() == 0
    assert await store.get("k", b"new") == b"value"
    assert await store.is_revoked("bb" * 16)
    assert await store.handle_of(BOB) is not None
    assert BOB in [
        entry.did for entry in (await store.feed(0)).entries if isinstance(entry, AccountRevocation)
    ]


async def test_an_account_has_one_entry_and_only_a_later_one_replaces_it(store: Store) -> None:
    first = await store.revoke_account(ALICE, before=NOW, expires=LATER)
    assert first == AccountRevocation(first.seq, ALICE, NOW, LATER)
    assert await store.revoke_account(ALICE, before=NOW - 5, expires=LATER - 5) == first
    assert (await store.feed(0)).entries == [first]
    second = await store.revoke_account(ALICE, before=NOW + 5, expires=LATER - 5)
    assert second == AccountRevocation(second.seq, ALICE, NOW + 5, LATER)
    assert second.seq > first.seq
    assert (await store.feed(first.seq)).entries == (await store.feed(0)).entries == [second]
    longer = await store.revoke_account(ALICE, before=NOW, expires=LATER + 5)
    assert longer == AccountRevocation(longer.seq, ALICE, NOW + 5, LATER + 5)


async def test_an_accounts_entry_leaves_the_feed_when_it_expires(store: Store, clock: Clock) -> None:
    await store.revoke_account(ALICE, before=NOW, expires=NOW + 1)
    clock.time = NOW + 1
    assert (await store.feed(0)).entries == []
    await store.prune()
    assert (await store.revoke_account(ALICE, before=NOW - 5, expires=LATER)).before == NOW - 5


async def test_every_page_names_the_store_and_where_to_go_on(store: Store, clock: Clock) -> None:
    empty = await store.feed(0)
    assert (empty.continues, empty.entries) == (True, [])
    assert len(empty.store_id) == 32
    for number in range(5):
        await store.revoke(f"{number:032x}", expires=NOW + 1)
    await store.record_handle(ALICE, "alice.test", verified_at=NOW, expires=LATER)
    await store.record_handle(ALICE, "alice.test", verified_at=NOW + 1, expires=LATER)
    after, pages = empty.next, []
    while (page := await store.feed(after, limit=4)).entries:
        assert (page.store_id, page.continues) == (empty.store_id, True)
        pages.append(page.entries)
        after = page.next
    assert [len(page) for page in pages] == [4, 2]
    clock.time = NOW + 1
    for past in (empty.next, after):  # whatever has expired or was replaced since
        assert (await store.feed(past)).continues
    await store.prune()
    assert (await store.feed(after)).continues


async def test_a_number_that_was_never_given_out_is_not_continued(store: Store) -> None:
    last = await store.revoke(SESSION, expires=LATER)
    for stranger in (last.seq + 1, last.seq + 2**40, -1):
        page = await store.feed(stranger)
        assert not page.continues
    assert (await store.feed(last.seq)).continues


async def test_what_is_written_back_is_recorded_as_by_its_own_verb_and_twice_is_no_more(store: Store) -> None:
    entries: list[FeedEntry] = [
        Revocation(77, SESSION, LATER),
        AccountRevocation(5, ALICE, NOW, LATER),
        HandleFact(3, ALICE, "alice.test", NOW, LATER),
    ]
    await store.write_back(entries)
    seen = await store.feed(0)
    assert [replace(entry, seq=0) for entry in seen.entries] == [replace(entry, seq=0) for entry in entries]
    await store.record_handle(ALICE, "new.test", verified_at=NOW + 1, expires=LATER)
    last = (await store.feed(0)).next
    await store.write_back(entries)
    assert (await store.feed(last)).entries == []
    await store.write_back([])


async def test_a_store_says_which_entries_it_lacks(store: Store, clock: Clock) -> None:
    entries: list[SignOut] = [Revocation(0, SESSION, LATER), AccountRevocation(0, ALICE, NOW, LATER)]
    assert await store.lacking(entries) == entries
    await store.write_back(entries)
    assert await store.lacking([]) == await store.lacking(entries) == []
    more = [AccountRevocation(0, ALICE, NOW + 1, LATER), AccountRevocation(0, ALICE, NOW, LATER + 1)]
    less = [AccountRevocation(0, ALICE, NOW - 1, LATER - 1)]
    assert await store.lacking([*more, *less]) == more
    clock.time = LATER
    assert await store.lacking(entries[:1]) == entries[:1]


async def test_a_session_is_revoked_once_and_the_second_call_says_what_the_first_did(store: Store) -> None:
    assert not await store.is_revoked(SESSION)
    first = await store.revoke(SESSION, expires=LATER)
    assert await store.revoke(SESSION, expires=LATER + 5) == first
    assert await store.is_revoked(SESSION)
    assert (await store.feed(0)).entries == [first]


async def test_the_feed_gives_what_came_after_in_order_and_no_more_than_asked(store: Store) -> None:
    entries = [await store.revoke(f"{number:032x}", expires=LATER) for number in range(5)]
    assert (await store.feed(entries[1].seq, limit=2)).entries == entries[2:4]
    assert (await store.feed(entries[4].seq)).entries == []
    assert [entry.seq for entry in entries] == sorted({entry.seq for entry in entries})


async def test_a_number_of_the_feed_never_comes_twice_even_after_pruning(store: Store, clock: Clock) -> None:
    last = await store.revoke(SESSION, expires=NOW + 1)
    clock.time = NOW + 2
    await store.prune()
    assert (await store.revoke("bb" * 16, expires=LATER)).seq > last.seq


async def test_expired_entries_leave_the_feed(store: Store, clock: Clock) -> None:
    await store.revoke(SESSION, expires=NOW + 1)
    await store.record_handle(ALICE, "alice.test", verified_at=NOW, expires=NOW + 1)
    clock.time = NOW + 1
    assert (await store.feed(0)).entries == []
    assert not await store.is_revoked(SESSION)
    assert await store.handle_of(ALICE) is None


async def test_a_new_fact_of_a_did_replaces_the_old_one_under_a_new_number(store: Store) -> None:
    await store.record_handle(ALICE, "alice.test", verified_at=NOW, expires=LATER)
    before = await store.handle_of(ALICE)
    await store.record_handle(ALICE, "alice.example.net", verified_at=NOW + 1, expires=LATER)
    after = await store.handle_of(ALICE)
    assert before is not None
    assert after is not None
    assert after == HandleFact(after.seq, ALICE, "alice.example.net", NOW + 1, LATER)
    assert after.seq > before.seq
    assert (await store.feed(0)).entries == [after]


async def test_an_older_fact_does_not_replace_a_newer_one(store: Store) -> None:
    await store.record_handle(ALICE, "new.test", verified_at=NOW + 1, expires=LATER)
    await store.record_handle(ALICE, "old.test", verified_at=NOW, expires=LATER)
    fact = await store.handle_of(ALICE)
    assert fact is not None
    assert fact.handle == "new.test"


async def test_a_handle_verified_for_one_did_is_taken_from_every_other(store: Store) -> None:
    await store.record_handle(ALICE, "shop.test", verified_at=NOW, expires=LATER)
    seen = (await store.feed(0)).entries[-1].seq
    await store.record_handle(BOB, "shop.test", verified_at=NOW + 5, expires=LATER)
    news = (await store.feed(seen)).entries
    assert {(fact.did, fact.handle, fact.verified_at) for fact in news if isinstance(fact, HandleFact)} == {
        (ALICE, None, NOW + 5),
        (BOB, "shop.test", NOW + 5),
    }


async def test_a_handle_verified_earlier_is_not_taken_from_who_had_it_later(store: Store) -> None:
    await store.record_handle(BOB, "shop.test", verified_at=NOW + 5, expires=LATER)
    before = await store.handle_of(BOB)
    await store.record_handle(ALICE, "shop.test", verified_at=NOW, expires=LATER)
    alice = await store.handle_of(ALICE)
    assert await store.handle_of(BOB) == before
    assert alice is not None
    assert (alice.handle, alice.verified_at) == (None, NOW)


async def test_nobody_loses_a_handle_to_someone_who_has_none(store: Store) -> None:
    await store.record_handle(ALICE, None, verified_at=NOW, expires=LATER)
    await store.record_handle(BOB, None, verified_at=NOW + 1, expires=LATER)
    assert len((await store.feed(0)).entries) == 2


async def test_sessions_accounts_and_facts_share_one_line(store: Store) -> None:
    await store.revoke("aa" * 16, expires=LATER)
    await store.record_handle(ALICE, "alice.test", verified_at=NOW, expires=LATER)
    await store.revoke_account(ALICE, before=NOW, expires=LATER)
    await store.revoke("bb" * 16, expires=LATER)
    kinds = [type(entry) for entry in (await store.feed(0)).entries]
    assert kinds == [Revocation, HandleFact, AccountRevocation, Revocation]
    assert [type(entry) for entry in (await store.feed(0, limit=3)).entries] == kinds[:3]


async def test_what_a_clock_ahead_of_ours_has_verified_gives_way_to_the_next_fact(store: Store) -> None:
    await store.record_handle(ALICE, "shop.test", verified_at=NOW + 3600, expires=LATER)
    await store.record_handle(BOB, "shop.test", verified_at=NOW, expires=LATER)
    alice, bob = await store.handle_of(ALICE), await store.handle_of(BOB)
    assert alice is not None
    assert bob is not None
    assert (alice.handle, bob.handle) == (None, "shop.test")
    await store.record_handle(ALICE, "old.test", verified_at=NOW + 3600, expires=LATER)
    await store.record_handle(ALICE, "new.test", verified_at=NOW + 1, expires=LATER)
    alice = await store.handle_of(ALICE)
    assert alice is not None
    assert (alice.handle, alice.verified_at) == ("new.test", NOW + 1)
