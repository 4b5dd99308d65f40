"""The tables of the SQLite store, and how an older file becomes a newer one.

Owns: one list of statements per version; `PRAGMA user_version` says how many a file has had.
"""

import sqlite3

from sidecar.errors import StoreUnavailable

_VERSIONS = (
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
)


def refuse_newer(db: sqlite3.Connection) -> None:
    """Raises StoreUnavailable for a file whose tables this version can't know."""
    if _version(db) > len(_VERSIONS):
        raise StoreUnavailable(
            f"the file's schema is {_version(db)}, this sidecar knows up to {len(_VERSIONS)}"
        )


def migrate(db: sqlite3.Connection) -> None:
    """Bring the file to the newest version; safe when several workers start at once.

    A file that has it is only read: nobody who holds the write lock keeps a worker from starting.
    """
    refuse_newer(db)
    if _version(db) == len(_VERSIONS):
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        refuse_newer(db)
        for statements in _VERSIONS[_version(db) :]:
            for statement in statements:
                db.execute(statement)
        db.execute(f"PRAGMA user_version = {len(_VERSIONS)}")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _version(db: sqlite3.Connection) -> int:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    return int(version)
