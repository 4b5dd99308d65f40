"""What this process knows of sign-outs and handles: the store's feed, followed into memory.

Owns: the copy in memory that the check reads without I/O, how fresh it is, and what happens if the store has
lost something. Doesn't belong here: how the store keeps it (store/), sign-outs that the store doesn't have
yet (recording.py), what a fact means for a session (sessions/).

If the store turns out to be another one or to have gone back to a backup, or if the clock went back, the
feed is read from the start. What we remember and the store lacks is written back. Until both are done, nobody
is let in.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from sidecar.errors import StoreUnavailable
from sidecar.sessions.ended import EndedAccounts, EndedSessions, key_of
from sidecar.sessions.recording import Recording, write_back
from sidecar.store import CLOCK_AHEAD, AccountRevocation, FeedEntry, HandleFact, Revocation, SignOut, Store

log = logging.getLogger("sidecar")

_PATIENCE = 3  # times that the feed is read from the start before we wait for the next round
PAGE = 2_000  # entries; few enough that the event loop isn't held up for long
_LATELY = 100  # entries that are looked up in every round, beside some others
_TIDY_EVERY = 3600.0  # seconds
_BACK = 5.0  # seconds that a clock may be set back without our noticing


class Feed:
    """Follows one store. `max_stale`: seconds without an answer from the store after which nothing is known
    any more.
    """

    def __init__(
        self, store: Store, *, max_stale: float, now: Callable[[], float] = time.time, interval: float = 1.0
    ) -> None:
        self._store = store
        self.max_stale = max_stale
        self._now = now
        self._interval = interval
        self._store_id: str | None = None
        self._seq = 0
        self._heard_at: float | None = None
        self.took = 0.0  # seconds of the last reading
        self._tidied_at = 0.0
        self._latest = 0.0
        self.ended_sessions = EndedSessions()
        self._keys = self.ended_sessions.keys
        self.ended_accounts = EndedAccounts()
        self._ended_dids = self.ended_accounts.entries
        self._lately: deque[SignOut] = deque(maxlen=_LATELY)
        self._facts: dict[str, HandleFact] = {}
        self.recording = Recording(store, now=now)
        self._reread: _Reread | None = None
        self._catching_up = asyncio.Lock()
        self._following: asyncio.Task[None] | None = None
        self._silent = False

    # what the check asks

    def usable(self, now: float) -> bool:
        """Whether sign-outs are known well enough to let anyone in.

        A clock that was set back can't say how long ago the store answered. So nothing is known until it
        answers again.
        """
        return self._heard_at is not None and -_BACK < now - self._heard_at < self.max_stale

    def age(self, now: float) -> float:
        """Seconds since the store last answered; -1 if it never has."""
        return -1.0 if self._heard_at is None else max(0.0, now - self._heard_at)

    def ended(self, session_id: str, did: str, signed_in_at: float) -> bool:
        """Whether the session ended early, alone or with all of its account. `session_id`: 32 hex digits."""
        return (bool(self._keys) and key_of(session_id) in self._keys) or (
            did in self._ended_dids and self.ended_accounts.end(did, signed_in_at, self._now())
        )

    def handle_fact(self, did: str) -> HandleFact | None:
        """What was last learned of the DID's handle."""
        return self._facts.get(did)

    # signing out

    async def revoke(self, session_id: str, *, expires: float) -> None:
        """End the session: here at once, and everywhere if this returns.

        Raises StoreUnavailable if it isn't recorded yet. It is then written again until it is, or until this
        process ends.
        """
        entry = Revocation(0, session_id, expires)
        self.apply(entry)
        await self.recording.write(entry)

    async def revoke_account(self, did: str, *, before: float, expires: float) -> None:
        """End every session of the account that began before `before`, likewise."""
        entry = AccountRevocation(0, did, before, expires)
        self.apply(entry)
        await self.recording.write(entry)

    def unrecorded(self, session_id: str) -> bool:
        """Whether `revoke` of this session has failed, and every attempt since."""
        return self.recording.failed(session_id)

    # following

    async def start(self) -> None:
        """Learn everything, then follow. If the store is down, go on trying; until it answers, nothing is
        usable.
        """
        await self._try()
        self._following = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        if self._following is not None:
            self._following.cancel()
            with suppress(asyncio.CancelledError):
                await self._following
            self._following = None
        await self.recording.stop()

    async def catch_up(self) -> None:
        """Learn what is new, now. Raises StoreUnavailable."""
        async with self._catching_up:
            now, began = self._now(), time.perf_counter()
            if now < max(self._latest, self._tidied_at) - _BACK:
                self._latest = self._tidied_at = now
                self.ended_accounts.clock_went_back(now)
                self._start_over("the clock went back")
            await self._audit(now)
            await self._read()
            while self._reread is not None:
                await self._write_back(self._reread, now)
                await self._read()
            self._heard_at = self._latest = now
            self.took = time.perf_counter() - began
            await self._tidy(now)

    def apply(self, entry: FeedEntry) -> None:
        """Take one entry in."""
        if isinstance(entry, Revocation):
            self.ended_sessions.add(entry.session_id, entry.expires)
        elif isinstance(entry, AccountRevocation):
            self.ended_accounts.add(entry, self._now())
        else:
            known = self._facts.get(entry.did)
            if known is None or known.seq < entry.seq:
                self._facts[entry.did] = entry

    async def _audit(self, now: float) -> None:
        """Look up the latest entries, and some others, for what a store may have lost in silence."""
        some = [*self._lately, *self.ended_sessions.few(now), *self.ended_accounts.few()]
        wait = self.recording
        known = [each for each in some if each.expires > now + CLOCK_AHEAD and not wait.holds(each)]
        if self._reread is None and known and await self._store.lacking(known):
            self._start_over("the store lost entries")

    async def _read(self) -> None:
        """All that is new. Starts over, but not without end, if the store lost what was read."""
        for _ in range(_PATIENCE):
            if await self._read_on():
                return
        raise StoreUnavailable("the store lost what was read, again and again")

    async def _read_on(self) -> bool:
        """False if the store's history isn't the one that was read so far."""
        while True:
            page = await self._store.feed(self._seq, limit=PAGE)
            if self._store_id is None:
                self._store_id = page.store_id
            if page.store_id != self._store_id or not page.continues:
                same = page.store_id == self._store_id
                self._store_id = page.store_id
                self._start_over("the store was changed" if same else "this is another store")
                return False
            for entry in page.entries:
                self._learn(entry)
            self._seq = page.next
            if len(page.entries) < PAGE:
                return True

    def _learn(self, entry: FeedEntry) -> None:
        """From the store."""
        self.apply(entry)
        if isinstance(entry, HandleFact):
            return
        self._lately.append(entry)
        self.recording.seen(entry)
        if self._reread is not None:
            self._reread.note(entry)

    def _start_over(self, reason: str) -> None:
        log.warning("sign-outs are read anew", extra={"event": "feed_lost", "reason": reason})
        former = self._reread.facts if self._reread is not None else {}
        self._reread = _Reread({**former, **self._facts})
        self._facts = {}
        self._seq = 0
        self._heard_at = None

    async def _write_back(self, reread: "_Reread", now: float) -> None:
        """What we remember and the store lacks."""
        written = 0
        async for sessions in self.ended_sessions.without(reread.sessions):
            written += await write_back(self._store, sessions, now)
        accounts = [entry for entry in self._ended_dids.values() if not reread.has(entry)]
        written += await write_back(self._store, accounts, now)
        facts = [fact for fact in reread.facts.values() if self._is_newer(fact, now)]
        written += await write_back(self._store, facts, now)
        self._reread = None
        log.warning("sign-outs were read anew", extra={"event": "feed_read_anew", "written_back": written})

    def _is_newer(self, fact: HandleFact, now: float) -> bool:
        known = self._facts.get(fact.did)
        believed = fact.verified_at <= now + CLOCK_AHEAD
        return believed and (known is None or known.verified_at < fact.verified_at)

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            mine = self.recording.unseen()
            await self._try()
            self.recording.retry(mine)

    async def _try(self) -> None:
        try:
            if self._heard_at is None:
                await self._store.open()
            await self.catch_up()
        except StoreUnavailable as error:
            if not self._silent:
                log.warning("sign-outs can't be followed", extra={"event": error.code, "reason": str(error)})
            self._silent = True
        except Exception:
            log.exception("following the store failed", extra={"event": "feed_failed"})
        else:
            if self._silent:
                log.info("sign-outs are followed again", extra={"event": "store_back"})
            self._silent = False

    async def _tidy(self, now: float) -> None:
        """Forget what has expired: whole days of sessions, single accounts and facts."""
        if 0 <= now - self._tidied_at < _TIDY_EVERY:
            return
        self._tidied_at = now
        await self.ended_sessions.forget(now)
        self.ended_accounts.forget(now)
        for did in [did for did, fact in self._facts.items() if fact.expires <= now]:
            del self._facts[did]


@dataclass
class _Reread:
    """While the feed is read from the start: the facts that were known before, and what the store has."""

    facts: dict[str, HandleFact]
    sessions: set[int] = field(default_factory=set)
    accounts: dict[str, AccountRevocation] = field(default_factory=dict)

    def note(self, entry: SignOut) -> None:
        if isinstance(entry, Revocation):
            self.sessions.add(key_of(entry.session_id))
        else:
            self.accounts[entry.did] = entry

    def has(self, entry: AccountRevocation) -> bool:
        found = self.accounts.get(entry.did)
        return found is not None and found.ends_as_much_as(entry)
