"""The database file: how it is made and opened, and whether what is open is still what is at the path.

Owns: creating the file, the settings of a connection, the files' identity, and closing every connection once
the files have changed. Doesn't belong here: threads (lane.py), tables (schema.py), queries (sqlite.py).

SQLite goes on with files that are no longer at their path, and whatever it writes to them is lost with the
next restart. So lanes ask `verify` before and after each piece of work.
"""

import os
import sqlite3
import stat
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Protocol
from weakref import WeakValueDictionary

from sidecar.errors import StoreUnavailable
from sidecar.store.schema import migrate

Identity = tuple[int, int] | None  # device and inode; None if nothing is there

_BUSY = 5.0  # seconds to wait for another's lock
_CREATED = ("", "-wal", "-shm")  # SQLite's names for the database, its log and the log's index
_creating = threading.Lock()
_files: "WeakValueDictionary[Path, DatabaseFile]" = WeakValueDictionary()


class FileChanged(StoreUnavailable):
    """What is at the path isn't what is open."""


class User(Protocol):
    """Anyone who has a connection. `disconnect` waits for the work under way, then closes it."""

    def disconnect(self) -> None: ...


def file_at(path: Path) -> "DatabaseFile":
    """The one object of this process for the path: all connections to a file share its -shm in memory."""
    with _creating:
        return _files.setdefault(path.absolute(), DatabaseFile(path.absolute()))


class DatabaseFile:
    """One path, and all connections that this process has to what is there. For use from any thread.

    After a change all of them are closed before one is opened again: a new connection beside an old one would
    read the new -wal by the index of the old one.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._real = path  # SQLite follows symbolic links, and puts -wal and -shm beside their target
        self._connecting = threading.Lock()
        self._open: dict[User, sqlite3.Connection] = {}
        self._opened: list[Identity] = []

    def connect(self, user: User) -> sqlite3.Connection:
        """A connection to the newest schema. Raises StoreUnavailable, sqlite3.Error, OSError."""
        with self._connecting:
            if self._open:
                self.verify()
            else:
                self._real = self._path.resolve()
                self._discard_remains()
                self._match_modes()
            db = _connect(self._path)
            found = self._there()
            if self._open and found != self._opened:
                db.close()
                raise self._changed()
            self._opened = found
            self._open[user] = db
            return db

    def disconnect(self, user: User) -> None:
        """Close what `connect` made for the user, if it is still open."""
        with self._connecting:
            db = self._open.pop(user, None)
            if db is None:
                return
            if self._truncated():  # else SQLite would write some pages of the lost content back into it
                with suppress(OSError):
                    self._real.unlink()
            elif self._there() != self._opened:
                with suppress(sqlite3.Error):
                    self._save(db)
            db.close()

    def verify(self) -> None:
        """Raises FileChanged if what is open isn't what is at the path."""
        if self._there() != self._opened:
            raise self._changed()

    def close_all(self) -> None:
        """Close every connection, so that the next use opens what is there now."""
        for user in list(self._open):
            user.disconnect()

    def _save(self, db: sqlite3.Connection) -> None:
        """Bring what only a lost log has into the database, unless somebody uses another log for it already.

        This waits for other writers. Those who write after that notice the change first (SqliteStore), so
        nothing is added to the lost log any more.
        """
        if self._there()[1] in (None, self._opened[1]):
            db.execute("PRAGMA wal_checkpoint(FULL)").fetchall()

    def _discard_remains(self) -> None:
        """A log belongs to one database, and an index to one log: none may be read with another."""
        there, changed = self._there(), False
        for before, now, suffix in zip(self._opened, there, _CREATED, strict=bool(self._opened)):
            if changed and now is not None and now == before:
                self._beside(suffix).unlink(missing_ok=True)
            changed = changed or now != before

    def _match_modes(self) -> None:
        """SQLite made the others as the database was: a file that was read-only then left them so."""
        wanted = _status(self._path)
        for other in map(self._beside, _CREATED[1:]):
            status = _status(other)
            if wanted is not None and status is not None and status.st_mode != wanted.st_mode:
                with suppress(OSError):  # another's file
                    other.chmod(stat.S_IMODE(wanted.st_mode))

    def _there(self) -> list[Identity]:
        database = _status(self._path)
        # Not even a new database is empty. One that was truncated is none: SQLite would drop its log.
        first = _identity(database) if database is not None and database.st_size else None
        return [first, *(_identity(_status(self._beside(suffix))) for suffix in _CREATED[1:])]

    def _truncated(self) -> bool:
        status = _status(self._path)
        return (
            bool(self._opened)
            and status is not None
            and status.st_size == 0
            and _identity(status) == self._opened[0]
        )

    def _beside(self, suffix: str) -> Path:
        return self._real.with_name(self._real.name + suffix)

    def _changed(self) -> FileChanged:
        return FileChanged(f"{self._path}: the file was deleted, replaced or truncated while in use")


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


def _identity(status: os.stat_result | None) -> Identity:
    return (status.st_dev, status.st_ino) if status is not None else None


def _connect(path: Path) -> sqlite3.Connection:
    _create(path)
    db = sqlite3.connect(path, timeout=_BUSY, isolation_level=None, check_same_thread=False)
    try:
        if db.execute("PRAGMA page_count").fetchone() == (0,):
            db.execute(
                "PRAGMA auto_vacuum=INCREMENTAL"
            )  # only a new file takes it; another would be written to
        _use_wal(db)
        db.execute("PRAGMA synchronous=FULL")  # a sign-out that was confirmed survives a power cut
        migrate(db)
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
