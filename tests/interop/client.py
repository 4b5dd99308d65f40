"""The sidecar as a client whose keys change: `sidecar keygen`, as an operator types it, and a restart."""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.lab.child import Child, ChildFailedError
from tests.lab.node import ROOT

KEYS = "keys.json"


class KeyedSidecar:
    """`begin` starts it. The configuration names KEYS, beside itself."""

    def __init__(self, config: Path, begin: Callable[[], Awaitable[Child]]) -> None:
        self._config = config
        self._begin = begin
        self._child: Child | None = None

    async def start(self) -> None:
        self._child = await self._begin()

    async def restart(self) -> None:
        if self._child is not None:
            await self._child.stop()
        await self.start()

    def kids(self) -> list[str]:
        keys = json.loads(self._config.with_name(KEYS).read_text())["keys"]
        return [key["kid"] for key in keys]

    async def keygen(self, *arguments: str) -> None:
        await _sidecar("keygen", f"--config={self._config}", *arguments)


async def make_keys(folder: Path) -> None:
    """A first key set, from `sidecar keygen`."""
    keys = await _sidecar("keygen")
    (folder / KEYS).touch(mode=0o600)
    (folder / KEYS).write_text(keys)


async def _sidecar(*arguments: str) -> str:
    """The command, by serve.py: it takes the lab's own domain for a private one."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.interop.serve", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "LAB_NAMES": "{}", "PYTHONPATH": str(ROOT)},
    )
    out, err = await process.communicate()
    if process.returncode:
        raise ChildFailedError(f"sidecar {' '.join(arguments)}: {err.decode()}")
    return out.decode()
