"""The real Caddy, on the Caddyfile that people are given.

A Caddyfile that names `.internal` sites makes Caddy create an authority and put its root into the system's
trust store, even where certificate files are given. So TLS is added to the adapted JSON, without any issuer,
and Caddy's own files stay in a folder of the test.
"""

import asyncio
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.lab.certs import Certificates
from tests.lab.child import Child, Children, program
from tests.lab.node import ROOT
from tests.lab.ports import answers

EXAMPLE = ROOT / "Caddyfile.example"
RENEWING = ROOT / "config" / "Caddyfile.renew-on-any-request"


async def start(
    children: Children,
    folder: Path,
    caddyfile: Path,
    *,
    port: int,
    env: Mapping[str, str],
    certificates: Certificates | None = None,
    behind: Sequence[str] = (),
    h2c: bool = False,
) -> Child:
    """Run Caddy on `caddyfile`, whose {$…} come from `env`; back when it accepts connections on `port`.

    `behind`: networks of a proxy before it, whose word on the client's address it takes. `h2c`: HTTP/2 too,
    without TLS.
    """
    folder.mkdir(parents=True, exist_ok=True)
    env = {**env, "XDG_DATA_HOME": str(folder / "data"), "XDG_CONFIG_HOME": str(folder / "config")}
    config = await adapt(caddyfile, env)
    if certificates is not None:
        add_tls(config, certificates)
    for server in config["apps"]["http"]["servers"].values() if behind else ():
        server["trusted_proxies"] = {"source": "static", "ranges": list(behind)}
    for server in config["apps"]["http"]["servers"].values() if h2c else ():
        server["protocols"] = ["h1", "h2c"]
    path = folder / "caddy.json"
    path.write_text(json.dumps(config, indent=1))
    child = await children.start(
        "Caddy", [program("caddy"), "run", "--config", path], log=folder / "caddy.log", env=env
    )

    async def listening() -> bool:
        child.check()  # before the connection: another program may have the port
        return await answers(port)

    await child.ready(listening)
    return child


def beside_example(folder: Path, *sites: tuple[str, ...]) -> Path:
    """A Caddyfile with the example's site and snippets, and further `sites`: an address, then its lines."""
    blocks = [f"import {EXAMPLE}", f"import {RENEWING}"]
    blocks += [
        f"{address} {{\n" + "".join(f"\t{line}\n" for line in lines) + "}" for address, *lines in sites
    ]
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "Caddyfile"
    file.write_text("\n".join(blocks))
    return file


async def adapt(caddyfile: Path, env: Mapping[str, str]) -> dict[str, Any]:
    """The Caddyfile as JSON."""
    process = await asyncio.create_subprocess_exec(
        *(program("caddy"), "adapt", "--config", caddyfile, "--adapter", "caddyfile"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **env},
    )
    out, err = await process.communicate()
    if process.returncode != 0:
        raise ValueError(f"{caddyfile}: {err.decode()}")
    config: dict[str, Any] = json.loads(out)
    return config


def add_tls(config: dict[str, Any], certificates: Certificates) -> None:
    """Serve every site with the given certificate, and issue none."""
    apps = config["apps"]
    files = {"certificate": str(certificates.leaf), "key": str(certificates.key)}
    apps["tls"] = {"certificates": {"load_files": [files]}}
    for server in apps["http"]["servers"].values():
        server["automatic_https"] = {"disable": True}
        server["tls_connection_policies"] = [{}]
