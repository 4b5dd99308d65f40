"""A store in this process's memory, for tests, demos and one worker. A restart forgets everything.

Owns: `MemoryStore`. Doesn't belong here: what every store promises (store/__init__.py).
"""

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import takewhile

from sidecar.errors import StoreFull
from sidecar.store import (
    CLOCK_AHEAD,
    AccountRevocation,
    FeedEntry,
    FeedPage,
    HandleFact,
    Revocation,
    SignOut,
)


class MemoryStore:
    """`max_records`: live records of one kind at most."""

    def __init__(self, *, max_records: int = 100_000, now: Callable[[], float] = time.time) -> None:
        self._max_records = max_records
        self._now = now
        self._records: dict[str, dict[bytes, tuple[bytes, float]]] = {}
        self._id = secrets.token_hex(16)
        self._seq = 0
        self.entries: dict[int, FeedEntry] = {}  # rising: a dict keeps its order
        self.revocations: dict[str, Revocation] = {}
        self.accounts: dict[str, AccountRevocation] = {}
        self._handles: dict[str, HandleFact] = {}

    async def open(self) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        """Nothing to do."""

    async def ping(self) -> None:
        """Memory is always there."""

    async def put(
        self, kind: str, key: bytes, value: bytes, *, expires: float, if_absent: bool = False
    ) -> bool:
        records = self._records.setdefault(kind, {})
        live = self._live(kind, key)
        if live is not None and if_absent:
            return False
        if live is None and len(records) >= self._max_records:
            self._drop_expired(records)
            if len(records) >= self._max_records:
                raise StoreFull(f"{self._max_records} records of kind {kind}")
        records[key] = (value, expires)
        return True

    async def get(self, kind: str, key: bytes) -> bytes | None:
        return self._live(kind, key)

    async def take(self, kind: str, key: bytes) -> bytes | None:
        value = self._live(kind, key)
        self._records.get(kind, {}).pop(key, None)
        return value

    async def delete(self, kind: str, key: bytes) -> None:
        self._records.get(kind, {}).pop(key, None)

    async def prune(self) -> int:
        deleted = sum(self._drop_expired(records) for records in self._records.values())
        return deleted + self._drop_old()

    async def revoke(self, session_id: str, *, expires: float) -> Revocation:
        entry = self.revocations.get(session_id)
        if entry is None:
            entry = self.revocations[session_id] = Revocation(self._next(), session_id, expires)
            self.entries[entry.seq] = entry
        return entry

    async def is_revoked(self, session_id: str) -> bool:
        entry = self.revocations.get(session_id)
        return entry is not None and entry.expires > self._now()

    async def revoke_account(self, did: str, *, before: float, expires: float) -> AccountRevocation:
        known = self.accounts.get(did)
        if known is not None:
            if before <= known.before and expires <= known.expires:
                return known
            before, expires = max(before, known.before), max(expires, known.expires)
            del self.entries[known.seq]
        entry = AccountRevocation(self._next(), did, before, expires)
        self.accounts[did] = self.entries[entry.seq] = entry
        return entry

    async def record_handle(
        self, did: str, handle: str | None, *, verified_at: float, expires: float
    ) -> None:
        known = self._handles.get(did)
        believed = self._now() + CLOCK_AHEAD
        if known is not None and verified_at < known.verified_at <= believed:
            return
        owned = handle
        for fact in [f for f in self._handles.values() if handle is not None and f.handle == handle]:
            if fact.did == did:
                continue
            if verified_at < fact.verified_at <= believed:
                owned = None
            else:
                self._learn(replace(fact, seq=self._next(), handle=None, verified_at=verified_at))
        self._learn(HandleFact(self._next(), did, owned, verified_at, expires))

    def _learn(self, fact: HandleFact) -> None:
        former = self._handles.get(fact.did)
        if former is not None:
            del self.entries[former.seq]
        self._handles[fact.did] = self.entries[fact.seq] = fact

    async def handle_of(self, did: str) -> HandleFact | None:
        fact = self._handles.get(did)
        return fact if fact is not None and fact.expires > self._now() else None

    async def write_back(self, entries: Sequence[FeedEntry]) -> None:
        for entry in entries:
            if isinstance(entry, Revocation):
                await self.revoke(entry.session_id, expires=entry.expires)
            elif isinstance(entry, AccountRevocation):
                await self.revoke_account(entry.did, before=entry.before, expires=entry.expires)
            else:
                await self.record_handle(
                    entry.did, entry.handle, verified_at=entry.verified_at, expires=entry.expires
                )

    async def lacking(self, entries: Sequence[SignOut]) -> list[SignOut]:
        now = self._now()
        return [entry for entry in entries if not self._has(entry, now)]

    def _has(self, entry: SignOut, now: float) -> bool:
        if isinstance(entry, Revocation):
            session = self.revocations.get(entry.session_id)
            return session is not None and session.expires > now
        account = self.accounts.get(entry.did)
        return account is not None and account.ends_as_much_as(entry)

    async def feed(self, after: int, *, limit: int = 10_000) -> FeedPage:
        now = self._now()
        news = list(takewhile(lambda entry: entry.seq > after, reversed(self.entries.values())))
        entries = [entry for entry in reversed(news) if entry.expires > now][:limit]
        following = entries[-1].seq if len(entries) == limit else self._seq
        return FeedPage(self._id, 0 <= after <= self._seq, following, entries)

    def _next(self) -> int:
        self._seq += 1
        return self._seq

    def _live(self, kind: str, key: bytes) -> bytes | None:
        value, expires = self._records.get(kind, {}).get(key, (None, 0.0))
        return value if expires > self._now() else None

    def _drop_expired(self, records: dict[bytes, tuple[bytes, float]]) -> int:
        now = self._now()
        expired = [key for key, (_, expires) in records.items() if expires <= now]
        for key in expired:
            del records[key]
        return len(expired)

    def _drop_old(self) -> int:
        now = self._now()
        expired = [entry for entry in self.entries.values() if entry.expires <= now]
        for entry in expired:
            del self.entries[entry.seq]
            if isinstance(entry, Revocation):
                del self.revocations[entry.session_id]
            elif isinstance(entry, AccountRevocation):
                del self.accounts[entry.did]
            else:
                del self._handles[entry.did]
        return len(expired)
