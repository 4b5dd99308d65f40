"""A PLC directory and PDSes as one Node process (network.mjs), and the accounts on them.

Two arrangements use it: the demo's (http://localhost:PORT, no TLS) and the tests' (https, names without DNS).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lab import node
from tests.lab.certs import Certificates
from tests.lab.child import Child, Children


@dataclass(frozen=True, slots=True)
class Account:
    """Someone to sign in as. `pds` is the host name of their server."""

    handle: str
    password: str
    pds: str
    display_name: str = ""


@dataclass(frozen=True, slots=True)
class Pds:
    """One server. `handles`: the suffix of the handles it gives out, such as ".test"."""

    hostname: str
    port: int
    handles: str
    tls: bool = False


@dataclass(frozen=True, slots=True)
class Release:
    """Which PDS: its npm package, and the folder whose node_modules has it."""

    package: str = "@atproto/pds"
    folder: Path = node.PACKAGES


@dataclass(frozen=True, slots=True)
class Network:
    child: Child
    plc_url: str
    dids: Mapping[str, str]
    """The DID of each account, by handle."""


async def start(
    children: Children,
    folder: Path,
    *,
    plc_port: int,
    servers: Sequence[Pds],
    accounts: Sequence[Account],
    certificates: Certificates | None = None,
    names: Mapping[str, int] | None = None,
    release: Release | None = None,
    plc_runs: bool = False,
    keep: bool = False,
) -> Network:
    """Start it all and create the accounts. `names`: "host:port" as the servers say it → port on loopback.

    `plc_runs`: there is a directory on that port already. `keep`: the servers' data of the last time stays.
    """
    release = release or Release()
    folder.mkdir(parents=True, exist_ok=True)
    config: dict[str, Any] = {
        "modules": str(release.folder),
        "package": release.package,
        "data": str(folder / "data"),
        "keep": keep,
        "plcPort": plc_port,
        "plcRuns": plc_runs,
        "pds": [
            {"hostname": pds.hostname, "port": pds.port, "handles": pds.handles, "tls": pds.tls}
            for pds in servers
        ],
        "accounts": [
            {
                "pds": account.pds,
                "handle": account.handle,
                "password": account.password,
                "displayName": account.display_name,
            }
            for account in accounts
        ],
        "names": dict(names or {}),
    }
    env = {"LOG_ENABLED": "false", "NODE_NO_WARNINGS": "1"}
    if certificates is not None:
        config["tls"] = {"cert": str(certificates.leaf), "key": str(certificates.key)}
        env["NODE_EXTRA_CA_CERTS"] = str(certificates.ca)
    (folder / "network.json").write_text(json.dumps(config))
    argv = [node.NODE, node.HERE / "network.mjs", folder / "network.json"]
    child = await children.start("the PDS", argv, log=folder / "network.log", env=env)

    async def said_ready() -> bool:
        return '"ready":true' in child.output()

    await child.ready(said_ready)
    line = next(line for line in child.output().splitlines() if '"ready":true' in line)
    return Network(child, f"http://localhost:{plc_port}", json.loads(line)["accounts"])
