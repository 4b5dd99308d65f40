"""How lines get out: whoever logs never waits, lines stay whole and in order, and lost ones are counted."""

import contextlib
import fcntl
import logging
import os
import re
import threading
import time
from collections.abc import Iterator

import pytest

from sidecar.logs.writer import QueueingHandler


class Pipe:
    """A pipe of 4 kB, the smallest that Linux makes, and the handlers that write into it."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        fcntl.fcntl(self.writer, fcntl.F_SETPIPE_SZ, 4096)
        self._handlers: list[QueueingHandler] = []

    def handler(self) -> QueueingHandler:
        made = QueueingHandler(self.writer)
        made.setFormatter(Formatter())
        self._handlers.append(made)
        return made

    def read(self) -> str:
        """All that comes until there is nothing for half a second."""
        os.set_blocking(self.reader, False)
        read, quiet_since = b"", time.monotonic()
        while time.monotonic() - quiet_since < 0.5:
            try:
                read += os.read(self.reader, 65536)
                quiet_since = time.monotonic()
            except BlockingIOError:
                time.sleep(0.01)
        return read.decode()

    def close(self) -> None:
        """The reader first: then no write waits, and no thread is left that has the writer's number."""
        with contextlib.suppress(OSError):
            os.close(self.reader)
        for each in self._handlers:
            each.close()
        os.close(self.writer)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.close()


def record(text: str) -> logging.LogRecord:
    return logging.LogRecord("sidecar", logging.INFO, "", 0, text, (), None)


class Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        count = vars(record).get("count")
        return record.getMessage() if count is None else f"{vars(record)['event']} {count}"


def test_lines_come_out_in_order(pipe: Pipe) -> None:
    handler = pipe.handler()
    for number in range(5):
        handler.handle(record(f"line {number}"))
    handler.flush()
    assert os.read(pipe.reader, 1000).decode() == "".join(f"line {number}\n" for number in range(5))


def test_a_reader_that_stopped_holds_nobody_and_lost_lines_are_counted(pipe: Pipe) -> None:
    handler = pipe.handler()
    lines = [f"{number:05} " + "x" * 994 for number in range(1000)]
    for line in lines:  # a megabyte, and nobody reads
        handler.handle(record(line))
    written = pipe.read().splitlines()
    assert written[-1].startswith("log_lines_dropped ")
    kept = written[:-1]
    assert kept == sorted(set(kept) & set(lines))  # whole and in order
    assert 200 < len(kept) < 300  # 256 kB, and the pipe's own 4
    assert int(written[-1].split()[1]) == len(lines) - len(kept)
    handler.handle(record("and on"))
    handler.flush()
    assert pipe.read() == "and on\n"


def test_the_end_of_a_process_waits_for_a_reader_but_not_for_long(pipe: Pipe) -> None:
    handler = pipe.handler()
    for _ in range(50):
        handler.handle(record("x" * 1000))
    began = time.monotonic()
    handler.close()
    assert 0.9 < time.monotonic() - began < 30  # without a bound it would be for ever


def test_a_pipe_that_nobody_holds_any_more_is_no_fault(pipe: Pipe) -> None:
    handler = pipe.handler()
    os.close(pipe.reader)
    for number in range(3):
        handler.handle(record(f"line {number}"))
    handler.flush()
    handler.close()


def test_a_non_blocking_pipe_gets_whole_lines_too(pipe: Pipe) -> None:
    os.set_blocking(pipe.writer, False)
    handler = pipe.handler()
    lines = [f"{number} " + "y" * 3000 for number in range(20)]
    for line in lines:
        handler.handle(record(line))
    assert pipe.read().splitlines() == lines


def test_a_record_that_cannot_be_shown_leaves_a_line_that_says_so(pipe: Pipe) -> None:
    handler = pipe.handler()
    handler.handle(logging.LogRecord("sidecar", logging.INFO, "", 0, "%d", ("no number",), None))
    handler.handle(record("next"))
    handler.flush()
    text = os.read(pipe.reader, 1000).decode()
    assert re.fullmatch(r"a line can't be shown\nnext\n", text)


def test_a_closed_handler_leaves_no_thread(pipe: Pipe) -> None:
    before = set(threading.enumerate())
    handler = pipe.handler()
    (thread,) = set(threading.enumerate()) - before
    handler.close()
    thread.join(timeout=10)
    assert not thread.is_alive()
