"""What people do, step by step, and what they then have before them."""

import json

from playwright.async_api import Locator, Page, StorageState

from tests.lab.browser import authorize, give_password, welcome
from tests.lab.network import Account


def identifier_field(page: Page) -> Locator:
    """The one field of the sign-in page; the providers' buttons have hidden ones of the same name."""
    return page.locator("input[name=identifier]:visible")


async def start(page: Page, identifier: str) -> None:
    """On the sign-in page: type who you are, and go."""
    await identifier_field(page).fill(identifier)
    await page.locator("form:has(input[name=identifier]:visible) button").first.click()


async def at_the_pds(page: Page, account: Account, *, named: bool = True, remember: bool = False) -> None:
    """On the PDS's pages: password and consent. `named`: the PDS was told whom to ask for."""
    if not named:
        await welcome(page)
    await give_password(page, account.handle, account.password, remember=remember)
    await authorize(page)


async def sign_in(page: Page, account: Account, *, remember: bool = False) -> None:
    """From the sign-in page back to wherever the person wanted to be."""
    await start(page, account.handle)
    await at_the_pds(page, account, remember=remember)


async def change_hands(page: Page, account: Account, *, did: str, asked: Account, asked_did: str) -> None:
    """Make the PDS sign `account` in though its page shows `asked`: it holds no client to its login_hint."""
    script = """([credentials, hinted, chosen]) => {
        const fetch = window.fetch
        window.fetch = async (url, init) => {
            const change = (more) => {
                return { ...init, body: JSON.stringify({ ...JSON.parse(init.body), ...more }) }
            }
            if (String(url).endsWith('/consent')) return fetch(url, change(chosen))
            if (!String(url).endsWith('/sign-in')) return fetch(url, init)
            const said = await (await fetch(url, change(credentials))).json()
            return Response.json({ ...said, account: { ...said.account, ...hinted } })
        }
    }"""
    credentials = {"username": account.handle, "password": account.password}
    names = [credentials, {"handle": asked.handle, "did": asked_did}, {"did": did}]
    await page.add_init_script(f"({script})({json.dumps(names)})")


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
