"""What is SQLite's own: several processes, locks, damage, files."""

import asyncio
import multiprocessing
import sqlite3
import stat
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from sidecar.errors import StoreFull, StoreUnavailable
from sidecar.sessions.feed import Feed
from sidecar.store import Revocation, schema
from sidecar.store.sqlite import SqliteStore

LATER = time.time() + 3600
PROCESSES = multiprocessing.get_context("spawn")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    made = SqliteStore(path, patience=0.5)
    await made.open()
    yield made
    await made.close()


def in_processes(work: Any, arguments: list[Any]) -> list[Any]:
    with PROCESSES.Pool(len(arguments)) as pool:
        answers = pool.map(work, arguments)
        pool.close()
        pool.join()  # terminated instead, a process that is measured for coverage may hang
        return answers


def _take(path: str) -> int:
    async def take() -> int:
        store = SqliteStore(Path(path))
        taken = [await store.take("k", b"%d" % number) for number in range(50)]
        await store.close()
        return sum(value is not None for value in taken)

    return asyncio.run(take())


async def test_of_several_processes_each_record_goes_to_one(store: SqliteStore, path: Path) -> None:
    for number in range(50):
        await store.put("k", b"%d" % number, b"value", expires=LATER)
    taken = await asyncio.to_thread(in_processes, _take, [str(path)] * 3)
    assert sum(taken) == 50


def _revoke(argument: tuple[str, int]) -> None:
    path, process = argument

    async def revoke() -> None:
        store = SqliteStore(Path(path))
        for number in range(100):
            await store.revoke(f"{process:016x}{number:016x}", expires=LATER)
        await store.close()

    asyncio.run(revoke())


async def test_a_follower_misses_no_entry_that_other_processes_write_at_once(
    store: SqliteStore, path: Path
) -> None:
    writing = asyncio.create_task(
        asyncio.to_thread(in_processes, _revoke, [(str(path), n) for n in range(3)])
    )
    seen: list[int] = []
    while not writing.done() or (await store.feed(seen[-1] if seen else 0)).entries:
        seen += [entry.seq for entry in (await store.feed(seen[-1] if seen else 0, limit=7)).entries]
        await asyncio.sleep(0)
    await writing
    assert len(seen) == len(set(seen)) == 300


def _open(path: str) -> None:
    async def opened() -> None:
        store = SqliteStore(Path(path))
        await store.open()
        await store.close()

    asyncio.run(opened())


def test_several_processes_may_make_the_database_at_once(path: Path) -> None:
    in_processes(_open, [str(path)] * 3)


def _look_in(path: str) -> int:
    db = sqlite3.connect(path)
    (count,) = db.execute("SELECT count(*) FROM revocations").fetchone()
    db.close()
    return int(count)


async def test_another_process_that_comes_and_goes_takes_nothing_away(store: SqliteStore, path: Path) -> None:
    # Who closes the last connection deletes the -wal file: the other must see that we are still here.
    await store.revoke("aa" * 16, expires=LATER)
    assert await store.is_revoked("aa" * 16)
    assert await asyncio.to_thread(in_processes, _look_in, [str(path)]) == [1]
    assert path.with_name("store.db-wal").exists()
    await store.revoke("bb" * 16, expires=LATER)
    assert await asyncio.to_thread(in_processes, _look_in, [str(path)]) == [2]


def _hold(path: str, held: Any, release: Any) -> None:
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    held.set()
    release.wait()
    db.execute("ROLLBACK")
    db.close()


@contextmanager
def write_lock_held(path: Path) -> Iterator[None]:
    """By another process."""
    held, release = PROCESSES.Event(), PROCESSES.Event()
    process = PROCESSES.Process(target=_hold, args=(str(path), held, release))
    process.start()
    try:
        held.wait()
        yield
    finally:
        release.set()
        process.join()


def is_ended(feed: Feed, session_id: str) -> bool:
    return feed.ended(session_id, "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", 0.0)


async def test_a_write_lock_held_elsewhere_stops_writes_and_leaves_reads_and_the_loop_alone(
    store: SqliteStore, path: Path
) -> None:
    await store.revoke("aa" * 16, expires=LATER)
    with write_lock_held(path):
        writing = asyncio.create_task(store.revoke("bb" * 16, expires=LATER))
        feed = Feed(store, max_stale=10)
        await feed.catch_up()
        assert feed.usable(time.time())
        assert is_ended(feed, "aa" * 16)
        assert await store.is_revoked("aa" * 16)
        assert not writing.done()
        with pytest.raises(StoreUnavailable):
            await writing
    await store.put("k", b"1", b"value", expires=LATER)


