"""The arrangement of the end-to-end tests, as in production: TLS, names, two PDSes, apps on hosts of their own.

    Chromium ─┐                         ┌─ auth.sidecar.internal ──────► the sidecar ──► pds.test, pds2.test
              ├─► Caddy (test CA) ──────┼─ app.sidecar.internal  ─ check ┘   │             the PLC directory
    httpx   ──┘                         └─ team.sidecar.internal ─ check ────┘─► the demo app

Every name leads to a port on loopback: Chromium is told so (browser.py), the PDS (network.mjs) and the sidecar
(serve.py) have it beneath their own TLS and their own checks.
"""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.lab import caddy, certs, dns, network, service
from tests.lab.child import Child, Children, program
from tests.lab.demo import start_app
from tests.lab.network import Account, Network, Pds
from tests.lab.ports import free_port

AUTH, APP, TEAM = (f"https://{host}.sidecar.internal" for host in ("auth", "app", "team"))
"""The sidecar, an app for anyone, and an app for Alice and Dora only. Plain /etc/caddy names, no ports."""

ALICE = Account("alice.pds.test", "alice-password", "pds.test", "Alice 🌻 <b>")
BOB = Account("bob.pds.test", "bob-password", "pds.test")
CARLA = Account("carla.pds.test", "carla-password", "pds.test")
DORA = Account("dora.pds2.test", "dora-password", "pds2.test", "Dora")
ACCOUNTS = [ALICE, BOB, CARLA, DORA]

CONFIG = """
public_url = "{auth}"

[server]
listen = "127.0.0.1:{port}"

[client]
keys_file = "keys.json"

[session]
cookie_secrets = ["{secret}"]
cookie_domain = "sidecar.internal"

[store]
path = "sidecar.db"

[identity]
plc_url = "{plc}"
nameservers = ["127.0.0.1:{dns}"]
development_servers = true

[pages]
providers = [{{ name = "the big PDS", url = "https://pds.test" }}]
signup = "https://pds.test"

[apps.app]
hosts = ["app.sidecar.internal"]
allow = ["*"]
deny = ["{carla}"]

[apps.team]
hosts = ["team.sidecar.internal"]
allow = ["alice.pds.test", "*.pds2.test"]
"""


@dataclass(frozen=True, slots=True)
class World:
    children: Children
    folder: Path
    names: Mapping[str, int]
    """ "host:443" → port on loopback."""
    network: Network
    sidecar: Child
    config: Path
    certificates: certs.Certificates
    https: int
    """Caddy's port for all names."""

    def did(self, account: Account) -> str:
        return self.network.dids[account.handle]


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[World]:
    """Start it all; stop it all."""
    https, pds_port, app_port, sidecar_port = free_port(), free_port(), free_port(), free_port()
    hosts = [url.removeprefix("https://") for url in (AUTH, APP, TEAM)]
    servers = [Pds(name, pds_port, f".{name}", tls=True) for name in ("pds.test", "pds2.test")]
    names = {f"{host}:443": https for host in hosts}
    names |= {f"{prefix}{pds.hostname}:443": pds_port for pds in servers for prefix in ("", "*.")}
    certificates = certs.issue(
        folder / "tls", ["*.sidecar.internal", *(f"{each}{s.hostname}" for s in servers for each in ("", "*."))]
    )
    texts: dict[str, str] = {}
    async with Children() as children, dns.serving(texts) as nameserver:
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
        texts[f"_atproto.{BOB.handle}"] = f"did={lab.dids[BOB.handle]}"
        config = folder / "sidecar.toml"
        config.write_text(
            CONFIG.format(
                auth=AUTH,
                port=sidecar_port,
                secret=secrets.token_urlsafe(32),
                plc=lab.plc_url,
                dns=nameserver,
                carla=lab.dids[CARLA.handle],
            )
        )
        await keygen(folder / "keys.json")
        log = folder / "sidecar.log"
        sidecar = await service.start_with_names(
            children, config, port=sidecar_port, log=log, env={}, names=names, certificates=certificates
        )
        await start_app(children, app_port, log=folder / "app.log")
        await start_caddy(children, folder / "caddy", https, sidecar_port, app_port, certificates)
        yield World(children, folder, names, lab, sidecar, config, certificates, https)


async def start_caddy(
    children: Children, folder: Path, https: int, sidecar: int, app: int, certificates: certs.Certificates
) -> None:
    """Caddyfile.example as it stands, its site being an app's; the sidecar and another app on hosts of their own."""
    env = {
        "SIDECAR_SITE": f"{APP}:{https}",
        "SIDECAR_UPSTREAM": f"127.0.0.1:{sidecar}",
        "APP_UPSTREAM": f"127.0.0.1:{app}",
    }
    file = caddy.beside_example(
        folder,
        (f"{AUTH}:{https}", "import atproto-pages", "respond 404"),
        (f"{TEAM}:{https}", f"import atproto 127.0.0.1:{app}"),
    )
    await caddy.start(children, folder, file, port=https, env=env, certificates=certificates)


async def keygen(path: Path) -> None:
    """`sidecar keygen`."""
    process = await asyncio.create_subprocess_exec(program("sidecar"), "keygen", stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    path.write_text(json.dumps(json.loads(out)))
    path.chmod(0o600)
