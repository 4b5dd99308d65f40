"""What only a real browser can tell of a page: its policy, its focus, its width."""

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, Page, Route

from sidecar.replies.pages import Pages
from sidecar.settings import Settings
from tests.fakes.pages import SAMPLES, SLOTS, every_page
from tests.lab.browser import chromium

pytestmark = pytest.mark.e2e

AUTH = "https://auth.club.net"
SHOWN = every_page(Pages(Settings(public_url=AUTH)))
FOCUSED = """() => {
    const element = document.activeElement, style = getComputedStyle(element)
    return [element.innerText || element.name, parseFloat(style.outlineWidth), style.outlineStyle]
}"""
FRAME = "<iframe src=/inner></iframe>"
CONTROLS = """() => [...document.querySelectorAll('input:not([type=hidden]), button, a[href]')]
    .map(element => element.innerText || element.name)"""


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as running:
        yield running


async def opened(browser: Browser, name: str, complaints: list[str], **context: object) -> Page:
    """The page with its own headers, as if it came over the network."""
    page = await browser.new_page(**context)  # type: ignore[arg-type] # by name
    page.on("console", lambda message: complaints.append(message.text))
    reply = SHOWN[name]
    headers = {key.decode(): value.decode() for key, value in reply.headers}

    async def answer(route: Route) -> None:
        await route.fulfill(status=200, headers=headers, body=reply.body)

    await page.route("**/*", answer)
    await page.goto(f"{AUTH}/auth/page")
    return page


async def test_every_page_is_styled_fits_a_narrow_window_and_is_used_by_keyboard(browser: Browser) -> None:
    narrow = {"width": 320, "height": 256}  # WCAG 2.2, 1.4.10: 1280 pixels at 400 %
    for name in (*SAMPLES, *SLOTS):
        complaints: list[str] = []
        page = await opened(browser, name, complaints, viewport=narrow)
        ground = await page.evaluate(
            "getComputedStyle(document.documentElement).getPropertyValue('--ground')"
        )
        assert ground, f"{name}: the policy blocks the style"
        wide = await page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 320, f"{name} is {wide} pixels wide"
        controls = await page.evaluate(CONTROLS)
        waiting = await page.evaluate("document.activeElement !== document.body")
        assert waiting == (name == "sign_in"), f"{name}: the field alone waits to be typed into"
        reached: list[str] = []
        for _ in controls:
            if reached or not waiting:
                await page.keyboard.press("Tab")
            label, width, style = await page.evaluate(FOCUSED)
            assert (width >= 2, style) == (True, "solid"), f"{name}: no focus to be seen on {label}"
            reached.append(label)
        assert reached == controls, name
        assert complaints == [], name
        await page.close()


async def test_dark_and_light_are_different_pages(browser: Browser) -> None:
    grounds = set()
    for scheme in ("light", "dark"):
        page = await opened(browser, "sign_in", [], color_scheme=scheme)
        grounds.add(await page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert len(grounds) == 2


async def test_the_checks_pages_show_in_the_apps_own_frame_and_ours_in_none(browser: Browser) -> None:
    for name, seen in (
        ("not_delivered", True),
        ("forbidden", True),
        ("check_error", True),
        ("sign_in", False),
    ):
        page = await opened(browser, name, [])
        await page.route(f"{AUTH}/outer", lambda route: route.fulfill(content_type="text/html", body=FRAME))
        await page.goto(f"{AUTH}/outer")
        assert await page.frames[1].locator("main").count() == int(seen), name
        await page.close()
