"""The arrangement of the end-to-end tests, as in production: TLS, names, two PDSes, apps on their own hosts.

    Chromium ─┐                      ┌─ auth.sidecar.internal ─────► the sidecar ──► pds.test, pds2.test,
              ├─► Caddy (test CA) ───┼─ app.sidecar.internal ─ check ┘   │           PLC directory
    httpx   ──┘                      └─ team.sidecar.internal ─ check ───┴─► the demo app

Every name leads to a port on loopback: Chromium is told so (browser.py), the PDS (network.mjs) and the
sidecar (serve.py) have it beneath their own TLS and their own checks.
"""

import asyncio
import secrets
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from tests.fakes.dns import dns_server
from tests.lab import caddy, certs, network, service
from tests.lab.child import Child, Children, program
from tests.lab.demo import start_app
from tests.lab.network import Account, Network, Pds
from tests.lab.ports import free_port

HOSTS = ("auth", "app", "team", "renew", "any")
AUTH, APP, TEAM, RENEW, ANY = (f"https://{host}.sidecar.internal" for host in HOSTS)
"""The sidecar, and four apps: for anyone but Carla; for Alice and whoever is at pds2.test; and two like the
first, behind a second sidecar and Caddy, that renew every session at once: by the example; on any request.
"""

ALICE = Account("alice.pds.test", "alice-password", "pds.test", "Alice 🌻 <b>")
BOB = Account("bob.pds.test", "bob-password", "pds.test")
CARLA = Account("carla.pds.test", "carla-password", "pds.test")
DORA = Account("dora.pds2.test", "dora-password", "pds2.test", "Dora")
ACCOUNTS = [ALICE, BOB, CARLA, DORA]

CONFIG = """
public_url = "{auth}"

[client]
keys_file = "keys.json"

[session]
cookie_secrets = ["{secret}"]
cookie_domain = "sidecar.internal"

[store]
path = "sidecar.db"

[identity]
plc_url = "{plc}"
nameservers = ["{dns}"]
development_servers = true

[limits]
attempts_per_address = 10000
attempts_per_identifier = 10000

[pages]
providers = [{{ name = "the big PDS", url = "https://pds.test" }}]
signup = "https://pds.test"

[apps.app]
hosts = ["app.sidecar.internal", "renew.sidecar.internal", "any.sidecar.internal"]
allow = ["*"]
deny = ["{carla}"]

[apps.team]
hosts = ["team.sidecar.internal"]
allow = ["alice.pds.test", "*.pds2.test"]
"""


@dataclass(frozen=True, slots=True)
class World:
    folder: Path
    names: Mapping[str, int]
    """ "host:443" → port on loopback."""
    network: Network
    sidecar: Child
    tls: ssl.SSLContext
    """A client's, with the test authority as all its trust."""

    def did(self, account: Account) -> str:
        return self.network.dids[account.handle]

    def port(self, url: str) -> int:
        """The port on loopback behind one of the names."""
        return self.names[f"{urlsplit(url).hostname}:443"]


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[World]:
    """Start it all; stop it all."""
    servers = [
        Pds(name, port, f".{name}", tls=True) for port in [free_port()] for name in ("pds.test", "pds2.test")
    ]
    app, sidecars, caddys = free_port(), (free_port(), free_port()), (free_port(), free_port())
    names = {f"{prefix}{pds.hostname}:443": pds.port for pds in servers for prefix in ("", "*.")}
    names |= {f"{urlsplit(url).hostname}:443": caddys[0] for url in (AUTH, APP, TEAM)}
    names |= {f"{urlsplit(url).hostname}:443": caddys[1] for url in (RENEW, ANY)}
    certificates = certs.issue(
        folder / "tls", ["*.sidecar.internal", *(name.partition(":")[0] for name in names)]
    )
    async with Children() as children, dns_server() as nameserver:
        lab = await network.start(
            children,
            folder / "network",
            plc_port=free_port(),
            servers=servers,
            accounts=ACCOUNTS,
            certificates=certificates,
            names=names,
        )
        # Bob's handle is found by DNS, all others' by the well-known file on their PDS.
        nameserver.txt(f"_atproto.{BOB.handle}", f"did={lab.dids[BOB.handle]}")
        config = await configure(folder, lab, nameserver.address)
        start = partial(service.start_with_names, children, config, names=names, certificates=certificates)
        sidecar = await start(port=sidecars[0], log=folder / "sidecar.log", env=listening(sidecars[0]))
        renewing = {**listening(sidecars[1]), "SIDECAR_SESSION_RENEW_AFTER": "0.001"}
        await start(port=sidecars[1], log=folder / "sidecar-2.log", env=renewing, name="the second sidecar")
        await start_app(children, app, log=folder / "app.log")
        sites = [(AUTH, "import atproto-pages", "respond 404"), (TEAM, f"import atproto 127.0.0.1:{app}")]
        gate = partial(start_caddy, children, app=app, certificates=certificates)
        await gate(folder / "caddy", APP, sites, https=caddys[0], sidecar=sidecars[0])
        sites = [(ANY, f"import atproto-renewing 127.0.0.1:{app}")]
        await gate(folder / "caddy-2", RENEW, sites, https=caddys[1], sidecar=sidecars[1])
        tls = ssl.create_default_context(cafile=certificates.ca)
        yield World(folder, names, lab, sidecar, tls)


async def configure(folder: Path, lab: Network, nameserver: str) -> Path:
    """The configuration of both sidecars, who share a store; with keys from `sidecar keygen`."""
    path = folder / "sidecar.toml"
    values = {"auth": AUTH, "secret": secrets.token_urlsafe(32), "plc": lab.plc_url, "dns": nameserver}
    path.write_text(CONFIG.format(**values, carla=lab.dids[CARLA.handle]))
    process = await asyncio.create_subprocess_exec(
        program("sidecar"), "keygen", stdout=asyncio.subprocess.PIPE
    )
    keys, _ = await process.communicate()
    (folder / "keys.json").touch(mode=0o600)
    (folder / "keys.json").write_bytes(keys)
    return path


def listening(port: int) -> dict[str, str]:
    return {"SIDECAR_SERVER_LISTEN": f"127.0.0.1:{port}"}


async def start_caddy(
    children: Children,
    folder: Path,
    site: str,
    others: Sequence[tuple[str, ...]],
    *,
    https: int,
    sidecar: int,
    app: int,
    certificates: certs.Certificates,
) -> None:
    """Caddyfile.example as it stands, its one site being `site`; and others on hosts of their own."""
    env = {
        "SIDECAR_SITE": f"{site}:{https}",
        "SIDECAR_UPSTREAM": f"127.0.0.1:{sidecar}",
        "APP_UPSTREAM": f"127.0.0.1:{app}",
    }
    file = caddy.beside_example(folder, *((f"{address}:{https}", *lines) for address, *lines in others))
    await caddy.start(children, folder, file, port=https, env=env, certificates=certificates)
