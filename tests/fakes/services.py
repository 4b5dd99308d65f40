"""`sidecar serve` as real processes that share one database, each on a socket of its own."""

import asyncio
import os
import signal
import sqlite3
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import httpx

from sidecar.commands.client_keys import key_set, new_key
from sidecar.config_file import reader
from sidecar.sessions.cookie import Session, Sessions

ROOT = Path(__file__).parents[2]
PUBLIC = "https://auth.club.net"
_CONFIG = """
public_url = "{public}"
[server]
listen = "unix:{socket}"
[session]
cookie_secrets_file = "{folder}/cookie-secrets.txt"
cookie_domain = "club.net"
[client]
keys_file = "{folder}/keys.json"
[store]
kind = "sqlite"
path = "{database}"
[apps.wiki]
hosts = ["wiki.club.net"]
allow = ["*"]
"""
_FORWARDED = {
    "x-forwarded-method": "GET",
    "x-forwarded-uri": "/",
    "x-forwarded-host": "wiki.club.net",
    "x-forwarded-proto": "https",
}
# Root may write to any file, whatever its mode says; the service must not.
_PLAIN_USER = ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if os.geteuid() == 0 else ()


@dataclass
class Service:
    """One process."""

    name: str
    club: "Club"
    process: asyncio.subprocess.Process | None = None

    async def start(self) -> "Service":
        with self.club.log(self.name).open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(
                    *_PLAIN_USER,
                    sys.executable,
                    "-m",
                    "sidecar",
                    "serve",
                    "--config",
                    self.club.config(self.name),
                ),
                cwd=ROOT,
                stderr=log,
            )
        async with asyncio.timeout(20):
            while await self.health() != 200:
                assert self.process.returncode is None, self.output()
                await asyncio.sleep(0.05)
        return self

    async def stop(self, by: int = signal.SIGTERM) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(by)
            await self.process.wait()

    def send(self, by: int) -> None:
        assert self.process is not None
        self.process.send_signal(by)

    def output(self) -> str:
        return self.club.log(self.name).read_text()

    async def health(self) -> int | None:
        try:
            return (await self._ask("GET", "/auth/healthz")).status_code
        except httpx.TransportError:
            return None

    async def ready(self) -> int:
        return (await self._ask("GET", "/auth/readyz")).status_code

    async def check(self, cookie: str) -> int:
        return (await self._ask("GET", "/auth/check", {**_FORWARDED, "cookie": cookie})).status_code

    async def page(self, cookie: str) -> httpx.Response:
        return await self._ask("GET", "/auth/logout", {"cookie": cookie})

    async def sign_out(self, cookie: str) -> httpx.Response:
        return await self._ask("POST", "/auth/logout", {"cookie": cookie, "origin": PUBLIC})

    async def signed_out(self, cookie: str, *, within: float = 10) -> float:
        """Press the button until it works, as a person would; the seconds it took."""
        begun = time.monotonic()
        async with asyncio.timeout(within):
            while (answer := await self.sign_out(cookie)).status_code != 200:
                assert answer.status_code == 503
                await asyncio.sleep(0.2)
        return time.monotonic() - begun

    async def answers(self, cookie: str, status: int, *, within: float = 4) -> None:
        async with asyncio.timeout(within):
            while (seen := await self.check(cookie)) != status:
                assert seen in {200, 401, 503}
                await asyncio.sleep(0.05)

    async def _ask(self, method: str, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
        transport = httpx.AsyncHTTPTransport(uds=str(self.club.socket(self.name)))
        async with httpx.AsyncClient(transport=transport, timeout=20) as client:
            return await client.request(method, PUBLIC.replace("https", "http") + path, headers=headers)


class Club:
    """What the processes share: the database, the secrets, who is signed in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.data.mkdir()
        self.database = self.data / "sidecar.db"
        self.services: list[Service] = []
        secrets = folder / "cookie-secrets.txt"
        secrets.touch(0o600)
        secrets.write_text("s" * 40)
        keys = folder / "keys.json"
        keys.touch(0o600)
        keys.write_text(key_set([new_key()]))
        self._sessions = Sessions(reader.load(Path(self.config("tests")), {}))

    def config(self, name: str) -> str:
        path = self.folder / f"{name}.toml"
        path.write_text(
            _CONFIG.format(
                public=PUBLIC, socket=self.socket(name), folder=self.folder, database=self.database
            )
        )
        return str(path)

    def socket(self, name: str) -> Path:
        return self.folder / f"{name}.sock"

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def service(self, name: str) -> Service:
        made = Service(name, self)
        self.services.append(made)
        return made

    def session(self, did: str = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa") -> tuple[str, Session]:
        now = time.time()
        session = self._sessions.start(did, None, now)
        return self._sessions.cookie(session, now).partition(";")[0], session

    def cookie(self) -> str:
        return self.session()[0]

    def beside(self, suffix: str) -> Path:
        return self.database.with_name(self.database.name + suffix)

    def backup(self) -> Path:
        """As `sqlite3 sidecar.db ".backup backup.db"` makes it."""
        path = self.folder / "backup.db"
        with closing(sqlite3.connect(self.database)) as source, closing(sqlite3.connect(path)) as target:
            source.backup(target)
        return path
