"""The tables of the SQLite store, and how a file of an older version becomes one of the newest.

Owns: one list of statements per version; `PRAGMA user_version` says how many of them a file has had. The copy
that is kept of an older file.
"""

import os
import sqlite3
from pathlib import Path

from sidecar.errors import StoreUnavailable

VERSIONS = (
    (
        """CREATE TABLE records (
            kind TEXT NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, expires REAL NOT NULL,
            PRIMARY KEY (kind, key)
        )""",
        "CREATE INDEX records_expires ON records (expires)",
        """CREATE TABLE revocations (
            seq INTEGER PRIMARY KEY, session_id TEXT NOT NULL UNIQUE, expires REAL NOT NULL
        )""",
        "CREATE INDEX revocations_expires ON revocations (expires)",
        """CREATE TABLE handles (
            did TEXT PRIMARY KEY, seq INTEGER NOT NULL UNIQUE, handle TEXT,
            verified_at REAL NOT NULL, expires REAL NOT NULL
        )""",
        "CREATE INDEX handles_handle ON handles (handle)",
        "CREATE INDEX handles_expires ON handles (expires)",
        "CREATE TABLE feed (seq INTEGER NOT NULL)",  # one row: the last number given out
        "INSERT INTO feed VALUES (0)",
    ),
    (  # how many records there are of a kind, without counting them at every `put`
        "CREATE TABLE counts (kind TEXT PRIMARY KEY, count INTEGER NOT NULL)",
        "INSERT INTO counts SELECT kind, count(*) FROM records GROUP BY kind",
        """CREATE TRIGGER records_in AFTER INSERT ON records BEGIN
            INSERT INTO counts VALUES (new.kind, 1) ON CONFLICT (kind) DO UPDATE SET count = count + 1;
        END""",
        """CREATE TRIGGER records_out AFTER DELETE ON records BEGIN
            UPDATE counts SET count = count - 1 WHERE kind = old.kind;
        END""",
    ),
    (  # how a reader of the feed notices that the store went back to a backup, or is another one
        "CREATE TABLE identity (id TEXT NOT NULL)",
        "INSERT INTO identity VALUES (lower(hex(randomblob(16))))",
        "CREATE TABLE numbers (seq INTEGER PRIMARY KEY)",  # those given out lately
        "INSERT INTO numbers SELECT seq FROM feed",
        """CREATE TRIGGER numbers_in AFTER UPDATE ON feed BEGIN
            INSERT OR IGNORE INTO numbers VALUES (new.seq);
        END""",
        """CREATE TABLE accounts (
            did TEXT PRIMARY KEY, seq INTEGER NOT NULL UNIQUE, before REAL NOT NULL, expires REAL NOT NULL
        )""",
        "CREATE INDEX accounts_expires ON accounts (expires)",
    ),
)


def refuse_newer(db: sqlite3.Connection) -> None:
    """Raises StoreUnavailable for a file of a newer sidecar: this one can't know its tables."""
    if _version(db) > len(VERSIONS):
        raise StoreUnavailable(
            f"the file's schema is {_version(db)}, this sidecar knows up to {len(VERSIONS)}"
        )


def migrate(db: sqlite3.Connection) -> None:
    """Bring the file to the newest version; safe if several workers start at once.

    A file of the newest version is only read, so a held write lock keeps no worker from starting.
    """
    refuse_newer(db)
    if _version(db) == len(VERSIONS):
        return
    _keep_a_copy(db)
    db.execute("BEGIN IMMEDIATE")
    try:
        refuse_newer(db)
        for statements in VERSIONS[_version(db) :]:
            for statement in statements:
                db.execute(statement)
        db.execute(f"PRAGMA user_version = {len(VERSIONS)}")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _keep_a_copy(db: sqlite3.Connection) -> None:
    """Of an older file, beside it, as FILE.schema-1 for example: the way back to an older sidecar."""
    version = _version(db)
    file = db.execute("PRAGMA database_list").fetchone()[2]
    if not version or not file:
        return
    copy = Path(f"{file}.schema-{version}")
    try:
        os.close(os.open(copy, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:  # by another worker, or by an earlier try
        return
    try:
        db.execute("VACUUM INTO ?", (str(copy),))
    except BaseException:
        copy.unlink(missing_ok=True)
        raise


def _version(db: sqlite3.Connection) -> int:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    return int(version)
