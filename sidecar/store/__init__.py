"""Where the state that outlives a request is kept, and what every store must promise.

Owns: the `Store` protocol and the shapes that pass through it; `tests/conformance` holds every store to it.
Doesn't belong here: what the values mean, or their encryption (signin/pending.py, signin/sealing.py).

Two kinds of state:

*Records*, opaque bytes under `(kind, key)`, each with an end. `take` is atomic: of many callers, in any
number of processes, exactly one gets the value. An expired record is gone for every verb, pruned or not.

*The feed*: revoked sessions and handle facts under one strictly rising `seq` that pruning never reuses. A
process follows it into memory by asking for all after the last `seq` it saw. A DID has one fact at a time; a
new one gets a new `seq`. Times are seconds since the epoch.
"""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Revocation:
    """A session that ended early. `session_id`: 32 hex digits; `expires`: the session's own absolute end."""

    seq: int
    session_id: str
    expires: float


@dataclass(frozen=True, slots=True)
class HandleFact:
    """What was last learned of a DID's handle: `handle` is None where none is verified."""

    seq: int
    did: str
    handle: str | None
    verified_at: float
    expires: float


FeedEntry = Revocation | HandleFact

CLOCK_AHEAD = 60.0
"""Seconds by which another's clock may be ahead; what was verified later than that counts as not verified."""


class Store(Protocol):
    """Every verb raises `StoreUnavailable` where the store doesn't answer in time."""

    async def open(self) -> None:
        """Connect, create or migrate; idempotent."""

    async def close(self) -> None: ...

    async def ping(self) -> None: ...

    # records

    async def put(
        self, kind: str, key: bytes, value: bytes, *, expires: float, if_absent: bool = False
    ) -> bool:
        """Store the value; False where `if_absent` and a live record is there. `StoreFull` at the bound."""

    async def get(self, kind: str, key: bytes) -> bytes | None: ...

    async def take(self, kind: str, key: bytes) -> bytes | None:
        """Get and delete in one step: single use is promised here, not by careful callers."""

    async def delete(self, kind: str, key: bytes) -> None: ...

    async def prune(self) -> int:
        """Delete what has expired, records and feed alike, in short steps; the number deleted."""

    # the feed

    async def revoke(self, session_id: str, *, expires: float) -> Revocation:
        """Record once and durably; a second call for the same session returns the first's entry."""

    async def is_revoked(self, session_id: str) -> bool: ...

    async def record_handle(
        self, did: str, handle: str | None, *, verified_at: float, expires: float
    ) -> None:
        """Replace the DID's fact, unless the stored one is newer, and in the same transaction take the handle
        from every other DID that has it (their facts become `None` at `verified_at`). Where another was
        verified to have it later than `verified_at`, that one keeps it and this DID's fact is `None`. What a
        clock ahead of ours (CLOCK_AHEAD) has verified is newer than nothing."""

    async def handle_of(self, did: str) -> HandleFact | None: ...

    async def feed(self, after: int, *, limit: int = 10_000) -> list[FeedEntry]:
        """Live entries with `seq > after`, rising, at most `limit`."""
