"""What becomes of a session: shown, renewed, ended, changed for another."""

import asyncio
from http import HTTPStatus

from playwright.async_api import BrowserContext, Page, StorageState, expect

from tests.e2e.conftest import Profile
from tests.e2e.journeys import at_the_pds, cookie_header, shown, sign_in, start
from tests.lab.wire import Message, send
from tests.lab.world import ALICE, ANY, APP, AUTH, BOB, RENEW, World

SESSION = "__Secure-sidecar_session"


async def session_of(context: BrowserContext) -> str:
    [value] = [cookie["value"] for cookie in await context.cookies(APP) if cookie["name"] == SESSION]
    return value


async def ask(lab: World, url: str, cookies: str) -> Message:
    """What an app's host answers a script that sends these cookies."""
    host = url.removeprefix("https://")
    raw = f"GET / HTTP/1.1\nHost: {host}\nCookie: {cookies}\nConnection: close\n\n"
    return await send(lab.port(url), raw, tls=lab.tls, name=host)


async def status(lab: World, url: str, cookies: str) -> int:
    return (await ask(lab, url, cookies)).status


async def test_the_session_cookie_is_shared_by_the_apps_and_out_of_reach_of_scripts(
    profile: Profile, alice: StorageState
) -> None:
    context = await profile(storage_state=alice)
    [cookie] = [cookie for cookie in await context.cookies(APP) if cookie["name"] == SESSION]
    assert (cookie["httpOnly"], cookie["secure"], cookie["sameSite"]) == (True, True, "Lax")
    assert cookie["domain"] == ".sidecar.internal"


async def test_the_profile_shows_who_is_signed_in(profile: Profile, alice: StorageState, lab: World) -> None:
    page = await (await profile(storage_state=alice)).new_page()
    await page.goto(f"{AUTH}/auth/")
    for words in (lab.did(ALICE), ALICE.handle, ALICE.display_name):
        await expect(page.get_by_text(words).first).to_be_visible()


async def test_who_is_signed_in_goes_straight_on(profile: Profile, alice: StorageState) -> None:
    page = await (await profile(storage_state=alice)).new_page()
    await page.goto(f"{AUTH}/auth/login?return_to=https%3A%2F%2Fapp.sidecar.internal%2Fthere%3Fx%3D1")
    assert page.url == f"{APP}/there?x=1"


async def test_opening_a_page_renews_the_session_once_and_stays_on_the_page(
    profile: Profile, alice: StorageState
) -> None:
    context = await profile(storage_state=alice)
    page = await context.new_page()
    before = await session_of(context)
    answer = await page.goto(f"{RENEW}/a%2Fb?x=1&y=%C3%A9")
    renewed = await session_of(context)
    assert renewed != before
    assert page.url == f"{RENEW}/a%2Fb?x=1&y=%C3%A9"
    assert answer is not None
    assert answer.request.redirected_from is not None
    again = await page.goto(f"{RENEW}/")
    assert again is not None
    assert again.request.redirected_from is None
    assert await session_of(context) == renewed


async def test_any_request_renews_the_session_where_caddy_passes_cookies_on(page: Page, lab: World) -> None:
    await page.goto(APP)
    await sign_in(page, BOB)
    await page.wait_for_url(f"{APP}/")
    before = await session_of(page.context)
    answer = await ask(lab, ANY, f"{SESSION}={before}")
    assert answer.status == HTTPStatus.OK
    [renewed] = [cookie for cookie in answer.all("set-cookie") if cookie.startswith(f"{SESSION}=")]
    assert "Domain=sidecar.internal" in renewed
    assert await status(lab, APP, renewed.partition(";")[0]) == HTTPStatus.OK


async def test_signing_out_ends_the_session_everywhere(page: Page, lab: World) -> None:
    await page.goto(APP)
    await sign_in(page, BOB)
    await page.wait_for_url(f"{APP}/")
    cookies = cookie_header(await page.context.storage_state())
    assert await status(lab, APP, cookies) == HTTPStatus.OK
    await page.goto(f"{AUTH}/auth/logout")
    assert await status(lab, APP, cookies) == HTTPStatus.OK, "a link alone signs nobody out"
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_role("button", name="Sign out")).to_have_count(0)
    assert not [c for c in await page.context.cookies(APP) if c["name"] == SESSION]
    assert await status(lab, APP, cookies) != HTTPStatus.OK
    while await status(lab, RENEW, cookies) == HTTPStatus.OK:
        await asyncio.sleep(0.1)
    await page.goto(APP)
    assert page.url.startswith(f"{AUTH}/auth/login")


async def test_a_second_sign_in_in_the_same_browser_needs_no_word(page: Page) -> None:
    await page.goto(APP)
    await sign_in(page, BOB, remember=True)
    await page.wait_for_url(f"{APP}/")
    await page.context.clear_cookies(domain=".sidecar.internal")
    await page.goto(f"{APP}/again")
    await start(page, BOB.handle)
    await page.wait_for_url(f"{APP}/again")


async def test_after_signing_out_the_same_account_is_not_taken_silently(page: Page, lab: World) -> None:
    await page.goto(APP)
    await sign_in(page, BOB, remember=True)
    await page.wait_for_url(f"{APP}/")
    await page.goto(f"{AUTH}/auth/logout")
    await page.get_by_role("button", name="Sign out").click()
    await page.goto(APP)
    await start(page, BOB.handle)
    await expect(page.locator("input[name=password]")).to_be_visible()
    await page.goto(APP)
    await start(page, "https://pds.test")
    await page.get_by_text("Another account").click()
    await at_the_pds(page, ALICE)
    await page.wait_for_url(f"{APP}/")
    assert (await shown(page))["x-user-did"] == [lab.did(ALICE)]


async def test_switching_ends_the_former_session(page: Page, lab: World) -> None:
    await page.goto(APP)
    await sign_in(page, BOB)
    await page.wait_for_url(f"{APP}/")
    former = cookie_header(await page.context.storage_state())
    await page.goto(f"{AUTH}/auth/login?switch=1")
    await sign_in(page, ALICE)
    await page.wait_for_url(f"{AUTH}/auth/")
    await expect(page.get_by_text(ALICE.handle).first).to_be_visible()
    assert await status(lab, APP, former) != HTTPStatus.OK


async def test_a_forged_session_cookie_opens_nothing(alice: StorageState, lab: World) -> None:
    [session] = [cookie["value"] for cookie in alice["cookies"] if cookie["name"] == SESSION]
    payload, signature = session.rsplit(".", 1)
    assert await status(lab, APP, f"{SESSION}={session}") == HTTPStatus.OK
    for forged in (f"{payload}.{signature[::-1]}", f"{payload[:-1]}.{signature}", payload, session[:-3]):
        assert await status(lab, APP, f"{SESSION}={forged}") == HTTPStatus.UNAUTHORIZED
    assert await status(lab, APP, f"{SESSION}={session}; {SESSION}={session}") == HTTPStatus.BAD_REQUEST


async def test_who_keeps_no_account_at_the_pds_can_sign_in_after_signing_out(page: Page, lab: World) -> None:
    """The PDS answers account_selection_required to select_account where it knows nobody to choose from."""
    await page.goto(APP)
    await sign_in(page, BOB)
    await page.wait_for_url(f"{APP}/")
    await page.goto(f"{AUTH}/auth/logout")
    await page.get_by_role("button", name="Sign out").click()
    await page.goto(f"{APP}/again")
    await sign_in(page, BOB)
    await page.wait_for_url(f"{APP}/again")
    assert (await shown(page))["x-user-did"] == [lab.did(BOB)]
