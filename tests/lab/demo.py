"""`make demo` and `make run`: the sidecar, the real Caddy and a small app on this machine, until Ctrl-C.

The demo has an ATProto network of its own, with two accounts; with `--public` the accounts are real ones.
"""

import argparse
import asyncio
import signal
import sys
from contextlib import suppress
from pathlib import Path

from tests.lab import caddy, network, node, service
from tests.lab.child import ChildFailedError, Children, program
from tests.lab.network import Account, Pds
from tests.lab.ports import answers, taken

FOLDER = node.ROOT / ".lab" / "demo"
PLC, PDS, CADDY, SIDECAR, APP = 2582, 2583, 8080, 9180, 3000
PORTS = {CADDY: "Caddy", SIDECAR: "the sidecar", APP: "the demo app"}
OWN_PORTS = {PLC: "the PLC directory", PDS: "the PDS"}

ACCOUNTS = [
    Account("alice.test", "alice-password", "localhost", "Alice of the Demo"),
    Account("bob.test", "bob-password", "localhost", "Bob"),
]
OWN_NETWORK = {
    "SIDECAR_IDENTITY_PLC_URL": f"http://localhost:{PLC}",
    "SIDECAR_IDENTITY_HANDLE_RESOLVER": f"http://localhost:{PDS}",
    "SIDECAR_IDENTITY_DEVELOPMENT_SERVERS": "true",
    "SIDECAR_PAGES_PROVIDERS": f"the demo's server=http://localhost:{PDS}",
    "SIDECAR_PAGES_SIGNUP": f"http://localhost:{PDS}",
}


async def start(children: Children, *, public: bool) -> None:
    """Start everything; back when the page can be opened."""
    env = {} if public else OWN_NETWORK
    if not public:
        say("Starting a PLC directory and a PDS …")
        servers = [Pds("localhost", PDS, ".test")]
        await network.start(children, FOLDER, plc_port=PLC, servers=servers, accounts=ACCOUNTS)
    say("Starting the sidecar, the app and Caddy …")
    await service.start(children, service.DEV_CONFIG, port=SIDECAR, log=FOLDER / "sidecar.log", env=env)
    await start_app(children, APP, log=FOLDER / "app.log")
    await caddy.start(children, FOLDER / "caddy", caddy.EXAMPLE, port=CADDY, env={})


async def start_app(children: Children, port: int, *, log: Path) -> None:
    argv: list[str | Path] = [
        program("uvicorn"),
        "tests.lab.demo_app:app",
        "--port",
        str(port),
        "--app-dir",
        str(node.ROOT),
    ]
    child = await children.start("the demo app", argv, log=log)

    async def listening() -> bool:
        return await answers(port)

    await child.ready(listening)


async def run(*, public: bool) -> None:
    """Start it all, say where it is, and stay until somebody says stop or something ends by itself."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with Children() as children:
        work = asyncio.create_task(serve(children, public=public))
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
        say("\nStopping …")
        stopped.cancel()
        work.cancel()
        with suppress(asyncio.CancelledError):
            await work


async def serve(children: Children, *, public: bool) -> None:
    await start(children, public=public)
    announce(public=public)
    ended = await children.first_to_end()
    ended.check()


def announce(*, public: bool) -> None:
    say(f"\nOpen http://127.0.0.1:{CADDY}/\n")
    if public:
        say("Sign in with your own account.")
    for account in [] if public else ACCOUNTS:
        say(f"  {account.handle:<12} password: {account.password}")
    say(f"\nLogs are in {FOLDER.relative_to(node.ROOT)}/. Ctrl-C stops everything.")


def say(text: str) -> None:
    print(text, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--public", action="store_true", help="real accounts instead of a network of its own")
    public = parser.parse_args().public
    for port, what in (PORTS if public else PORTS | OWN_PORTS).items():
        if taken(port):
            print(f"Port {port} is in use, and {what} needs it: stop what listens there.", file=sys.stderr)
            return 1
    try:
        asyncio.run(run(public=public))
    except ChildFailedError as failure:
        print(failure, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
