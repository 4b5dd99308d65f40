"""All pinned servers on this machine, each a process under its own name; one PLC directory, one sidecar.

Chromium ──► Caddy (test CA) ──► the sidecar ──► pds-0-5-35.test, pds-0-4-217.test, …, PLC directory
"""

import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from tests.interop.client import KEYS, KeyedSidecar, make_keys
from tests.interop.servers import Server
from tests.interop.trials import Site, Subject
from tests.lab import certs, network, service
from tests.lab.certs import Certificates
from tests.lab.child import Children
from tests.lab.demo import start_app
from tests.lab.ports import free_port
from tests.lab.world import listening, start_caddy

DOMAIN = "sidecar.home.arpa"
"""On the public suffix list, as releases before 0.4.176 want of a client_id, and yet nobody's (RFC 8375)."""
AUTH, APP = f"https://auth.{DOMAIN}", f"https://app.{DOMAIN}"

CONFIG = """
public_url = "{auth}"

[client]
keys_file = "{keys}"

[session]
cookie_secrets = ["{secret}"]
cookie_domain = "{domain}"

[store]
path = "sidecar.db"

[identity]
plc_url = "{plc}"
development_servers = true

[limits]
attempts_per_address = 10000
attempts_per_identifier = 10000

[apps.app]
hosts = ["app.{domain}"]
allow = ["*"]
"""


@dataclass(frozen=True, slots=True)
class Lab:
    site: Site
    client: KeyedSidecar
    subjects: Sequence[Subject]
    names: dict[str, int]
    """ "host:443" → port on loopback."""


@asynccontextmanager
async def running(folder: Path, servers: Sequence[Server]) -> AsyncIterator[Lab]:
    """Start it all; stop it all."""
    plc, app, https, listen = (free_port() for _ in range(4))
    ports = {server.hostname: free_port() for server in servers}
    names = {f"{prefix}{host}:443": port for host, port in ports.items() for prefix in ("", "*.")}
    names |= {f"{urlsplit(url).hostname}:443": https for url in (AUTH, APP)}
    tls = certs.issue(folder / "tls", [f"*.{DOMAIN}", *(name.partition(":")[0] for name in names)])
    async with Children() as children:
        await network.start(children, folder / "plc", plc_port=plc, servers=[], accounts=[])
        houses = [
            House(children, folder / each.hostname, each, ports[each.hostname], plc, tls, names)
            for each in servers
        ]
        subjects = [await house.open() for house in houses]
        config = folder / "sidecar.toml"
        values = {
            "auth": AUTH,
            "domain": DOMAIN,
            "keys": KEYS,
            "secret": secrets.token_urlsafe(32),
            "plc": f"http://localhost:{plc}",
        }
        config.write_text(CONFIG.format(**values))
        await make_keys(folder)
        begin = partial(
            service.start_with_names,
            *(children, config),
            port=listen,
            log=folder / "sidecar.log",
            env=listening(listen),
            names=names,
            certificates=tls,
            module="tests.interop.serve",
        )
        client = KeyedSidecar(config, begin)
        await client.start()
        await start_app(children, app, log=folder / "app.log")
        sites = [(AUTH, "import atproto-pages", "respond 404")]
        await start_caddy(
            *(children, folder / "caddy", APP, sites), https=https, sidecar=listen, app=app, certificates=tls
        )
        hosts = frozenset(urlsplit(url).netloc for url in (AUTH, APP))
        yield Lab(Site(APP, hosts), client, subjects, names)


@dataclass(slots=True)
class House:
    """One server's process, which can be restarted with its data: it has a new nonce secret then."""

    children: Children
    folder: Path
    server: Server
    port: int
    plc: int
    certificates: Certificates
    names: dict[str, int]
    running: network.Network | None = None

    async def open(self) -> Subject:
        """Start it for the first time, with its account."""
        account = self.server.account
        await self._start(first=True)
        assert self.running is not None
        did = self.running.dids[account.handle]
        return Subject(f"https://{self.server.hostname}", account, did, self.restart)

    async def restart(self) -> None:
        assert self.running is not None
        await self.running.child.stop()
        await self._start(first=False)

    async def _start(self, *, first: bool) -> None:
        self.running = await network.start(
            *(self.children, self.folder),
            plc_port=self.plc,
            plc_runs=True,
            keep=not first,
            servers=[self.server.pds(self.port)],
            accounts=[self.server.account] if first else [],
            certificates=self.certificates,
            names=self.names,
            release=self.server.release,
        )
