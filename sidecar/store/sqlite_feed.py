"""The feed in SQLite: what each of its verbs does within a transaction.

Owns: the queries on revocations, accounts, handles and numbers.
Doesn't belong here: transactions (sqlite.py), tables (schema.py).
"""

import sqlite3
from collections.abc import Iterable

from sidecar.store import AccountRevocation, FeedEntry, FeedPage, HandleFact, Revocation, SignOut


def revoke(db: sqlite3.Connection, session_id: str, expires: float) -> Revocation:
    known = db.execute("SELECT seq, expires FROM revocations WHERE session_id=?", (session_id,)).fetchone()
    if known:
        return Revocation(known[0], session_id, known[1])
    seq = _next_number(db)
    db.execute("INSERT INTO revocations VALUES (?, ?, ?)", (seq, session_id, expires))
    return Revocation(seq, session_id, expires)


def revoke_account(db: sqlite3.Connection, did: str, before: float, expires: float) -> AccountRevocation:
    known = db.execute("SELECT seq, before, expires FROM accounts WHERE did=?", (did,)).fetchone()
    if known and before <= known[1] and expires <= known[2]:
        return AccountRevocation(known[0], did, known[1], known[2])
    if known:
        before, expires = max(before, known[1]), max(expires, known[2])
    entry = AccountRevocation(_next_number(db), did, before, expires)
    db.execute("INSERT OR REPLACE INTO accounts VALUES (?, ?, ?, ?)", (did, entry.seq, before, expires))
    return entry


def record_handle(
    db: sqlite3.Connection,
    did: str,
    handle: str | None,
    *,
    verified_at: float,
    expires: float,
    believed: float,
) -> None:
    """`believed`: the latest time at which a clock that is right can have verified anything."""
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
            db.execute(change, (_next_number(db), verified_at, other))
    row = (did, _next_number(db), owned, verified_at, expires)
    db.execute("INSERT OR REPLACE INTO handles VALUES (?, ?, ?, ?, ?)", row)


def write_back(db: sqlite3.Connection, entries: Iterable[FeedEntry], *, believed: float) -> None:
    for entry in entries:
        if isinstance(entry, Revocation):
            revoke(db, entry.session_id, entry.expires)
        elif isinstance(entry, AccountRevocation):
            revoke_account(db, entry.did, entry.before, entry.expires)
        else:
            record_handle(
                db,
                entry.did,
                entry.handle,
                verified_at=entry.verified_at,
                expires=entry.expires,
                believed=believed,
            )


def lacking(db: sqlite3.Connection, entries: Iterable[SignOut], *, now: float) -> list[SignOut]:
    return [entry for entry in entries if not _has(db, entry, now)]


def _has(db: sqlite3.Connection, entry: SignOut, now: float) -> bool:
    if isinstance(entry, Revocation):
        query = "SELECT 1 FROM revocations WHERE session_id=? AND expires>?"
        return db.execute(query, (entry.session_id, now)).fetchone() is not None
    query = "SELECT 1 FROM accounts WHERE did=? AND before>=? AND expires>=?"
    return db.execute(query, (entry.did, entry.before, entry.expires)).fetchone() is not None


def page(db: sqlite3.Connection, after: int, *, now: float, limit: int) -> FeedPage:
    """All from one snapshot."""
    db.execute("BEGIN")
    try:
        store_id, last = db.execute("SELECT identity.id, feed.seq FROM identity, feed").fetchone()
        known = not after or db.execute(_KNOWN, {"seq": after}).fetchone() is not None
        rows = db.execute(_PAGE, {"after": after, "now": now, "limit": limit}).fetchall()
    finally:
        db.execute("ROLLBACK")
    entries = [_entry(*row) for row in rows]
    return FeedPage(store_id, known, entries[-1].seq if len(entries) == limit else last, entries)


def forget_numbers(db: sqlite3.Connection) -> int:
    """All but the latest: a reader asks every second, and after older numbers only on its way through."""
    oldest = "SELECT seq FROM numbers ORDER BY seq DESC LIMIT 1 OFFSET ?"
    return db.execute(f"DELETE FROM numbers WHERE seq <= ({oldest})", (NUMBERS,)).rowcount  # noqa: S608 # our own


NUMBERS = 10_000

_KNOWN = """
SELECT 1 FROM numbers WHERE seq = :seq UNION ALL SELECT 1 FROM revocations WHERE seq = :seq
UNION ALL SELECT 1 FROM accounts WHERE seq = :seq UNION ALL SELECT 1 FROM handles WHERE seq = :seq
"""

# Each arm is cut before the union, or every page would read and sort all that remains.
_PAGE = """
SELECT * FROM (
  SELECT seq, 'session', session_id, NULL, NULL, expires
    FROM revocations WHERE seq > :after AND expires > :now ORDER BY seq LIMIT :limit
)
UNION ALL
SELECT * FROM (
  SELECT seq, 'account', did, NULL, before, expires
    FROM accounts WHERE seq > :after AND expires > :now ORDER BY seq LIMIT :limit
)
UNION ALL
SELECT * FROM (
  SELECT seq, 'handle', did, handle, verified_at, expires
    FROM handles WHERE seq > :after AND expires > :now ORDER BY seq LIMIT :limit
)
ORDER BY 1 LIMIT :limit
"""


def _entry(seq: int, kind: str, name: str, handle: str | None, at: float, expires: float) -> FeedEntry:
    if kind == "session":
        return Revocation(seq, name, expires)
    if kind == "account":
        return AccountRevocation(seq, name, at, expires)
    return HandleFact(seq, name, handle, at, expires)


def _next_number(db: sqlite3.Connection) -> int:
    """By random steps: a store that went back to a backup gives out other numbers than it did before."""
    step = "UPDATE feed SET seq = seq + 1 + (random() & 2147483647) RETURNING seq"
    (seq,) = db.execute(step).fetchone()
    return int(seq)
