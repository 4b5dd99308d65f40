"""A server that runs already, somewhere: the sidecar here is a loopback client, as in `make run`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
from playwright.async_api import Error

from tests.interop import pages, trials
from tests.interop.pages import Stuck
from tests.interop.trials import Refused, Site, Subject, Visitor
from tests.lab import caddy, service
from tests.lab.child import Children
from tests.lab.demo import APP, CADDY, SIDECAR, start_app
from tests.lab.network import Account

NOT_TRIED = "not tried: no sign-in by handle"
TOO_OLD = 310.0  # seconds; the longest that a server in use accepts a nonce is 300
LIMITS = {"SIDECAR_LIMITS_ATTEMPTS_PER_ADDRESS": "10000", "SIDECAR_LIMITS_ATTEMPTS_PER_IDENTIFIER": "10000"}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asked for."""

    pds: str
    handle: str
    password: str
    restart: str | None = None
    name: str = ""
    version: str = ""
    show: bool = False


@asynccontextmanager
async def running(folder: Path, wanted: Wanted) -> AsyncIterator[Site]:
    """The sidecar, Caddy and an app. SIDECAR_… of the environment reach the sidecar, too."""
    async with Children() as children:
        log = folder / "sidecar.log"
        await service.start(children, service.DEV_CONFIG, port=SIDECAR, log=log, env=LIMITS)
        await start_app(children, APP, log=folder / "app.log")
        await caddy.start(children, folder / "caddy", caddy.EXAMPLE, port=CADDY, env={})
        yield Site(f"http://127.0.0.1:{CADDY}", frozenset({f"127.0.0.1:{CADDY}"}))


async def results(visitor: Visitor, wanted: Wanted) -> tuple[str, str, str, str]:
    """By handle, by DID, by server, nonces. The first sign-in shows the account's DID."""
    subject = _subject(wanted)
    try:
        did = await visitor.did(subject, wanted.handle)
    except (Refused, Stuck, Error) as failure:
        return f"no: {str(failure).splitlines()[0]}", NOT_TRIED, NOT_TRIED, NOT_TRIED
    subject = replace(subject, did=did)
    return (*await trials.identifiers(visitor, subject), await trials.nonces(visitor, subject))


def _subject(wanted: Wanted) -> Subject:
    account = Account(wanted.handle, wanted.password, wanted.pds)

    async def forget_nonces() -> None:
        await (_restart(wanted) if wanted.restart else asyncio.sleep(TOO_OLD))

    patience = 300.0 if wanted.show else pages.PATIENCE  # a person clicks more slowly
    return Subject(wanted.pds, account, "", forget_nonces, wanted.restart is not None, patience)


async def version(wanted: Wanted) -> str:
    """As the server says it."""
    if wanted.version:
        return wanted.version
    try:
        async with httpx.AsyncClient(timeout=10) as client:
            said = (await client.get(f"{wanted.pds}/xrpc/_health")).json()
    except (httpx.HTTPError, ValueError):
        return "unknown"
    return str(said.get("version", "unknown"))[:40] if isinstance(said, dict) else "unknown"


async def _restart(wanted: Wanted) -> None:
    """Run the command, and wait until the server answers."""
    process = await asyncio.create_subprocess_shell(wanted.restart or "true")
    if await process.wait():
        raise Refused(f"the command that restarts the server failed ({process.returncode})")
    async with httpx.AsyncClient(timeout=5) as client, asyncio.timeout(60):
        while True:
            try:
                await client.get(f"{wanted.pds}/.well-known/oauth-authorization-server")
            except httpx.HTTPError:
                await asyncio.sleep(0.5)
            else:
                return
