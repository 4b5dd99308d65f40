"""The pages as people see them: screenshots to look at, in light and dark, on a phone and a desk."""

from pathlib import Path
from typing import Literal

import pytest
from playwright.async_api import Page, StorageState, expect

from tests.e2e.conftest import Profile
from tests.e2e.journeys import identifier_field, start
from tests.lab.world import APP, AUTH, TEAM

PHONE, DESK = {"width": 375, "height": 667}, {"width": 1280, "height": 800}


async def picture(page: Page, folder: Path, name: str) -> None:
    """Keep a picture; a page that is wider than the window fails."""
    overflow = await page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    assert overflow <= 0, f"{name} is {overflow} pixels too wide"
    await page.screenshot(path=folder / "pages" / f"{name}.png", full_page=True)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
async def test_pages_fit_in_light_and_dark_on_a_phone_and_a_desk(
    profile: Profile,
    alice: StorageState,
    artifacts: Path,
    scheme: Literal["light", "dark"],
    size: dict[str, int],
) -> None:
    kind = f"{scheme}-{'phone' if size is PHONE else 'desk'}"
    page = await (await profile(color_scheme=scheme, viewport=size)).new_page()
    await page.goto(f"{APP}/reports")
    await picture(page, artifacts, f"sign-in-{kind}")
    await start(page, "nobody.pds.test")
    await picture(page, artifacts, f"handle-not-found-{kind}")
    await page.goto(f"{AUTH}/auth/callback?state=x&code=y&iss=https%3A%2F%2Fpds.test")
    await picture(page, artifacts, f"another-browser-{kind}")
    await page.goto(f"{AUTH}/auth/nothing-here")
    await picture(page, artifacts, f"not-found-{kind}")

    page = await (await profile(color_scheme=scheme, viewport=size, storage_state=alice)).new_page()
    await page.goto(f"{AUTH}/auth/")
    await picture(page, artifacts, f"profile-{kind}")
    await page.goto(f"{AUTH}/auth/logout")
    await picture(page, artifacts, f"sign-out-{kind}")
    await page.goto(TEAM)
    await picture(page, artifacts, f"team-{kind}")


async def test_the_form_can_be_used_by_keyboard_and_by_its_labels(page: Page) -> None:
    await page.goto(APP)
    field = identifier_field(page)
    await expect(field).to_be_focused()
    assert await page.locator("html").get_attribute("lang") == "en"
    assert await field.evaluate("field => field.labels.length") == 1
    await page.keyboard.type("alice.pds.test")
    await page.keyboard.press("Enter")
    await page.wait_for_url("https://pds.test/oauth/authorize?*")


async def test_nothing_is_loaded_from_elsewhere(page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    await page.goto(f"{AUTH}/auth/login")
    assert [url for url in asked if not url.startswith(f"{AUTH}/")] == []
