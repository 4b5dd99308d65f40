"""The sidecar as a process of its own: the command itself, or with the lab's names (serve.py)."""

import asyncio
import json
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.lab.certs import Certificates
from tests.lab.child import Child, Children, program
from tests.lab.node import ROOT

DEV_CONFIG = ROOT / "config" / "sidecar.dev.toml"


async def answers_ready(port: int) -> bool:
    """Whether GET /auth/readyz says 200."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.write(b"GET /auth/readyz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
    status = await reader.readline()
    writer.close()
    return status.split()[1:2] == [b"200"]


async def start(
    children: Children,
    config: Path,
    *,
    port: int,
    log: Path,
    env: Mapping[str, str],
    name: str = "the sidecar",
) -> Child:
    """`sidecar serve --config CONFIG`, back when it is ready to work."""
    return await _run(
        children, [program("sidecar"), "serve", "--config", config], port=port, log=log, env=env, name=name
    )


async def start_with_names(
    children: Children,
    config: Path,
    *,
    port: int,
    log: Path,
    env: Mapping[str, str],
    names: Mapping[str, int],
    certificates: Certificates,
    name: str = "the sidecar",
    module: str = "tests.lab.serve",
) -> Child:
    """The same, where `names` ("host:port" → port on loopback) are the whole internet. `module` runs it."""
    argv: list[str | Path] = [sys.executable, "-m", module, "serve", "--config", config]
    lab = {
        "LAB_NAMES": json.dumps(dict(names)),
        "SSL_CERT_FILE": str(certificates.ca),
        "PYTHONPATH": str(ROOT),
    }
    return await _run(children, argv, port=port, log=log, env={**env, **lab}, name=name)


async def _run(
    children: Children, argv: list[str | Path], *, port: int, log: Path, env: Mapping[str, str], name: str
) -> Child:
    child = await children.start(name, argv, log=log, env=env)

    async def ready() -> bool:
        child.check()
        return await answers_ready(port)

    await child.ready(ready)
    return child
