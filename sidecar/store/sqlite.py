"""The embedded default: one SQLite file, shared by the workers of one machine.

Owns: `SqliteStore` and its transactions. Doesn't belong here: the tables (schema.py), threads and connections
(lane.py), what every store promises (store/__init__.py).

The event loop never waits for the disk: writes go to one thread, reads to another. Under WAL a reader isn't
held up by a writer (https://sqlite.org/wal.html), so while somebody holds the write lock for seconds the
feed is still followed. SQLite has one writer at a time, so `seq` rises in the order of commits and a
follower never misses an entry.
"""

import asyncio
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from sidecar.errors import StoreFull, StoreUnavailable
from sidecar.store import CLOCK_AHEAD, FeedEntry, HandleFact, Revocation
from sidecar.store.lane import Lane
from sidecar.store.schema import migrate

T = TypeVar("T")

_PATIENCE = 6.0  # seconds after which a caller is told, whatever the thread still waits for
_PRUNE_STEP = 500  # rows per transaction: the write lock is never held for long
_PRUNE_PAUSE = 0.01  # seconds between the steps: others get their turn


class SqliteStore:
    """`max_records`: live records of one kind at most. Raises StoreUnavailable wherever SQLite fails."""

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
        self._writer = Lane("store-writes", path)
        self._reader = Lane("store-reads", path)

    async def open(self) -> None:
        await self._on(self._writer, migrate)

    async def close(self) -> None:
        await asyncio.gather(self._writer.close(), self._reader.close())

    async def ping(self) -> None:
        await self._on(self._reader, lambda db: db.execute("SELECT 1 FROM records LIMIT 1").fetchall())

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

        return await self._write(work)

    def _make_room(self, db: sqlite3.Connection, kind: str, now: float) -> None:
        if _count(db, kind) >= self._max_records:
            # "+": not by the index on kind, which would read every live record
            _delete_some("records", "expires<=? AND +kind=?", now, kind)(db)
            if _count(db, kind) >= self._max_records:
                raise StoreFull(f"{self._max_records} records of kind {kind}")

    async def get(self, kind: str, key: bytes) -> bytes | None:
        query = "SELECT value FROM records WHERE kind=? AND key=? AND expires>?"
        row = await self._on(self._reader, lambda db: db.execute(query, (kind, key, self._now())).fetchone())
        return bytes(row[0]) if row else None

    async def take(self, kind: str, key: bytes) -> bytes | None:
        query = "DELETE FROM records WHERE kind=? AND key=? RETURNING value, expires"
        row = await self._write(lambda db: db.execute(query, (kind, key)).fetchone())
        return bytes(row[0]) if row and row[1] > self._now() else None

    async def delete(self, kind: str, key: bytes) -> None:
        await self._write(
            lambda db: db.execute("DELETE FROM records WHERE kind=? AND key=?", (kind, key)).rowcount
        )

    async def prune(self) -> int:
        deleted = 0
        now = self._now()
        for table in ("records", "revocations", "handles"):
            step = _delete_some(table, "expires<=?", now)
            while count := await self._write(step):
                deleted += count
                await asyncio.sleep(_PRUNE_PAUSE)
        return deleted

    # the feed

    async def revoke(self, session_id: str, *, expires: float) -> Revocation:
        def work(db: sqlite3.Connection) -> Revocation:
            known = db.execute(
                "SELECT seq, expires FROM revocations WHERE session_id=?", (session_id,)
            ).fetchone()
            if known:
                return Revocation(known[0], session_id, known[1])
            seq = _next_seq(db)
            db.execute("INSERT INTO revocations VALUES (?, ?, ?)", (seq, session_id, expires))
            return Revocation(seq, session_id, expires)

        return await self._write(work)

    async def is_revoked(self, session_id: str) -> bool:
        query = "SELECT 1 FROM revocations WHERE session_id=? AND expires>?"
        parameters = (session_id, self._now())
        return bool(await self._on(self._reader, lambda db: db.execute(query, parameters).fetchone()))

    async def record_handle(
        self, did: str, handle: str | None, *, verified_at: float, expires: float
    ) -> None:
        believed = self._now() + CLOCK_AHEAD

        def work(db: sqlite3.Connection) -> None:
            known = db.execute("SELECT verified_at FROM handles WHERE did=?", (did,)).fetchone()
            if known and verified_at < known[0] <= believed:
                return
            owned = handle
            others = "SELECT did, verified_at FROM handles WHERE handle=? AND did<>?"
            for other, learned_at in db.execute(others, (handle, did)).fetchall():
                if verified_at < learned_at <= believed:
                    owned = None
                else:
                    change = "UPDATE handles SET seq=?, handle=NULL, verified_at=? WHERE did=?"
                    db.execute(change, (_next_seq(db), verified_at, other))
            row = (did, _next_seq(db), owned, verified_at, expires)
            db.execute("INSERT OR REPLACE INTO handles VALUES (?, ?, ?, ?, ?)", row)

        await self._write(work)

    async def handle_of(self, did: str) -> HandleFact | None:
        query = "SELECT seq, did, handle, verified_at, expires FROM handles WHERE did=? AND expires>?"
        row = await self._on(self._reader, lambda db: db.execute(query, (did, self._now())).fetchone())
        return HandleFact(*row) if row else None

    async def feed(self, after: int, *, limit: int = 10_000) -> list[FeedEntry]:
        now = self._now()

        def work(db: sqlite3.Connection) -> list[FeedEntry]:
            # Both tables in one statement, so from one snapshot.
            rows = db.execute(_FEED, {"after": after, "now": now, "limit": limit}).fetchall()
            return [
                Revocation(seq, name, expires)
                if is_revocation
                else HandleFact(seq, name, handle, verified_at, expires)
                for seq, is_revocation, name, handle, verified_at, expires in rows
            ]

        return await self._on(self._reader, work)

    # threads

    async def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """`work` in one transaction, which takes the write lock before it reads."""

        def transaction(db: sqlite3.Connection) -> T:
            db.execute("BEGIN IMMEDIATE")
            try:
                result = work(db)
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
            return result

        return await self._on(self._writer, transaction)

    async def _on(self, lane: Lane, work: Callable[[sqlite3.Connection], T]) -> T:
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

