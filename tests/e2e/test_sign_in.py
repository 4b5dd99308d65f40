"""Signing in, with the real PDS, Caddy and browser: every way in, and the ways that must not lead in."""

import asyncio
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from playwright.async_api import Page, Route, expect

from tests.e2e.conftest import Profile
from tests.e2e.journeys import at_the_pds, change_hands, identifier_field, shown, sign_in, start
from tests.lab.browser import deny, give_password, welcome
from tests.lab.world import ALICE, APP, AUTH, BOB, CARLA, DORA, TEAM, World


async def test_a_handle_signs_in_and_leads_back_to_the_very_page(page: Page, lab: World) -> None:
    deep = f"{APP}/deep/link?with=a&query=string&and=%C3%A9"
    await page.goto(deep)
    assert page.url.startswith(f"{AUTH}/auth/login?return_to=https://app.sidecar.internal/deep")
    await sign_in(page, ALICE)
    await page.wait_for_url(deep)
    headers = await shown(page)
    assert headers["x-user-did"] == [lab.did(ALICE)]
    assert headers["x-user-handle"] == [ALICE.handle]
    assert "sidecar" not in str(headers.get("cookie"))


@pytest.mark.parametrize("spelling", ["@Bob.PDS.test", " bob.pds.test\u200b "])
async def test_a_handle_is_found_by_dns_however_it_is_spelled(page: Page, lab: World, spelling: str) -> None:
    await page.goto(APP)
    await start(page, spelling)
    await at_the_pds(page, BOB)
    await page.wait_for_url(f"{APP}/")
    assert (await shown(page))["x-user-did"] == [lab.did(BOB)]


async def test_a_did_signs_in(page: Page, lab: World) -> None:
    await page.goto(APP)
    await start(page, lab.did(ALICE))
    await at_the_pds(page, ALICE)
    await page.wait_for_url(f"{APP}/")
    assert (await shown(page))["x-user-did"] == [lab.did(ALICE)]


@pytest.mark.parametrize("address", ["https://pds.test", "https://PDS.test/"])
async def test_a_server_url_signs_in(page: Page, lab: World, address: str) -> None:
    await page.goto(APP)
    await start(page, address)
    await at_the_pds(page, BOB, named=False)
    await page.wait_for_url(f"{APP}/")
    assert (await shown(page))["x-user-handle"] == [BOB.handle]


async def test_a_providers_button_signs_in(page: Page, lab: World) -> None:
    await page.goto(APP)
    await page.get_by_role("button", name="the big PDS").click()
    await at_the_pds(page, ALICE, named=False)
    await page.wait_for_url(f"{APP}/")
    assert (await shown(page))["x-user-did"] == [lab.did(ALICE)]


async def test_someone_of_a_second_pds_signs_in(page: Page, lab: World) -> None:
    await page.goto(f"{TEAM}/board")
    await sign_in(page, DORA)
    await page.wait_for_url(f"{TEAM}/board")
    assert (await shown(page))["x-user-did"] == [lab.did(DORA)]


async def test_someone_who_says_no_at_the_pds_is_not_signed_in(page: Page) -> None:
    await page.goto(APP)
    await start(page, ALICE.handle)
    await give_password(page, ALICE.handle, ALICE.password)
    await deny(page)
    await page.wait_for_url(f"{AUTH}/auth/callback*")
    await expect(page.locator("h1")).to_be_visible()
    await page.goto(APP)
    assert page.url.startswith(f"{AUTH}/auth/login")


async def test_an_account_other_than_the_one_named_is_refused(page: Page, lab: World) -> None:
    await change_hands(page, BOB, did=lab.did(BOB), asked=ALICE, asked_did=lab.did(ALICE))
    await page.goto(APP)
    await sign_in(page, ALICE)
    await page.wait_for_url(f"{AUTH}/auth/callback*")
    await expect(page.get_by_text("another account").first).to_be_visible()
    await page.goto(APP)
    assert page.url.startswith(f"{AUTH}/auth/login")


async def test_two_tabs_sign_in_side_by_side(profile: Profile, lab: World) -> None:
    context = await profile()
    one, other = await context.new_page(), await context.new_page()
    await asyncio.gather(one.goto(f"{APP}/one"), other.goto(f"{APP}/other"))
    await asyncio.gather(start(one, ALICE.handle), start(other, ALICE.handle))
    await at_the_pds(one, ALICE)
    await one.wait_for_url(f"{APP}/one")
    await at_the_pds(other, ALICE)
    await other.wait_for_url(f"{APP}/other")
    assert (await shown(other))["x-user-did"] == [lab.did(ALICE)]


async def test_a_callback_in_another_browser_is_refused_and_still_good_in_its_own(
    page: Page, profile: Profile
) -> None:
    url = await callback_of(page)
    stranger = await (await profile()).new_page()
    answer = await stranger.goto(url)
    assert answer is not None
    assert answer.status in (400, 403)
    await stranger.goto(APP)
    assert stranger.url.startswith(f"{AUTH}/auth/login")
    await page.goto(url)
    await page.wait_for_url(f"{APP}/mine")
    await page.goto(url)  # the back button: a session is there, so on
    assert page.url == f"{AUTH}/auth/"


async def callback_of(page: Page) -> str:
    """Sign Alice in, but stop before the callback: its address, unused."""

    async def stop(route: Route) -> None:
        await route.abort()

    last_step = "https://pds.test/oauth/authorize/redirect?*"  # a redirect can't be stopped, its source can
    await page.route(last_step, stop)
    await page.goto(f"{APP}/mine")
    async with page.expect_request(last_step) as requests:
        await sign_in(page, ALICE)
    query = dict(parse_qsl(urlsplit((await requests.value).url).query))
    return query["redirect_uri"] + "?" + urlencode({name: query[name] for name in ("iss", "state", "code")})


async def test_the_form_needs_no_javascript(profile: Profile) -> None:
    page = await (await profile(java_script_enabled=False)).new_page()
    await page.goto(APP)
    await start(page, ALICE.handle)
    await page.wait_for_url("https://pds.test/oauth/authorize?*")


async def test_a_denied_did_is_refused_by_a_page_that_offers_another_account(page: Page, lab: World) -> None:
    await page.goto(APP)
    await start(page, CARLA.handle)
    await at_the_pds(page, CARLA)
    await page.wait_for_url(f"{APP}/")
    await expect(page.get_by_text(CARLA.handle).first).to_be_visible()
    await page.goto(f"{APP}/again")
    assert page.url == f"{APP}/again"
    link = page.locator(f"a[href^='{AUTH}/auth/login']")
    await link.click()
    await sign_in(page, ALICE)
    await page.wait_for_url(f"{APP}/again")
    assert (await shown(page))["x-user-did"] == [lab.did(ALICE)]


async def test_a_handle_nobody_has_is_told_so(page: Page) -> None:
    await page.goto(APP)
    await start(page, "nobody.pds.test")
    await expect(identifier_field(page)).to_have_value("nobody.pds.test")
    await expect(page.get_by_role("alert")).to_be_visible()


async def test_a_server_that_wants_the_welcome_page_can_be_left(page: Page) -> None:
    await page.goto(APP)
    await start(page, "https://pds.test")
    await page.get_by_role("button", name="Cancel", exact=True).click()
    await page.wait_for_url(f"{AUTH}/auth/callback*")
    await expect(page.locator("h1")).to_be_visible()
    await page.locator("a[href*='/auth/login']").first.click()
    await start(page, "https://pds.test")
    await welcome(page)
