"""What is tried at each server, and what came of it.

Doesn't belong here: starting the programs (local.py, by_hand.py), the way through pages (pages.py).
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from playwright.async_api import Browser, Error, Page

from tests.e2e.journeys import shown, start
from tests.interop import pages
from tests.interop.pages import Hook, Stuck
from tests.interop.report import YES
from tests.lab.network import Account

KEY_PATIENCE = 16 * 60.0  # seconds: the 15 minutes that our docs ask for, and a little
KEY_PAUSE = 20.0


class Refused(Exception):
    """The sign-in ended elsewhere than at the app; the message is the code and the server's words."""


@dataclass(frozen=True, slots=True)
class Site:
    """An app behind the gate, and all hosts that are ours."""

    app: str
    hosts: frozenset[str]


@dataclass(frozen=True, slots=True)
class Subject:
    """A server with an account. `forget_nonces`: it then refuses every nonce that it gave out before."""

    url: str
    account: Account
    did: str
    forget_nonces: Hook
    restarts: bool = True
    """Whether that is so fast that it can be done in the middle of a sign-in."""
    patience: float = pages.PATIENCE


class Client(Protocol):
    """The sidecar with its keys."""

    def kids(self) -> list[str]: ...
    async def keygen(self, *arguments: str) -> None: ...
    async def restart(self) -> None: ...


class Visitor:
    """Signs in at one site, every time in a browser that has never been anywhere."""

    def __init__(self, browser: Browser, site: Site) -> None:
        self._browser = browser
        self._site = site

    async def did(self, subject: Subject, identifier: str, before_password: Hook | None = None) -> str:
        """The DID that the app was given after somebody signed in with `identifier`."""
        async with self._page() as page:
            await page.goto(self._site.app)
            async with page.expect_navigation(timeout=60_000):
                await start(page, identifier)
            hosts = set(self._site.hosts)
            await pages.through(
                page, subject.account, ours=hosts, patience=subject.patience, before_password=before_password
            )
            if not page.url.startswith(self._site.app) or "/auth/" in page.url:
                raise Refused(await _reason(page))
            return (await shown(page)).get("x-user-did", ["none"])[0]

    async def check(self, subject: Subject, identifier: str, before_password: Hook | None = None) -> None:
        """The same; Refused if it is somebody else's."""
        did = await self.did(subject, identifier, before_password)
        if did != subject.did:
            raise Refused(f"signed in as {did}, not as {subject.did}")

    @asynccontextmanager
    async def _page(self) -> AsyncIterator[Page]:
        context = await self._browser.new_context(ignore_https_errors=True)
        try:
            yield await context.new_page()
        finally:
            await context.close()


async def outcome(trial: Awaitable[None]) -> str:
    """ "yes", or "no" with its reason."""
    try:
        await trial
    except (Refused, Stuck, Error, TimeoutError) as failure:
        return f"no: {(str(failure) or type(failure).__name__).splitlines()[0]}"
    return YES


async def identifiers(visitor: Visitor, subject: Subject) -> tuple[str, str, str]:
    """By handle, by DID, by server."""
    return (
        await outcome(visitor.check(subject, subject.account.handle)),
        await outcome(visitor.check(subject, subject.did)),
        await outcome(visitor.check(subject, subject.url)),
    )


async def nonces(visitor: Visitor, subject: Subject) -> str:
    """A sign-in, a new nonce, and another; then one with a new nonce in its middle."""

    async def between() -> None:
        await visitor.check(subject, subject.account.handle)
        await subject.forget_nonces()
        await visitor.check(subject, subject.account.handle)

    async def within() -> None:
        done = False

        async def forget() -> None:
            nonlocal done
            await subject.forget_nonces()
            done = True

        await visitor.check(subject, subject.account.handle, forget)
        if not done:
            raise Refused("the server asked for no password, so no nonce changed in the middle")

    found = await outcome(between())
    return await outcome(within()) if found == YES and subject.restarts else found


@dataclass(frozen=True, slots=True)
class KeyResult:
    result: str
    taken_after: float | None
    """Seconds from the publication of the new key until the server took it."""


async def keys(
    visitor: Visitor,
    client: Client,
    subjects: Sequence[Subject],
    *,
    patience: float = KEY_PATIENCE,
    pause: float = KEY_PAUSE,
    say: Callable[[str], None] = print,
) -> list[KeyResult]:
    """Add a key, sign with it, remove the old one; each server has `patience` seconds to take the new one."""
    (old,) = client.kids()
    await client.keygen("--add")
    await client.restart()
    published = time.monotonic()
    await client.keygen(f"--use={client.kids()[-1]}")
    await client.restart()
    results: dict[str, KeyResult] = {}
    while waiting := [each for each in subjects if each.url not in results]:
        for each in waiting:
            result = await outcome(visitor.check(each, each.account.handle))
            passed = time.monotonic() - published
            if result == YES or passed > patience:
                results[each.url] = KeyResult(result, passed if result == YES else None)
                say(f"{each.url}: new key after {passed:.0f} s: {result}")
        if len(results) < len(subjects):
            await asyncio.sleep(pause)
    await client.keygen(f"--remove={old}")
    await client.restart()
    for each in subjects:
        if results[each.url].result == YES:
            last = await outcome(visitor.check(each, each.account.handle))
            results[each.url] = KeyResult(last, results[each.url].taken_after)
    return [results[each.url] for each in subjects]


def in_words(after: float | None) -> str:
    """The note on a key."""
    if after is None:
        return ""
    return "took the new key at once" if after < 60 else f"took the new key after {after / 60:.0f} min"


async def _reason(page: Page) -> str:
    """The code of our own error page, and what the server said."""
    code = (
        await page.locator("code").first.text_content(timeout=2000)
        if await page.locator("code").count()
        else None
    )
    said = await page.locator("q").first.text_content() if await page.locator("q").count() else None
    return ": ".join(part for part in (code or page.url.partition("?")[0], said) if part)
