"""The programs of the lab as child processes: output kept in files, start awaited, end made sure of.

Doesn't belong here: what is started and with which settings (network.py, caddy.py, service.py).
"""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

POLL = 0.05  # seconds between two looks at a program that is starting
PATIENCE = 30.0  # seconds a program may take to stop before it is killed


class ChildFailedError(Exception):
    """A program ended that should be running; the message ends with the last lines it wrote."""


@dataclass(frozen=True, slots=True)
class Child:
    name: str
    log: Path
    process: asyncio.subprocess.Process

    async def ready(self, probe: Callable[[], Awaitable[bool]]) -> None:
        """Return once `probe` says yes; ChildFailedError where the program ends before that."""
        while not await probe():
            self.check()
            await asyncio.sleep(POLL)

    def check(self) -> None:
        """ChildFailedError where it has ended."""
        if self.process.returncode is not None:
            raise ChildFailedError(
                f"{self.name} ended with {self.process.returncode}; its last words:\n{self.tail()}"
            )

    def tail(self, lines: int = 20) -> str:
        return "\n".join(self.output().splitlines()[-lines:])

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    async def stop(self) -> None:
        """Ask it to stop, then make it."""
        if self.process.returncode is None:
            self.process.terminate()
        try:
            async with asyncio.timeout(PATIENCE):
                await self.process.wait()
        except TimeoutError:
            self.process.kill()
            await self.process.wait()


class Children:
    """All that was started, as one `async with`: leaving it stops everything, the last first."""

    def __init__(self) -> None:
        self._running: list[Child] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        while self._running:
            await self._running.pop().stop()

    async def start(
        self, name: str, argv: Sequence[str | Path], *, log: Path, env: Mapping[str, str] | None = None
    ) -> Child:
        """Start it with `env` added to our own. It leads a session of its own: Ctrl-C reaches us alone."""
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )
        child = Child(name, log, process)
        self._running.append(child)
        return child

    async def first_to_end(self) -> Child:
        """Wait until one ends by itself."""
        waits = {asyncio.create_task(child.process.wait()): child for child in self._running}
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            return waits[done.pop()]
        finally:
            for wait in waits:
                wait.cancel()


def program(name: str) -> Path:
    """A program that was installed beside this Python."""
    return Path(sys.executable).with_name(name)
