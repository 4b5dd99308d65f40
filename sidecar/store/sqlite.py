"""The default store: one SQLite file, shared by the workers of one machine.

Owns: `SqliteStore`, its transactions, its records. Doesn't belong here: the feed's queries (sqlite_feed.py),
tables (schema.py), threads (lane.py), the file (file.py), what every store promises (store/__init__.py).

The event loop never waits for the disk: writes go to one thread, reads to another. Under WAL no writer holds
up a reader (https://sqlite.org/wal.html), so the feed is followed even while another process holds the write
lock for seconds. SQLite has one writer at a time, so numbers rise in the order of commits, and a reader of
the feed misses no entry.
"""

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from sidecar.errors import StoreFull, StoreUnavailable
from sidecar.store import (
    CLOCK_AHEAD,
    AccountRevocation,
    FeedEntry,
    FeedPage,
    HandleFact,
    Revocation,
    SignOut,
    sqlite_feed,
)
from sidecar.store.lane import Lane

T = TypeVar("T")

_PATIENCE = 6.0  # seconds after which a caller gets an error, whatever the thread still waits for
_PRUNE_STEP = 500  # rows or pages per transaction: the write lock is never held for long
_PRUNE_PAUSE = 0.01  # seconds between the steps: others get their turn
_SPARE = 250  # free pages that are kept for the next records: 1 MB
_PROBE = 8192  # bytes: more than fits into a page that is there already


