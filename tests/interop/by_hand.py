"""A server that runs already. The sidecar is a loopback client, as in `make run`, or has a public name."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from playwright.async_api import Error

from tests.interop import pages, trials
from tests.interop.client import KEYS, KeyedSidecar, make_keys
from tests.interop.pages import Stuck
from tests.interop.trials import Refused, Site, Subject, Visitor
from tests.lab import caddy, service
from tests.lab.child import Children
from tests.lab.demo import APP, CADDY, SIDECAR, start_app
from tests.lab.network import Account

CONFIG = """
public_url = "{url}"

[client]
keys_file = "{keys}"

[session]
cookie_secrets = ["{secret}"]

[store]
kind = "memory"

[apps.app]
hosts = ["{host}"]
allow = ["*"]
"""
OUR_OWN = ("127.0.0.0/8", "::1/128")
NOTE = "by hand"
NO_KEYS = "not tried: the loopback client has no keys"
NOT_TRIED = "not tried: no sign-in by handle"
TOO_OLD = 310.0  # seconds; the longest that a server in use accepts a nonce is 300
LIMITS = {"SIDECAR_LIMITS_ATTEMPTS_PER_ADDRESS": "10000", "SIDECAR_LIMITS_ATTEMPTS_PER_IDENTIFIER": "10000"}


Results = tuple[str, str, str, str, str, str]


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
    public_url: str = ""


@dataclass(frozen=True, slots=True)
class Running:
    site: Site
    client: KeyedSidecar | None
    """None for the loopback client, which has no keys."""


@asynccontextmanager
async def running(folder: Path, wanted: Wanted) -> AsyncIterator[Running]:
    """The sidecar, Caddy and an app. SIDECAR_… of the environment reach the sidecar, too."""
    url = urlsplit(wanted.public_url or f"http://127.0.0.1:{CADDY}")
    behind = OUR_OWN if wanted.public_url else ()
    site = {"SIDECAR_SITE": f"http://{url.hostname}:{CADDY}"}
    async with Children() as children:
        config = await _configure(folder, wanted.public_url) if wanted.public_url else service.DEV_CONFIG
        log = folder / "sidecar.log"
        begin = partial(service.start, children, config, port=SIDECAR, log=log, env=LIMITS)
        client = KeyedSidecar(config, begin)
        await client.start()
        await start_app(children, APP, log=folder / "app.log")
        await caddy.start(children, folder / "caddy", caddy.EXAMPLE, port=CADDY, env=site, behind=behind)
        found = Site(url.geturl(), frozenset({url.netloc}))
        yield Running(found, client if wanted.public_url else None)


async def _configure(folder: Path, public_url: str) -> Path:
    """A confidential client of that name, with new keys."""
    folder.mkdir(parents=True, exist_ok=True)
    values = {"url": public_url, "host": urlsplit(public_url).netloc, "secret": secrets.token_urlsafe(32)}
    (folder / "sidecar.toml").write_text(CONFIG.format(**values, keys=KEYS))
    await make_keys(folder)
    return folder / "sidecar.toml"


async def results(visitor: Visitor, wanted: Wanted, client: KeyedSidecar | None) -> Results:
    """By handle, by DID, by server, nonces, keys; and a note. The first sign-in shows the account's DID."""
    subject = _subject(wanted)
    try:
        did = await visitor.did(subject, wanted.handle)
    except (Refused, Stuck, Error) as failure:
        return f"no: {str(failure).splitlines()[0]}", NOT_TRIED, NOT_TRIED, NOT_TRIED, NOT_TRIED, NOTE
    subject = replace(subject, did=did)
    found = (*await trials.identifiers(visitor, subject), await trials.nonces(visitor, subject))
    if client is None:
        return (*found, NO_KEYS, NOTE)
    (key,) = await trials.keys(visitor, client, [subject])
    return (*found, key.result, "; ".join(filter(None, [NOTE, trials.in_words(key.taken_after)])))


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
