"""What people do, step by step, and what they then have before them."""

from playwright.async_api import Page, StorageState

from tests.lab.browser import authorize, give_password, welcome
from tests.lab.network import Account


async def start(page: Page, identifier: str) -> None:
    """On the sign-in page: type who you are, and go."""
    await page.locator("input[name=identifier]").fill(identifier)
    await page.locator("form:has(input[name=identifier]) button[type=submit]").first.click()


async def at_the_pds(page: Page, account: Account, *, named: bool = True) -> None:
    """On the PDS's pages: password and consent. `named`: the PDS was told whom to ask for."""
    if not named:
        await welcome(page)
    await give_password(page, account.handle, account.password)
    await authorize(page)


async def sign_in(page: Page, account: Account) -> None:
    """From the sign-in page back to wherever the person wanted to be."""
    await start(page, account.handle)
    await at_the_pds(page, account)


async def shown(page: Page) -> dict[str, list[str]]:
    """The headers that the demo app says it received."""
    rows: list[list[str]] = await page.locator("table tr").evaluate_all(
        "rows => rows.map(row => [row.cells[0].innerText, row.cells[1].innerText])"
    )
    found: dict[str, list[str]] = {}
    for name, value in rows:
        found.setdefault(name, []).append(value)
    return found


def cookie_header(state: StorageState) -> str:
    """The cookies as a browser would send them to an app."""
    return "; ".join(
        f"{c['name']}={c['value']}" for c in state["cookies"] if "sidecar.internal" in c["domain"]
    )
