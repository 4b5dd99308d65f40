"""The check's refusals, summed: one line a minute for what would otherwise be one a request.

Owns: the counts and when they are written. Bounded: past `max_entries` what is new counts as one total.
Doesn't belong here: the decision (check.py), the format (logs/).
"""

import asyncio
import logging
from collections import defaultdict
from contextlib import suppress

from sidecar.figures.counters import Counters

_SHOWN = 8  # of a session id's 32 digits: enough to find its sign-in, too few to be mistaken for a key


class Tally:
    """Counts in the event loop's thread, about a microsecond each. `interval`: seconds between lines.

    `counters`: get every check that let nobody in, by app and outcome.
    """

    def __init__(
        self,
        logger: logging.Logger,
        counters: Counters | None = None,
        *,
        interval: float = 60.0,
        max_entries: int = 1000,
    ) -> None:
        self._log = logger
        self._interval = interval
        self._max_entries = max_entries
        self.counters = counters or Counters()
        self.allowed: defaultdict[str, int] = defaultdict(int)  # by app, since the start
        self._refused: dict[tuple[str, str, str, str], int] = {}
        self._beyond = 0
        self._missing = 0
        self._forged = 0
        self._writing: asyncio.Task[None] | None = None

    def refused(self, app: str, reason: str, did: str, session_id: str) -> None:
        """A request that a rule or its own shape kept out. `app`, `did`, `session_id`: "" if unknown."""
        self.counters.count("checks", app, reason)
        key = (app, reason, did, session_id)
        count = self._refused.get(key)
        if count is None and len(self._refused) >= self._max_entries:
            self._beyond += 1
        else:
            self._refused[key] = (count or 0) + 1

    def missing(self, app: str) -> None:
        """A request without a session cookie."""
        self.counters.count("checks", app, "missing_cookie")
        self._missing += 1

    def forged(self, app: str) -> None:
        """A request whose session cookie we didn't sign."""
        self.counters.count("checks", app, "forged_cookie")
        self._forged += 1

    def flush(self) -> None:
        """Write what has come together, and begin anew."""
        refused, self._refused = self._refused, {}
        for (app, reason, did, session_id), count in refused.items():
            names = {"app": app, "reason": reason, "did": did, "session": session_id[:_SHOWN]}
            known = {name: value for name, value in names.items() if value}
            self._log.info("checks refused", extra={"event": "check_refused", **known, "count": count})
        for reason, count in self._totals():
            self._log.info(
                "checks refused", extra={"event": "check_refused", "reason": reason, "count": count}
            )

    def _totals(self) -> list[tuple[str, int]]:
        totals = [
            ("missing_cookie", self._missing),
            ("forged_cookie", self._forged),
            ("others", self._beyond),
        ]
        self._missing = self._forged = self._beyond = 0
        return [(reason, count) for reason, count in totals if count]

    async def start(self) -> None:
        """Begin to write once every interval."""
        self._writing = asyncio.create_task(self._write())

    async def stop(self) -> None:
        """Write the rest and end; nothing if not started."""
        if self._writing is not None:
            self._writing.cancel()
            with suppress(asyncio.CancelledError):
                await self._writing
            self._writing = None
        self.flush()

    async def _write(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            self.flush()
