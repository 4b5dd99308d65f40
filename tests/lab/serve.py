"""`sidecar …` where some names lead to ports on loopback: `python -m tests.lab.serve serve --config …`.

LAB_NAMES is a JSON object, "host:port" or "*.domain:port" → port on loopback. Such a name resolves to an
address under 127.77.0.0/16 that spells the port, and a connection to that address goes there. So the guard
checks an address and is true to it as ever, certificates are checked against the name, and nothing needs a
port below 1024. No other name resolves: tests stay on this machine.
"""

import json
import os
import socket
import sys
from collections.abc import Sequence

import httpcore

from sidecar.atproto import transport
from sidecar.commands import cli

PREFIX = "127.77"
NAMES: dict[str, int] = json.loads(os.environ["LAB_NAMES"])

real_connect = transport.connect


async def resolve(host: str, port: int) -> Sequence[str]:
    if host in ("localhost", "127.0.0.1"):
        return ["127.0.0.1"]
    for name in (host, f"*.{host.partition('.')[2]}"):
        if (target := NAMES.get(f"{name}:{port}")) is not None:
            return [f"{PREFIX}.{target >> 8}.{target & 255}"]
    raise socket.gaierror(socket.EAI_NONAME, f"the lab has no {host}:{port}")


async def connect(address: str, port: int) -> httpcore.AsyncNetworkStream:
    if address.startswith(f"{PREFIX}."):
        high, low = address.split(".")[2:]
        return await real_connect("127.0.0.1", int(high) << 8 | int(low))
    return await real_connect(address, port)


def main() -> int:
    """The command, with these names."""
    transport.resolve, transport.connect = resolve, connect
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
