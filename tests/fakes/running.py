"""A real process that serves, asked over its socket and told to stop."""

import asyncio
import json
import os
import signal
import sys
import time
from pathlib import Path

from sidecar.commands import client_keys
from sidecar.config_file import reader
from sidecar.sessions.cookie import Sessions

ROOT = Path(__file__).parents[2]
HOST = "wiki.net"
ALICE, BOB = "did:plc:ewvi7nxzyoun6zhxrhs64oiz", "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"
SECRET = "s" * 40
_CONFIG = """
public_url = "https://auth.wiki.net"
[server]
listen = "unix:{folder}/s"
workers = {workers}
[client]
keys_file = "keys.json"
[session]
cookie_domain = "wiki.net"
cookie_secrets_file = "secrets.txt"
[store]
path = "{folder}/sidecar.db"
[pages]
templates = "pages"
[apps.wiki]
hosts = ["wiki.net"]
allow = {allow}
"""


def write_set(folder: Path, *, workers: int, allow: tuple[str, ...] = ("*",), secret: str = SECRET) -> Path:
    """A configuration with all that it names, so that a service may be started on it, or reload it."""
    keys = folder / "keys.json"
    if not keys.exists():
        keys.write_text(client_keys.key_set([client_keys.new_key()]))
    (folder / "secrets.txt").write_text(f"{secret}\n")
    for each in (keys, folder / "secrets.txt"):
        each.chmod(0o600)
    (folder / "pages").mkdir(exist_ok=True)
    path = folder / "sidecar.toml"
    path.write_text(_CONFIG.format(folder=folder, workers=workers, allow=json.dumps(allow)))
    return path


class Run:
    """One `sidecar serve` on a unix socket in `folder`: with a stub of an app (serving.py), or as it is."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "s"
        self.slow = folder / "slow"
        os.mkfifo(self.slow)
        self.process: asyncio.subprocess.Process

    async def start(self, workers: int = 1, stderr: int = asyncio.subprocess.PIPE, **environ: str) -> None:
        """The stub. FAIL: a file whose presence makes a worker's start fail."""
        arguments = ["tests.fakes.serving", f"unix:{self.socket}", str(workers)]
        await self._start(arguments, stderr, {"SLOW": str(self.slow), **environ})

    async def start_real(self, config: Path) -> None:
        """The sidecar itself. `config`: it has to listen on `socket`."""
        await self._start(["sidecar", "serve", "--config", str(config)], asyncio.subprocess.PIPE, {})

    async def _start(self, arguments: list[str], stderr: int, environ: dict[str, str]) -> None:
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", *arguments, cwd=ROOT, env={**os.environ, **environ}, stderr=stderr
        )

    async def says(self, text: str) -> str:
        """The next line on stderr that has the text."""
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            if text in line.decode():
                return line.decode()
        raise AssertionError(f"the process ended without saying {text!r}")

    async def ask(self, path: str = "/") -> str:
        reader, writer = await asyncio.open_unix_connection(self.socket)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()
        return answer.decode()

    async def stop(self, by: int = signal.SIGTERM) -> int:
        self.process.send_signal(by)
        return await self.ended()

    async def ended(self) -> int:
        if self.process.stderr is not None:
            await self.process.stderr.read()
        return await self.process.wait()


def children(pid: int) -> list[int]:
    """Workers: multiprocessing's own helper is no worker."""
    found = [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [each for each in found if b"spawn_main" in Path(f"/proc/{each}/cmdline").read_bytes()]


class Connection:
    """One that stays open."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def __aenter__(self) -> "Connection":
        self._reader, self._writer = await asyncio.open_unix_connection(self._path)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()

    async def check(self, cookie: str) -> int:
        lines = [
            "GET /auth/check HTTP/1.1",
            f"Host: {HOST}",
            f"Cookie: {cookie}",
            f"X-Forwarded-Host: {HOST}",
            "X-Forwarded-Method: GET",
            "X-Forwarded-Proto: https",
            "X-Forwarded-Uri: /",
        ]
        self._writer.write("\r\n".join([*lines, "", ""]).encode())
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
        await self._reader.readexactly(length)
        return int(head.split()[1])


def cookie(config: Path, did: str) -> str:
    sessions = Sessions(reader.load(config, {}))
    now = time.time()
    return sessions.cookie(sessions.start(did, None, now), now).partition(";")[0]
