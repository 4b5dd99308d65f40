"""What outlives a request, and what every store must promise.

Owns: the `Store` protocol and the shapes that pass through it. `tests/conformance` holds every store to it.
Doesn't belong here: what the values mean, or their encryption (signin/pending.py, signin/sealing.py).

A store keeps two kinds of state. Times are seconds since the epoch.

*Records* are opaque bytes under `(kind, key)`, each with an end. `take` is atomic: of many callers, in any
number of processes, exactly one gets the value. An expired record is gone for every verb, pruned or not.

*The feed* holds ended sessions, ended accounts and handle facts, each under a number `seq`. A process follows
the feed into memory: it asks for all entries after the last number it knows. So every store promises:

- Numbers rise strictly, and no number is given out twice. That holds for a store that went back to a backup,
  too: the numbers it gives out from then on differ from those it gave out before.
- Every page carries the store's id, a random one made together with the store, and says whether the store
  knows the number that the reader asked from. Another id, or a number that the store doesn't know, means that
  entries were lost. So does an entry that a process remembers and the store lacks (`lacking`). Then the
  process reads the feed from the start and writes back what it remembers (`write_back`). It lets nobody in
  until both are done (sessions/feed.py).
- A verb that returns has been recorded where the next start of the sidecar will look. A store whose file was
  deleted or replaced raises StoreUnavailable instead, and opens what is there now.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Revocation:
    """A session that ended early. `session_id`: 32 hex digits; `expires`: the session's own absolute end."""

    seq: int
    session_id: str
    expires: float


@dataclass(frozen=True, slots=True)
class AccountRevocation:
    """Every session of the account that began before `before` has ended.

    `expires`: when the last such session would have ended by itself. A session's beginning is a whole second;
    one that began in the same second as `before` counts as earlier if `before` has a fraction.
    """

    seq: int
    did: str
    before: float
    expires: float

    def ends_as_much_as(self, other: "AccountRevocation") -> bool:
        """Of two entries of one account."""
        return self.before >= other.before and self.expires >= other.expires


@dataclass(frozen=True, slots=True)
class HandleFact:
    """What was last learned of a DID's handle; `handle` is None if none is verified."""

    seq: int
    did: str
    handle: str | None
    verified_at: float
    expires: float


SignOut = Revocation | AccountRevocation
FeedEntry = SignOut | HandleFact


@dataclass(frozen=True, slots=True)
class FeedPage:
    """Live entries in rising order, and where they come from.

    `next`: the number to ask after next time. `continues`: False if the store doesn't know the number that
    was asked after, or its file was opened anew since the last page: its history may be another one than the
    reader has followed.
    """

    store_id: str
    continues: bool
    next: int
    entries: list[FeedEntry]


CLOCK_AHEAD = 60.0
"""Seconds by which another's clock may be ahead. What was verified later than that counts as not verified."""


class Store(Protocol):
    """Every verb raises `StoreUnavailable` if the store doesn't answer in time."""

    async def open(self) -> None:
        """Connect, create or migrate; idempotent."""

    async def close(self) -> None: ...

    async def ping(self) -> None:
        """Write something and remove it again: a store that can only be read isn't ready."""

    # records

    async def put(
        self, kind: str, key: bytes, value: bytes, *, expires: float, if_absent: bool = False
    ) -> bool:
        """Store the value; False if `if_absent` and a live record is there. `StoreFull` at the bound."""

    async def get(self, kind: str, key: bytes) -> bytes | None: ...

    async def take(self, kind: str, key: bytes) -> bytes | None:
        """Get and delete in one step: single use is promised here, not by careful callers."""

    async def delete(self, kind: str, key: bytes) -> None: ...

    async def prune(self) -> int:
        """Delete what has expired, records and feed alike, in short steps; their number. Gives space back."""

    # the feed

    async def revoke(self, session_id: str, *, expires: float) -> Revocation:
        """Record once and durably; a second call for the same session returns the first's entry."""

    async def is_revoked(self, session_id: str) -> bool:
        """Whether the session has an entry of its own. For its account's, ask the feed (sessions/feed.py)."""

    async def revoke_account(self, did: str, *, before: float, expires: float) -> AccountRevocation:
        """End every session of the account that began before `before`, durably.

        An account has one entry at a time. A later `before` or `expires` replaces it under a new number; an
        earlier one changes nothing.
        """

    async def record_handle(
        self, did: str, handle: str | None, *, verified_at: float, expires: float
    ) -> None:
        """Replace the DID's fact under a new number, unless the stored one is newer.

        The same transaction takes the handle from every other DID that has it: their facts become None at
        `verified_at`. If another DID was verified to have it later than `verified_at`, that one keeps it and
        this DID's fact is None. What a clock ahead of ours (CLOCK_AHEAD) has verified is older than any fact.
        """

    async def handle_of(self, did: str) -> HandleFact | None: ...

    async def write_back(self, entries: Sequence[FeedEntry]) -> None:
        """Record each entry as its own verb would, all in one step. Their numbers are ignored."""

    async def lacking(self, entries: Sequence[SignOut]) -> list[SignOut]:
        """Those that the store doesn't have, or not so that they end as much."""

    async def feed(self, after: int, *, limit: int = 10_000) -> FeedPage:
        """Live entries with `seq > after`, at most `limit`; 0 asks from the start."""
