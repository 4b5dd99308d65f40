"""A browser's way through the pages of any server: a password where one is asked for, yes to what follows.

Servers word their pages differently, so nothing here is exact. What these rules don't find, a person clicks
in a browser that shows its window (`--show`).
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from playwright.async_api import Error, Locator, Page

from tests.lab.network import Account

YES = re.compile(
    r"^\s*(sign in|log in|login|authori[sz]e|allow|accept|approve|continue|next)\s*$", re.IGNORECASE
)
NAME = "input[name=username], input[name=identifier], input[autocomplete=username]"
PASSWORD = "input[type=password]:visible"
PATIENCE = 60.0  # seconds for all pages of one server
PAUSE = 0.3  # seconds between two looks at a page

Hook = Callable[[], Awaitable[None]]


class Stuck(Exception):
    """The pages led nowhere in time; the message says where the browser stood."""


async def through(
    page: Page,
    account: Account,
    *,
    ours: set[str],
    patience: float = PATIENCE,
    before_password: Hook | None = None,
) -> None:
    """Answer the server's pages until the browser is on one of `ours` (hosts) again.

    `before_password` runs once, when the server asks for it.
    """
    try:
        async with asyncio.timeout(patience):
            while urlsplit(page.url).netloc not in ours:
                if await page.locator(PASSWORD).count():
                    if before_password is not None:
                        await before_password()
                        before_password = None
                    await _give_password(page, account)
                elif (button := await _yes(page)) is not None:
                    await _click(button)
                await asyncio.sleep(PAUSE)
    except TimeoutError:
        raise Stuck(f"no way on from {page.url.partition('?')[0]}") from None
    await page.wait_for_load_state()


async def _give_password(page: Page, account: Account) -> None:
    """Fill in the form and send it."""
    try:
        name = page.locator(NAME).first
        if await name.count() and await name.is_editable():
            await name.fill(account.handle, timeout=2000)
        field = page.locator(PASSWORD).first
        await field.fill(account.password, timeout=2000)
        await field.press("Enter", timeout=2000)
        await field.wait_for(state="detached", timeout=5000)
    except Error:  # the page changed meanwhile; the next look tells
        return


async def _yes(page: Page) -> Locator | None:
    try:
        buttons = page.get_by_role("button", name=YES)
        for number in range(await buttons.count()):
            if await buttons.nth(number).is_visible() and await buttons.nth(number).is_enabled():
                return buttons.nth(number)
    except Error:  # the page went away under our eyes
        return None
    return None


async def _click(button: Locator) -> None:
    try:
        await button.click(timeout=2000)
    except Error:
        return