# Each arm is cut before the union, or every page would read and sort all that remains.
_FEED = """
SELECT * FROM (
  SELECT seq, 1, session_id, NULL, NULL, expires
    FROM revocations WHERE seq > :after AND expires > :now ORDER BY seq LIMIT :limit
)
UNION ALL
SELECT * FROM (
  SELECT seq, 0, did, handle, verified_at, expires
    FROM handles WHERE seq > :after AND expires > :now ORDER BY seq LIMIT :limit
)
ORDER BY 1 LIMIT :limit
"""


def _next_seq(db: sqlite3.Connection) -> int:
    """The next number of the feed; pruning doesn't touch it, so no number comes twice."""
    (seq,) = db.execute("UPDATE feed SET seq = seq + 1 RETURNING seq").fetchone()
    return int(seq)


def _count(db: sqlite3.Connection, kind: str) -> int:
    row = db.execute("SELECT count FROM counts WHERE kind=?", (kind,)).fetchone()
    return int(row[0]) if row else 0


def _delete_some(table: str, condition: str, *parameters: object) -> Callable[[sqlite3.Connection], int]:
    """One step's worth of the rows, named by text of our own; the number deleted."""
    rows = f"SELECT rowid FROM {table} WHERE {condition} LIMIT {_PRUNE_STEP}"  # noqa: S608 # our own text
    query = f"DELETE FROM {table} WHERE rowid IN ({rows})"  # noqa: S608 # likewise
    return lambda db: db.execute(query, parameters).rowcount
