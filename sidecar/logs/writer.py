"""How lines get out of the process: a thread writes them, and no caller waits for it.

Owns: the bounded queue, the count of lines that found no room in it, the last lines at the end of a process.
Doesn't belong here: what a line looks like (records.py).

The reader of stderr may stop reading: the pipe is full, or somebody holds the terminal. The event loop must
not wait for it, since all checks would wait too.
"""

import logging
import os
import select
import threading
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import TextIO

_STDERR = 2
_MOST_WAITING = 256 * 1024  # bytes
_LAST_LINES = 1.0  # seconds that the end of a process waits for its log
_MISSING = "lines are missing above: stderr was read too slowly"


class Handler(logging.Handler):
    """Ours, among those on the root logger (tests have others)."""


class StreamHandler(logging.StreamHandler[TextIO], Handler):
    """Writes at once."""


class QueueingHandler(Handler):
    """Hands lines to a thread that writes them to stderr: whole lines, in order, or not at all."""

    def __init__(self, descriptor: int = _STDERR) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._waiting: deque[bytes] = deque()
        self._size = 0  # of what waits and what is being written, in bytes
        self._dropped = 0
        self.dropped = 0  # in all
        self._closed = False
        self._changed = threading.Condition()
        threading.Thread(target=self._write_all, name="log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Never raises, and never waits for a reader. A fault isn't written to stderr, which may be full."""
        try:
            line = self._line(record)
        except Exception as error:  # noqa: BLE001 # a value that can't be shown must not stop its caller
            failed = {"event": "log_line_failed", "reason": repr(error)}
            line = self._line(_record("a line can't be shown", failed))
        with self._changed:
            if self._size + len(line) > _MOST_WAITING:
                self._dropped += 1
                self.dropped += 1
            else:
                self._add(line)

    def flush(self) -> None:
        """Wait until all is written, but not for long: the reader may never read again."""
        until = time.monotonic() + _LAST_LINES
        with self._changed:
            while (self._size or self._dropped) and (left := until - time.monotonic()) > 0:
                self._changed.wait(left)

    def close(self) -> None:
        self.flush()
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        super().close()

    def _line(self, record: logging.LogRecord) -> bytes:
        return (self.format(record) + "\n").encode(errors="backslashreplace")

    def _add(self, line: bytes) -> None:
        self._waiting.append(line)
        self._size += len(line)
        self._changed.notify_all()

    def _write_all(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._dropped or self._closed)
                if not self._waiting and self._dropped:
                    missing = {"event": "log_lines_dropped", "count": self._dropped}
                    self._add(self._line(_record(_MISSING, missing)))
                    self._dropped = 0
                if not self._waiting:
                    return
                line = self._waiting.popleft()
            _write(self._descriptor, line)
            with self._changed:
                self._size -= len(line)
                self._changed.notify_all()


def _record(message: str, fields: Mapping[str, object]) -> logging.LogRecord:
    record = logging.LogRecord("sidecar", logging.WARNING, "", 0, message, (), None)
    vars(record).update(fields)
    return record


def _write(descriptor: int, line: bytes) -> None:
    """Write all of it, however long that takes. If nobody can read it any more, it is lost."""
    with suppress(OSError):
        while line:
            try:
                line = line[os.write(descriptor, line) :]
            except BlockingIOError:  # somebody who shares the pipe made it non-blocking
                select.select([], [descriptor], [])
