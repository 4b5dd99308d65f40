"""What becomes of sign-outs if the database is restored, replaced, locked or full, with real processes."""

import asyncio
import os
import shutil
import signal
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.fakes.services import Club


@pytest.fixture
async def club(tmp_path: Path) -> AsyncIterator[Club]:
    made = Club(tmp_path)
    yield made
    for service in made.services:
        await service.stop(signal.SIGKILL)


def restored(club: Club, backup: Path) -> None:
    """As `sqlite3 sidecar.db ".restore backup.db"` does it."""
    with closing(sqlite3.connect(backup)) as source, closing(sqlite3.connect(club.database)) as target:
        source.backup(target)


def copied_over(club: Club, backup: Path) -> None:
    shutil.copyfile(backup, club.database)


def copied_over_after_a_checkpoint(club: Club, backup: Path) -> None:
    with closing(sqlite3.connect(club.database)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        copied_over(club, backup)


def copied_over_while_the_log_has_a_part(club: Club, backup: Path) -> None:
    with closing(sqlite3.connect(club.database, isolation_level=None)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.execute("UPDATE feed SET seq = seq + 1")
        copied_over(club, backup)


def moved_over(club: Club, backup: Path) -> None:
    shutil.move(backup, club.database)


def moved_over_without_its_log(club: Club, backup: Path) -> None:
    moved_over(club, backup)
    without_log_and_index(club, backup)


def copied_over_without_its_log(club: Club, backup: Path) -> None:
    copied_over(club, backup)
    without_log_and_index(club, backup)


def deleted(club: Club, backup: Path) -> None:
    club.database.unlink()


def deleted_with_all_beside_it(club: Club, backup: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        club.beside(suffix).unlink()


def without_log(club: Club, backup: Path) -> None:
    club.beside("-wal").unlink()


def without_index(club: Club, backup: Path) -> None:
    club.beside("-shm").unlink()


def without_log_and_index(club: Club, backup: Path) -> None:
    without_log(club, backup)
    without_index(club, backup)


def truncated(club: Club, backup: Path) -> None:
    os.truncate(club.database, 0)


def folder_replaced(club: Club, backup: Path) -> None:
    club.data.rename(club.folder / "data.old")
    club.data.mkdir()
    shutil.move(backup, club.database)


def folder_replaced_by_an_empty_one(club: Club, backup: Path) -> None:
    club.data.rename(club.folder / "data.old")
    club.data.mkdir()


def emptied(club: Club, backup: Path) -> None:
    """`.restore` of a database without tables."""
    with closing(sqlite3.connect(":memory:")) as source, closing(sqlite3.connect(club.database)) as target:
        source.backup(target)


MISHAPS = [
    restored,
    copied_over,
    copied_over_after_a_checkpoint,
    copied_over_while_the_log_has_a_part,
    copied_over_without_its_log,
    moved_over,
    moved_over_without_its_log,
    deleted,
    deleted_with_all_beside_it,
    without_log,
    without_index,
    without_log_and_index,
    truncated,
    folder_replaced,
    folder_replaced_by_an_empty_one,
    emptied,
]


@pytest.mark.parametrize("mishap", MISHAPS)
async def test_whatever_happens_to_the_file_every_sign_out_that_was_confirmed_outlives_a_restart(
    club: Club, mishap: Callable[[Club, Path], None]
) -> None:
    first, second = await asyncio.gather(club.service("a").start(), club.service("b").start())
    before, backed_up, after, much_later, kept = (club.cookie() for _ in range(5))
    await first.signed_out(before)
    backup = club.backup()
    await first.signed_out(backed_up)
    await second.answers(backed_up, 401)
    mishap(club, backup)
    await first.signed_out(after)
    await second.answers(after, 401)
    await second.signed_out(much_later)
    await first.answers(much_later, 401)
    for service in (first, second):
        await service.answers(kept, 200)
        assert await service.ready() == 200
        await service.stop(signal.SIGKILL)
    third = await club.service("c").start()
    seen = [await third.check(cookie) for cookie in (before, backed_up, after, much_later, kept)]
    assert seen == [401, 401, 401, 401, 200]


async def test_a_store_that_went_back_and_forward_again_to_the_same_count_is_noticed(club: Club) -> None:
    first, second = await asyncio.gather(club.service("a").start(), club.service("b").start())
    lost, other = club.cookie(), club.cookie()
    backup = club.backup()
    await first.signed_out(lost)
    await second.answers(lost, 401)
    second.send(signal.SIGSTOP)  # it sees nothing between the two
    restored(club, backup)
    await first.signed_out(other)
    second.send(signal.SIGCONT)
    await second.answers(other, 401)
    for service in (first, second):
        await service.stop(signal.SIGKILL)
    third = await club.service("c").start()
    assert [await third.check(lost), await third.check(other)] == [401, 401]


@contextmanager
def write_lock_held(database: Path) -> Iterator[None]:
    with closing(sqlite3.connect(database, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        yield
        db.execute("ROLLBACK")


async def test_a_sign_out_that_could_not_be_recorded_is_recorded_as_soon_as_it_can_be(club: Club) -> None:
    first, second = await asyncio.gather(club.service("a").start(), club.service("b").start())
    cookies = [club.cookie() for _ in range(5)]
    with write_lock_held(club.database):
        answers = await asyncio.gather(*(first.sign_out(cookie) for cookie in cookies))
        for answer in answers:
            assert (answer.status_code, "set-cookie" in answer.headers) == (503, False)
            assert "<code>sign_out_not_recorded</code>" in answer.text
            assert "/logout" in answer.text
        assert {await first.check(cookie) for cookie in cookies} == {401}
        assert "Sign out</button>" in (await first.page(cookies[0])).text
        assert await first.ready() == 503
    for cookie in cookies:
        await second.answers(cookie, 401, within=10)
    assert "You aren't signed in" in (await first.page(cookies[0])).text
    assert "sign_out_recorded_late" in first.output()
    for service in (first, second):
        await service.stop(signal.SIGKILL)
    third = await club.service("c").start()
    assert {await third.check(cookie) for cookie in cookies} == {401}


async def test_the_event_loop_and_the_feed_go_on_while_a_sign_out_waits(club: Club) -> None:
    first = await club.service("a").start()
    cookie, kept = club.cookie(), club.cookie()
    with write_lock_held(club.database):
        assert (await first.sign_out(cookie)).status_code == 503
        slowest = 0.0
        for _ in range(40):
            begun = time.monotonic()
            assert await first.check(kept) == 200
            slowest = max(slowest, time.monotonic() - begun)
            await asyncio.sleep(0.1)
    assert slowest < 0.5
    await club.service("b").start()


async def test_a_sign_out_gets_a_last_chance_when_the_process_stops(club: Club) -> None:
    first = await club.service("a").start()
    cookie = club.cookie()
    with write_lock_held(club.database):
        assert (await first.sign_out(cookie)).status_code == 503
        stopping = asyncio.create_task(first.stop())
        await asyncio.sleep(0.3)
    await stopping
    assert await (await club.service("b").start()).check(cookie) == 401


@pytest.mark.parametrize("locked", ["file", "folder"])
async def test_a_worker_that_started_on_a_read_only_file_records_sign_outs_once_it_is_writable(
    club: Club, locked: str
) -> None:
    service = await club.service("a").start()
    await service.stop()
    target = club.database if locked == "file" else club.data
    writable = target.stat().st_mode
    target.chmod(writable & ~0o222)
    cookie = club.cookie()
    await service.start()
    assert await service.ready() == 503
    assert (await service.sign_out(cookie)).status_code == 503
    target.chmod(writable)
    async with asyncio.timeout(10):
        while await service.ready() != 200 or "sign_out_recorded_late" not in service.output():
            await asyncio.sleep(0.1)
    await service.stop(signal.SIGKILL)
    await service.start()
    assert await service.check(cookie) == 401


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system")
async def test_a_full_disk_is_not_ready_and_what_was_signed_out_meanwhile_is_recorded_later(
    club: Club,
) -> None:
    small = ("mount", "-t", "tmpfs", "-o", "size=8m", "none", str(club.data))
    if await (await asyncio.create_subprocess_exec(*small)).wait():
        pytest.skip("no file system can be mounted here")
    service = club.service("a")
    try:
        await service.start()
        assert await service.ready() == 200
        filler = club.data / "filler"
        filler.write_bytes(bytes(shutil.disk_usage(club.data).free))
        cookies = []
        async with asyncio.timeout(20):  # the log has some room of its own
            while (cookie := club.cookie()) and (await service.sign_out(cookie)).status_code == 200:
                cookies.append(cookie)
        assert await service.ready() == 503
        filler.unlink()
        async with asyncio.timeout(10):
            while await service.ready() != 200 or "sign_out_recorded_late" not in service.output():
                await asyncio.sleep(0.1)
        await service.stop(signal.SIGKILL)
        await service.start()
        assert {await service.check(each) for each in (*cookies, cookie)} == {401}
    finally:
        await service.stop(signal.SIGKILL)
        await (await asyncio.create_subprocess_exec("umount", str(club.data))).wait()
