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
)


def refuse_newer(db: sqlite3.Connection) -> None:
    """Raises StoreUnavailable for a file whose tables this version can't know."""
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > len(_VERSIONS):
        raise StoreUnavailable(f"the file's schema is {version}, this sidecar knows up to {len(_VERSIONS)}")


def migrate(db: sqlite3.Connection) -> None:
    """Bring the file to the newest version; safe when several workers start at once."""
    db.execute("BEGIN IMMEDIATE")
    try:
        refuse_newer(db)
        (version,) = db.execute("PRAGMA user_version").fetchone()
        for statements in _VERSIONS[version:]:
            for statement in statements:
                db.execute(statement)
        db.execute(f"PRAGMA user_version = {len(_VERSIONS)}")
        db.execute("COMMIT")
    except BaseException:
        db.execute("ROLLBACK")
        raise