async def test_a_worker_can_start_while_another_process_holds_the_write_lock(
    store: SqliteStore, path: Path
) -> None:
    await store.revoke("aa" * 16, expires=LATER)
    with write_lock_held(path):
        late = SqliteStore(path, patience=0.5)
        await late.open()
        feed = Feed(late, max_stale=10)
        await feed.catch_up()
        assert is_ended(feed, "aa" * 16)
        await late.close()


async def test_what_nobody_waits_for_any_more_is_not_done_later(store: SqliteStore, path: Path) -> None:
    with write_lock_held(path):
        first = asyncio.create_task(store.revoke("aa" * 16, expires=LATER))
        calls = [store.put("k", b"%d" % n, b"value", expires=LATER) for n in range(10)]
        answers = await asyncio.gather(first, *calls, return_exceptions=True)
        assert {type(answer) for answer in answers} == {StoreUnavailable}
    await store.delete("other", b"1")  # the one under way is through
    assert [await store.get("k", b"%d" % n) for n in range(10)] == [None] * 10


async def test_a_file_that_is_no_database_is_unavailable_and_never_an_answer(path: Path) -> None:
    path.write_bytes(b"this is no database" * 100)
    store = SqliteStore(path)
    with pytest.raises(StoreUnavailable):
        await store.open()
    for call in (store.is_revoked("aa" * 16), store.take("k", b"1"), store.feed(0), store.ping()):
        with pytest.raises(StoreUnavailable):
            await call
    await store.close()


async def test_a_damaged_file_is_unavailable_and_never_an_answer(store: SqliteStore, path: Path) -> None:
    for number in range(200):
        await store.revoke(f"{number:032x}", expires=LATER)
    await store.close()
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))  # the first page has the schema
    damaged = SqliteStore(path)
    for call in (damaged.is_revoked(f"{1:032x}"), damaged.revoke("aa" * 16, expires=LATER), damaged.feed(0)):
        with pytest.raises(StoreUnavailable):
            await call
    await damaged.close()


async def test_a_full_disk_stops_what_it_must_and_leaves_no_half_of_it(store: SqliteStore) -> None:
    def limit(pages: int) -> Any:
        return lambda db: db.execute(f"PRAGMA max_page_count={pages}").fetchall()

    await store.put("k", b"1", b"old", expires=LATER)
    await store.on(store.writer, limit(1))  # SQLite takes the present size
    with pytest.raises(StoreUnavailable, match="full"):
        await store.put("k", b"1", b"new" * 100_000, expires=LATER)
    assert await store.get("k", b"1") == b"old"
    await store.on(store.writer, limit(1 << 30))
    assert await store.put("k", b"1", b"new" * 100_000, expires=LATER)


async def test_a_path_that_is_a_folder_is_unavailable(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path)
    with pytest.raises(StoreUnavailable):
        await store.open()
    await store.close()


async def test_a_store_that_was_closed_is_unavailable(store: SqliteStore) -> None:
    await store.close()
    for call in (store.ping(), store.take("k", b"1")):
        with pytest.raises(StoreUnavailable, match="closed"):
            await call


