"""The programs under test as child processes: output kept in files, start awaited, end made sure of.

Doesn't belong here: what is started and with which settings (peers.py, subject.py).

On a machine with two cores or more the servers stay on one half, the load generators on the other: a server
that is moved about, or shares its core with who asks, measures the scheduler.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

POLL = 0.005  # seconds between two looks at a program that is starting
PATIENCE = 60.0  # seconds it may take to be ready
FAREWELL = 10.0  # seconds it may take to stop before it is killed

ALL_CPUS = frozenset(os.sched_getaffinity(0))
_ORDERED = sorted(ALL_CPUS)
_HALF = max(1, len(_ORDERED) // 2)
SERVER_CPUS = frozenset(_ORDERED[:_HALF])
LOAD_CPUS = frozenset(_ORDERED[_HALF:] or _ORDERED)


class ProgramFailedError(Exception):
    """A program ended that should be running, or isn't ready in time; the message ends with its last
    words."""


@dataclass(frozen=True, slots=True)
class Program:
    name: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def ready(self, probe: Callable[[], bool]) -> None:
        """Return once `probe` says yes. ProgramFailedError."""
        until = time.monotonic() + PATIENCE
        while not probe():
            if self.process.poll() is not None or time.monotonic() > until:
                raise ProgramFailedError(f"{self.name} is not ready; its last words:\n{self.tail()}")
            time.sleep(POLL)

    def tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])

    def stop(self) -> None:
        """Ask it to stop, then make it and all that it started."""
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(FAREWELL)
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()


class Programs:
    """All that was started, as one `with`: leaving it stops everything, the last first."""

    def __init__(self) -> None:
        self._running: list[Program] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._running:
            self._running.pop().stop()

    def start(
        self,
        name: str,
        argv: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cpus: frozenset[int] | None = SERVER_CPUS,
    ) -> Program:
        """Start it with `env` added to our own. It leads a session of its own: Ctrl-C reaches us alone."""
        with log.open("wb") as output:
            program = Program(name, spawn(argv, cpus=cpus or ALL_CPUS, env=env, output=output), log)
        self._running.append(program)
        return program


def spawn(
    argv: Sequence[str],
    *,
    cpus: frozenset[int],
    env: Mapping[str, str] | None = None,
    output: IO[bytes] | int = subprocess.PIPE,
    stdin: int = subprocess.DEVNULL,
    errors: int = subprocess.STDOUT,
) -> subprocess.Popen[bytes]:
    """A child that runs on the given CPUs only."""
    with _pinned(cpus):
        return subprocess.Popen(  # noqa: S603 # arguments are ours, or the operator's peers.toml
            argv,
            stdin=stdin,
            stdout=output,
            stderr=errors,
            env={**os.environ, **(env or {})},
            start_new_session=True,
        )


@contextmanager
def _pinned(cpus: frozenset[int]) -> Iterator[None]:
    """A child inherits where its parent may run."""
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, ALL_CPUS)
