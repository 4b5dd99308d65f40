"""A thread of its own for blocking work on one SQLite connection, and how that connection is opened.

Owns: `Lane`, the making of the file, the settings of a connection. Doesn't belong here: what is asked of the
database (sqlite.py), its tables (schema.py).
"""

import asyncio
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from sidecar.errors import StoreUnavailable
from sidecar.store.schema import refuse_newer

T = TypeVar("T")

_BUSY = 5.0  # seconds to wait for another's lock
_creating = threading.Lock()


class Lane:
    """One thread with one connection, opened by its first piece of work and again after a failure to open."""

    def __init__(self, name: str, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._db: sqlite3.Connection | None = None
        self._closed = False

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What `work` returns. Raises StoreUnavailable once closed, sqlite3.Error, OSError."""
        if self._closed:
            raise StoreUnavailable(f"{self._path} is closed")
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._run, work)

    def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if self._db is None:
            self._db = _connect(self._path)
        return work(self._db)

    async def close(self) -> None:
        """After the work under way; idempotent."""
        if not self._closed:
            self._closed = True
            await asyncio.get_running_loop().run_in_executor(self._thread, self._disconnect)
            self._thread.shutdown(wait=False)

    def _disconnect(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None


def _connect(path: Path) -> sqlite3.Connection:
    _create(path)
    db = sqlite3.connect(path, timeout=_BUSY, isolation_level=None, check_same_thread=False)
    try:
        _use_wal(db)
        db.execute("PRAGMA synchronous=FULL")  # a sign-out that was confirmed survives a power cut
        refuse_newer(db)
    except BaseException:
        db.close()
        raise
    return db


def _create(path: Path) -> None:
    """Make the file, readable by us alone; SQLite gives -wal and -shm the same mode.

    A file that exists is never opened here: to close any descriptor of it drops every lock that this process
    has on it (https://sqlite.org/howtocorrupt.html, 2.2), and another would delete the -wal file under us.
    For the same reason nobody connects between the two steps.
    """
    with _creating, suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def _use_wal(db: sqlite3.Connection) -> None:
    """The busy timeout doesn't cover this step, which several workers take at once on a new file."""
    until = time.monotonic() + _BUSY
    while True:
        try:
            db.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            primary = error.sqlite_errorcode & 0xFF  # the rest says which kind of busy
            if primary != sqlite3.SQLITE_BUSY or time.monotonic() >= until:
                raise
            time.sleep(0.01)
        else:
            return
