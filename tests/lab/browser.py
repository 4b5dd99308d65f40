"""Headless Chromium, and how a person gets through a PDS's own pages.

The browser is the distribution's `chromium`; Playwright drives it and brings none.
"""

import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from playwright.async_api import Browser, Page, async_playwright

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]


@asynccontextmanager
async def chromium(
    names: Mapping[str, int] | None = None, *, alone: bool = True, headless: bool = True
) -> AsyncIterator[Browser]:
    """A running browser. `names`: "host:port" as pages say it → port on loopback.

    `alone`: no other name resolves. Without `headless` it shows its window.
    """
    path = shutil.which("chromium")
    if path is None:
        raise FileNotFoundError("no `chromium` on the PATH; on Debian: apt-get install chromium")
    rules = [f"MAP {name} 127.0.0.1:{port}" for name, port in (names or {}).items()]
    rules += ["MAP * ~NOTFOUND", "EXCLUDE localhost", "EXCLUDE 127.0.0.1"] if alone else []
    flags = [*FLAGS, f"--host-resolver-rules={', '.join(rules)}"] if rules else FLAGS
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=flags, headless=headless)
        yield browser
        await browser.close()


async def welcome(page: Page) -> None:
    """Past the page that a PDS shows where nobody was named; with a login_hint there is none."""
    await page.get_by_role("button", name="Sign in", exact=True).click()


async def give_password(page: Page, handle: str, password: str, *, remember: bool = False) -> None:
    """The PDS's sign-in form. With a login_hint the name is there already, and fixed.

    `remember`: the PDS keeps the account for this browser, and with a hint needs no word the next time.
    """
    await page.locator("input[name=password]").wait_for()
    name = page.locator("input[name=username]")
    if await name.is_editable():
        await name.fill(handle)
    await page.fill("input[name=password]", password)
    if remember:
        await page.get_by_label("Remember this account").check()
    await page.locator("button[type=submit]").click()


async def authorize(page: Page) -> None:
    await page.get_by_role("button", name="Authorize", exact=True).click()


async def deny(page: Page) -> None:
    await page.get_by_role("button", name="Deny access", exact=True).click()
