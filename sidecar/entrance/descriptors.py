"""Whether the process still gets file descriptors.

Owns: noticing that there are none, and the line in the log that says so, at most once a minute.
Doesn't belong here: what each part does without one (it answers its own errors).

uvloop closes a connection for which there is no descriptor, and reports it to nobody. So we try to get one,
once a second.
"""

import asyncio
import errno
import logging
import os
from contextlib import suppress

log = logging.getLogger("sidecar")

_EVERY = 1.0  # seconds
_QUIET = 60.0  # seconds between two lines


class Descriptors:
    """`every`, `quiet`: seconds, for tests."""

    def __init__(self, every: float = _EVERY, quiet: float = _QUIET) -> None:
        self._every = every
        self._quiet = quiet
        self._watching: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to look."""
        self._watching = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """End it; nothing if not started."""
        if self._watching is not None:
            self._watching.cancel()
            with suppress(asyncio.CancelledError):
                await self._watching
            self._watching = None

    async def _watch(self) -> None:
        while True:
            exhausted = _exhausted()
            if exhausted:
                log.error(
                    "no file descriptor is left, so new connections are closed; raise LimitNOFILE",
                    extra={"event": "descriptors_exhausted", "reason": exhausted},
                )
            await asyncio.sleep(self._quiet if exhausted else self._every)


def _exhausted() -> str:
    """The system's words, "" if there is one to have."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return os.strerror(error.errno) if error.errno in (errno.EMFILE, errno.ENFILE) else ""
    return ""
