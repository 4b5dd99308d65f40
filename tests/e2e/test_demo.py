"""`make demo`, as a newcomer sees it: on its real ports, in a browser without any trick."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from tests.e2e.journeys import at_the_pds, shown, start
from tests.lab import demo, node
from tests.lab.browser import chromium
from tests.lab.network import Account
from tests.lab.ports import taken

OPEN = "http://127.0.0.1:8080/"
PORTS = [*demo.PORTS, *demo.OWN_PORTS]


async def run(*arguments: str) -> asyncio.subprocess.Process:
    argv = [sys.executable, "-m", "tests.lab.demo", *arguments]
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(*argv, cwd=node.ROOT, stdout=pipe, stderr=pipe)


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def running() -> AsyncIterator[str]:
    """The demo; yields what it said until it was ready."""
    process = await run()
    assert process.stdout is not None
    assert process.stderr is not None
    said = ""
    while "Ctrl-C" not in said:
        line = (await process.stdout.readline()).decode()
        assert line, (await process.stderr.read()).decode()
        said += line
    yield said
    process.send_signal(signal.SIGINT)
    await process.communicate()
    assert process.returncode == 0
    assert [port for port in PORTS if taken(port)] == [], "something was left running"


@pytest_asyncio.fixture(loop_scope="session")
async def page(running: str) -> AsyncIterator[Page]:
    async with chromium() as browser:
        yield await browser.new_page()


async def test_it_says_what_to_open_and_who_to_be(running: str) -> None:
    assert OPEN in running
    for account in demo.ACCOUNTS:
        assert account.handle in running
        assert account.password in running


@pytest.mark.parametrize("account", demo.ACCOUNTS, ids=lambda account: account.handle)
async def test_its_accounts_sign_in_and_out(page: Page, account: Account) -> None:
    await page.goto(f"{OPEN}deep/link?with=a&query=string")
    await start(page, account.handle)
    await at_the_pds(page, account)
    await page.wait_for_url(f"{OPEN}deep/link?with=a&query=string")
    assert (await shown(page))["x-user-handle"] == [account.handle]
    await page.goto(f"{OPEN}auth/")
    await expect(page.get_by_text(account.display_name).first).to_be_visible()
    await page.goto(f"{OPEN}auth/logout")
    await page.get_by_role("button", name="Sign out").click()
    await page.goto(OPEN)
    assert page.url.startswith(f"{OPEN}auth/login")


async def test_its_providers_button_signs_in(page: Page) -> None:
    await page.goto(OPEN)
    await page.get_by_role("button", name="the demo's server").click()
    await at_the_pds(page, demo.ACCOUNTS[0], named=False)
    await page.wait_for_url(OPEN)


async def test_localhost_leads_to_the_same_place(page: Page) -> None:
    await page.goto("http://localhost:8080/auth/login")
    assert page.url.startswith(f"{OPEN}auth/login")


async def test_a_port_in_use_is_named(running: str) -> None:
    second = await run()
    _, said = await second.communicate()
    assert second.returncode == 1
    assert "8080 is in use" in said.decode()
