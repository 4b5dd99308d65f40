"""A thread of its own for blocking work on one SQLite connection.

Owns: `Lane`: the thread, and when its connection is opened anew. Doesn't belong here: how a connection is
opened and what belongs to it (file.py), what is asked of the database (sqlite.py).
"""

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from sidecar.errors import StoreUnavailable
from sidecar.store.file import FileChanged, file_at

T = TypeVar("T")

# After these errors a connection is as good as before. After any other, new ones may do better: a file that
# was read-only when the first one was opened stays so for the whole process.
_PASSING = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CONSTRAINT}


class Lane:
    """One thread with one connection, opened by its first piece of work, and again after an error."""

    def __init__(self, name: str, path: Path) -> None:
        self._path = path
        self._file = file_at(path)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._working = threading.Lock()
        self._db: sqlite3.Connection | None = None
        self._closed = False
        self.opened = 0  # times that a connection was opened

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What `work` returns. Raises StoreUnavailable (closed, file changed), sqlite3.Error, OSError."""
        if self._closed:
            raise StoreUnavailable(f"{self._path} is closed")
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._run, work)

    def verify(self) -> None:
        """For use within `work`. Raises FileChanged if what it writes would be lost."""
        self._file.verify()

    def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            with self._working:
                return self._work(work)
        except (FileChanged, sqlite3.Error) as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _PASSING:
                self._file.close_all()
            raise

    def _work(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if self._db is None:
            self._db = self._file.connect(self)
            self.opened += 1
        self._file.verify()
        self._db.execute("PRAGMA shrink_memory")  # forgets pages: the file may have been written over
        result = work(self._db)
        self._file.verify()
        return result

    def disconnect(self) -> None:
        """Close the connection after the work under way; the next piece of work opens another."""
        with self._working:
            self._db = None
            self._file.disconnect(self)

    async def close(self) -> None:
        """After the work under way; idempotent."""
        if not self._closed:
            self._closed = True
            await asyncio.get_running_loop().run_in_executor(self._thread, self.disconnect)
            self._thread.shutdown(wait=False)
