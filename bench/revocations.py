"""Many revocations in a store, without the hours that a million durable commits would take.

The store itself makes the file and its tables; the rows are what a million calls of `revoke` leave behind,
in one transaction, and the store is asked afterwards whether it knows them."""

import asyncio
import random
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from sidecar.store.sqlite import SqliteStore

_DAY = 86400.0
_LIFETIME = 30 * _DAY
_EXPIRING = 0.05  # share of those that end while the run lasts, so that expiry is part of what is measured
_SOON = (30.0, 150.0)  # seconds from now


def write(path: Path, count: int) -> str:
    """Into a new database: `count` revocations with random ids; the id of one that lasts. Their ends are
    spread over the next 30 days, some over the next minutes."""
    now = time.time()
    asyncio.run(_create(path))
    dice = random.Random(count)  # noqa: S311 # no secret: the same rows in every run
    last = f"{dice.getrandbits(128):032x}"
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("PRAGMA synchronous = OFF")
        db.executemany("INSERT INTO revocations VALUES (?, ?, ?)", _rows(count - 1, dice, now))
        db.execute("INSERT INTO revocations VALUES (?, ?, ?)", (count, last, now + _LIFETIME))
        db.execute("UPDATE feed SET seq = ?", (count,))
    if not asyncio.run(_knows(path, last)):
        raise ValueError(f"{path}: the store doesn't know what was written")
    return last


def _rows(count: int, dice: random.Random, now: float) -> Iterator[tuple[int, str, float]]:
    """In the order of their ids, which is the fastest for SQLite's index."""
    ids = sorted(dice.getrandbits(128) for _ in range(count))
    for seq, number in enumerate(ids, 1):
        ends = dice.uniform(*_SOON) if dice.random() < _EXPIRING else dice.uniform(_DAY, _LIFETIME)
        yield seq, f"{number:032x}", now + ends


async def _create(path: Path) -> None:
    store = SqliteStore(path)
    await store.open()
    await store.close()


async def _knows(path: Path, session_id: str) -> bool:
    store = SqliteStore(path)
    try:
        return await store.is_revoked(session_id)
    finally:
        await store.close()