class SqliteStore:
    """`max_records`: live records of one kind at most. Raises StoreUnavailable if SQLite fails."""

    def __init__(
        self,
        path: Path,
        *,
        max_records: int = 100_000,
        now: Callable[[], float] = time.time,
        patience: float = _PATIENCE,
    ) -> None:
        self._path = path
        self._max_records = max_records
        self._now = now
        self._patience = patience
        self.writer = Lane("store-writes", path)
        self._reader = Lane("store-reads", path)
        self._followed = 0  # the reader's connection that the last page came from
        self._probing: asyncio.Task[None] | None = None

    async def open(self) -> None:
        await self.on(self.writer, lambda _: None)

    async def close(self) -> None:
        await asyncio.gather(self.writer.close(), self._reader.close())

    async def ping(self) -> None:
        """Callers at one time share one attempt, so that no number of them holds up a sign-out."""
        if self._probing is None or self._probing.done():
            self._probing = asyncio.create_task(self.write(_probe))
        await asyncio.shield(self._probing)

    # records

    async def put(
        self, kind: str, key: bytes, value: bytes, *, expires: float, if_absent: bool = False
    ) -> bool:
        now = self._now()

        def work(db: sqlite3.Connection) -> bool:
            live = db.execute(
                "SELECT 1 FROM records WHERE kind=? AND key=? AND expires>?", (kind, key, now)
            ).fetchone()
            if live and if_absent:
                return False
            if not live:
                self._make_room(db, kind, now)
            db.execute(_PUT, (kind, key, value, expires))
            return True

        return await self.write(work)

    def _make_room(self, db: sqlite3.Connection, kind: str, now: float) -> None:
        if _count(db, kind) >= self._max_records:
            # "+": not by the index on kind, which would read every live record
            _delete_some("records", "expires<=? AND +kind=?", now, kind)(db)
            if _count(db, kind) >= self._max_records:
                raise StoreFull(f"{self._max_records} records of kind {kind}")

    async def get(self, kind: str, key: bytes) -> bytes | None:
        query = "SELECT value FROM records WHERE kind=? AND key=? AND expires>?"
        row = await self.on(self._reader, lambda db: db.execute(query, (kind, key, self._now())).fetchone())
        return bytes(row[0]) if row else None

    async def take(self, kind: str, key: bytes) -> bytes | None:
        query = "DELETE FROM records WHERE kind=? AND key=? RETURNING value, expires"
        row = await self.write(lambda db: db.execute(query, (kind, key)).fetchone())
        return bytes(row[0]) if row and row[1] > self._now() else None

    async def delete(self, kind: str, key: bytes) -> None:
        await self.write(
            lambda db: db.execute("DELETE FROM records WHERE kind=? AND key=?", (kind, key)).rowcount
        )

    async def prune(self) -> int:
        deleted = 0
        now = self._now()
        for table in ("records", "revocations", "accounts", "handles"):
            deleted += await _repeat(partial(self.write, _delete_some(table, "expires<=?", now)))
        await self.write(sqlite_feed.forget_numbers)
        await _repeat(partial(self.on, self.writer, _give_back))
        return deleted

    # the feed

    async def revoke(self, session_id: str, *, expires: float) -> Revocation:
        return await self.write(lambda db: sqlite_feed.revoke(db, session_id, expires))

    async def is_revoked(self, session_id: str) -> bool:
        query = "SELECT 1 FROM revocations WHERE session_id=? AND expires>?"
        parameters = (session_id, self._now())
        return bool(await self.on(self._reader, lambda db: db.execute(query, parameters).fetchone()))

    async def revoke_account(self, did: str, *, before: float, expires: float) -> AccountRevocation:
        return await self.write(lambda db: sqlite_feed.revoke_account(db, did, before, expires))

    async def record_handle(
        self, did: str, handle: str | None, *, verified_at: float, expires: float
    ) -> None:
        fact = HandleFact(0, did, handle, verified_at, expires)
        await self.write_back([fact])

    async def handle_of(self, did: str) -> HandleFact | None:
        query = "SELECT seq, did, handle, verified_at, expires FROM handles WHERE did=? AND expires>?"
        row = await self.on(self._reader, lambda db: db.execute(query, (did, self._now())).fetchone())
        return HandleFact(*row) if row else None

    async def write_back(self, entries: Sequence[FeedEntry]) -> None:
        believed = self._now() + CLOCK_AHEAD
        await self.write(lambda db: sqlite_feed.write_back(db, entries, believed=believed))

    async def lacking(self, entries: Sequence[SignOut]) -> list[SignOut]:
        now = self._now()
        return await self.on(self._reader, lambda db: sqlite_feed.lacking(db, entries, now=now))

    async def feed(self, after: int, *, limit: int = 10_000) -> FeedPage:
        now = self._now()
        page = await self.on(self._reader, lambda db: sqlite_feed.page(db, after, now=now, limit=limit))
        reopened, self._followed = self._reader.opened != self._followed, self._reader.opened
        return replace(page, continues=False) if reopened and after else page

    # threads

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """`work` in one transaction, which takes the write lock before it reads.

        If the file has changed by then, nothing is added to a log that somebody may have saved (file.py).
        """

        def transaction(db: sqlite3.Connection) -> T:
            db.execute("BEGIN IMMEDIATE")
            try:
                self.writer.verify()
                result = work(db)
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
            return result

        return await self.on(self.writer, transaction)

    async def on(self, lane: Lane, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            async with asyncio.timeout(self._patience):  # wait_for can swallow a cancellation before 3.12
                return await lane.run(work)
        except (sqlite3.Error, OSError, TimeoutError) as error:
            raise StoreUnavailable(f"{self._path}: {type(error).__name__} {error}") from error


# No INSERT OR REPLACE: the rows that it replaces are not counted down.
_PUT = """
INSERT INTO records VALUES (?, ?, ?, ?)
ON CONFLICT (kind, key) DO UPDATE SET value = excluded.value, expires = excluded.expires
"""


def _count(db: sqlite3.Connection, kind: str) -> int:
    row = db.execute("SELECT count FROM counts WHERE kind=?", (kind,)).fetchone()
    return int(row[0]) if row else 0


def _probe(db: sqlite3.Connection) -> None:
    db.execute(_PUT, ("probe", b"", bytes(_PROBE), 0))
    db.execute("DELETE FROM records WHERE kind='probe'")


async def _repeat(step: Callable[[], Awaitable[int]]) -> int:
    """Until it finds nothing more to do, with pauses; how much it did in all."""
    done = 0
    while count := await step():
        done += count
        await asyncio.sleep(_PRUNE_PAUSE)
    return done


def _give_back(db: sqlite3.Connection) -> int:
    """Some of the free pages to the file system; their number."""
    if db.execute("PRAGMA auto_vacuum").fetchone() != (_INCREMENTAL,):
        db.execute("PRAGMA auto_vacuum=INCREMENTAL")
        db.execute("VACUUM")  # once, for a file that an older sidecar made
    (free,) = db.execute("PRAGMA freelist_count").fetchone()
    surplus = min(int(free) - _SPARE, _PRUNE_STEP)
    if surplus <= 0:
        return 0
    db.executescript(f"PRAGMA incremental_vacuum({surplus})")  # `execute` stops after one page
    db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
    return surplus


_INCREMENTAL = 2  # as PRAGMA auto_vacuum says it


def _delete_some(table: str, condition: str, *parameters: object) -> Callable[[sqlite3.Connection], int]:
    """One step's worth of the rows; their number. `table` and `condition` are texts of our own."""
    rows = f"SELECT rowid FROM {table} WHERE {condition} LIMIT {_PRUNE_STEP}"  # noqa: S608 # our own text
    query = f"DELETE FROM {table} WHERE rowid IN ({rows})"  # noqa: S608 # likewise
    return lambda db: db.execute(query, parameters).rowcount