async def test_a_database_of_an_older_sidecar_is_brought_forward_with_all_that_is_in_it(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for statement in schema.VERSIONS[0]:
            db.execute(statement)
        db.executemany("INSERT INTO records VALUES ('k', ?, x'01', ?)", [(b"1", LATER), (b"2", LATER)])
        db.execute("PRAGMA user_version = 1")
    store = SqliteStore(path, max_records=3)
    await store.open()
    assert await store.get("k", b"1") == b"\x01"
    await store.put("k", b"3", b"value", expires=LATER)
    with pytest.raises(StoreFull):
        await store.put("k", b"4", b"value", expires=LATER)
    await store.close()


async def test_a_copy_of_an_older_database_stays_beside_it(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for statement in schema.VERSIONS[0]:
            db.execute(statement)
        db.execute("INSERT INTO records VALUES ('k', x'31', x'01', ?)", (LATER,))
        db.execute("PRAGMA user_version = 1")
    for _ in range(2):
        store = SqliteStore(path)
        await store.open()
        await store.close()
    copy = path.with_name(f"{path.name}.schema-1")
    assert copy.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(copy)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (1,)
        assert db.execute("SELECT key FROM records").fetchall() == [(b"1",)]
    assert not [each for each in path.parent.iterdir() if "schema-3" in each.name]


async def test_a_new_database_has_no_copy(store: SqliteStore, path: Path) -> None:
    assert not [each for each in path.parent.iterdir() if "schema" in each.name]


async def test_a_folder_that_is_missing_is_unavailable_until_it_is_there(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "missing" / "store.db")
    with pytest.raises(StoreUnavailable):
        await store.open()
    (tmp_path / "missing").mkdir()
    await store.open()
    await store.ping()
    await store.close()


async def test_a_database_of_a_newer_sidecar_is_left_alone(store: SqliteStore, path: Path) -> None:
    await store.close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    newer = SqliteStore(path)
    with pytest.raises(StoreUnavailable, match="99"):
        await newer.open()
    for call in (newer.take("k", b"1"), newer.feed(0), newer.ping()):  # nobody has to call `open` first
        with pytest.raises(StoreUnavailable, match="99"):
            await call
    await newer.close()


async def test_only_the_owner_can_read_the_files(store: SqliteStore, path: Path) -> None:
    await store.put("k", b"1", b"value", expires=LATER)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes.keys() >= {"store.db", "store.db-wal"}
    assert set(modes.values()) == {0o600}


async def test_what_was_written_is_there_after_a_restart(store: SqliteStore, path: Path) -> None:
    await store.put("k", b"1", b"value", expires=LATER)
    revoked = await store.revoke("aa" * 16, expires=LATER)
    await store.close()
    again = SqliteStore(path)
    await again.open()
    assert await again.get("k", b"1") == b"value"
    assert (await again.feed(0)).entries == [revoked]
    await again.close()


async def test_pruning_many_goes_in_steps(path: Path) -> None:
    now = 1000.0
    store = SqliteStore(path, now=lambda: now)
    await store.open()
    for number in range(1200):
        await store.write(
            lambda db, number=number: db.execute(  # type: ignore[misc] # mypy can't type the default
                "INSERT INTO records VALUES ('k', ?, x'00', 500)", (b"%d" % number,)
            )
        )
    assert await store.prune() == 1200
    await store.close()


async def test_a_reader_goes_through_more_pages_than_numbers_are_kept(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sidecar.store.sqlite_feed.NUMBERS", 3)
    monkeypatch.setattr("sidecar.sessions.feed.PAGE", 2)
    for number in range(20):
        await store.revoke(f"{number:032x}", expires=LATER)
        await store.revoke_account(f"did:web:{number}.test", before=LATER, expires=LATER)
        await store.record_handle(f"did:web:{number}.test", None, verified_at=time.time(), expires=LATER)
    await store.prune()
    feed = Feed(store, max_stale=10)
    async with asyncio.timeout(5):
        await feed.catch_up()
    assert all(is_ended(feed, f"{number:032x}") for number in range(20))


# the file changes under us


def without(path: Path, *suffixes: str) -> None:
    for suffix in suffixes:
        path.with_name(path.name + suffix).unlink()


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
async def test_what_is_written_to_a_file_that_is_gone_by_then_is_not_confirmed(
    store: SqliteStore, path: Path, suffix: str
) -> None:
    await store.put("k", b"1", b"value", expires=LATER)

    def work(db: sqlite3.Connection) -> None:
        db.execute("INSERT INTO revocations VALUES (1, 'aa', ?)", (LATER,))
        without(path, suffix)

    with pytest.raises(StoreUnavailable, match="replaced"):
        await store.write(work)
    await store.revoke("bb" * 16, expires=LATER)
    again = SqliteStore(path)
    assert await again.is_revoked("bb" * 16)
    await again.close()


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
async def test_every_verb_notices_that_the_file_is_gone_and_the_next_call_opens_what_is_there(
    store: SqliteStore, path: Path, suffix: str
) -> None:
    calls = [
        lambda: store.feed(0),
        lambda: store.revoke("aa" * 16, expires=LATER),
        lambda: store.take("k", b"1"),
        lambda: store.is_revoked("aa" * 16),
        store.ping,
    ]
    for call in calls:
        await asyncio.gather(store.ping(), store.feed(0))  # both connections are open
        without(path, suffix)
        with pytest.raises(StoreUnavailable, match="replaced"):
            await call()
        await call()


async def test_a_file_that_was_opened_anew_is_no_continuation(store: SqliteStore, path: Path) -> None:
    revoked = await store.revoke("aa" * 16, expires=LATER)
    assert (await store.feed(0)).continues
    assert (await store.feed(revoked.seq)).continues
    without(path, "-shm")
    with pytest.raises(StoreUnavailable):
        await store.feed(revoked.seq)
    assert not (await store.feed(revoked.seq)).continues
    assert (await store.feed(revoked.seq)).continues


async def test_what_was_in_a_log_that_was_removed_is_saved(store: SqliteStore, path: Path) -> None:
    await store.revoke("aa" * 16, expires=LATER)
    without(path, "-wal")
    with pytest.raises(StoreUnavailable):
        await store.feed(0)
    assert await store.is_revoked("aa" * 16)


async def test_two_stores_of_one_process_go_on_together(store: SqliteStore, path: Path) -> None:
    other = SqliteStore(path)
    await other.put("k", b"1", b"value", expires=LATER)
    without(path, "-wal", "-shm")
    with pytest.raises(StoreUnavailable):
        await other.revoke("aa" * 16, expires=LATER)
    await other.revoke("aa" * 16, expires=LATER)
    assert await store.is_revoked("aa" * 16)
    await store.revoke("bb" * 16, expires=LATER)
    assert await other.is_revoked("bb" * 16)
    await other.close()


async def test_a_folder_that_is_gone_is_unavailable_until_it_is_back(store: SqliteStore, path: Path) -> None:
    path.parent.rename(path.parent.with_name("moved"))
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            await store.revoke("aa" * 16, expires=LATER)
    path.parent.mkdir()
    await store.revoke("aa" * 16, expires=LATER)
    assert (await store.feed(0)).entries


async def test_a_backup_of_an_older_sidecar_is_brought_forward_in_place(
    store: SqliteStore, path: Path
) -> None:
    await store.revoke("aa" * 16, expires=LATER)
    await store.feed(0)
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as old:
        for statement in schema.VERSIONS[0]:
            old.execute(statement)
        old.execute("INSERT INTO revocations VALUES (1, ?, ?)", ("bb" * 16, LATER))
        old.execute("UPDATE feed SET seq = 1")
        old.execute("PRAGMA user_version = 1")
        with closing(sqlite3.connect(path)) as db:
            old.backup(db)
    with pytest.raises(StoreUnavailable):
        await store.feed(0)
    page = await store.feed(0)
    assert [entry.session_id for entry in page.entries if isinstance(entry, Revocation)] == ["bb" * 16]
    assert (await store.feed(page.next)).continues


async def test_readiness_is_one_attempt_to_write_however_many_ask(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = 0
    run = store.writer.run

    async def counted(work: Any) -> Any:
        nonlocal attempts
        attempts += 1
        return await run(work)

    monkeypatch.setattr(store.writer, "run", counted)
    await asyncio.gather(*(store.ping() for _ in range(100)))
    assert attempts == 1
    with write_lock_held(path):
        answers = await asyncio.gather(*(store.ping() for _ in range(10)), return_exceptions=True)
        assert {type(answer) for answer in answers} == {StoreUnavailable}
    assert attempts == 2
    await store.ping()


async def test_a_full_database_is_not_ready(store: SqliteStore) -> None:
    def limit(pages: int) -> Any:
        return lambda db: db.execute(f"PRAGMA max_page_count={pages}").fetchall()

    await store.ping()
    await store.on(store.writer, lambda db: db.execute("PRAGMA incremental_vacuum").fetchall())
    await store.on(store.writer, limit(1))
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="full"):
            await store.ping()
    await store.on(store.writer, limit(1 << 30))
    await store.ping()


def size(path: Path) -> int:
    return sum(file.stat().st_size for file in path.parent.iterdir())


@pytest.mark.parametrize("made_by", ["this sidecar", "an older one"])
async def test_the_file_shrinks_after_a_flood_of_abandoned_sign_ins(path: Path, made_by: str) -> None:
    if made_by == "an older one":
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            for statement in (*schema.VERSIONS[0], *schema.VERSIONS[1]):
                db.execute(statement)
            db.execute("PRAGMA user_version = 2")
    now = 1000.0
    store = SqliteStore(path, now=lambda: now)
    await store.open()
    await store.revoke("aa" * 16, expires=LATER)
    rows = [(b"%d" % number, bytes(1000)) for number in range(20_000)]
    insert = "INSERT INTO records VALUES ('pending', ?, ?, 1500)"
    await store.write(lambda db: db.executemany(insert, rows))
    await store.prune()
    assert size(path) > 20_000_000
    now = 2000.0
    assert await store.prune() == 20_000
    assert path.stat().st_size < 2_000_000
    assert await store.is_revoked("aa" * 16)
    assert await store.prune() == 0
    await store.close()
