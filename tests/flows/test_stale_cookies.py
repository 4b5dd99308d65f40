"""Whatever cookie of ours a browser has, each way of asking gets one clear answer, and a way out of it."""

from collections.abc import Awaitable, Callable

import httpx
import pytest

from tests.fakes.browser import FETCH, NAVIGATION, Browser
from tests.fakes.world import PUBLIC, WIKI, World, code_of

DAY = 86400
NAME = "__Secure-sidecar_session"
FORM = {**NAVIGATION, "sec-fetch-site": "same-origin", "content-type": "application/x-www-form-urlencoded"}


def keep(browser: Browser, value: str, *, domain: str = ".club.net") -> None:
    """A cookie that somebody else set, or that an attacker planted."""
    browser.jar.set(NAME, value, domain=domain)


async def none(world: World, browser: Browser) -> None:
    pass


async def expired(world: World, browser: Browser) -> None:
    await world.sign_in(browser, world.alice)
    await world.later(31 * DAY)


async def unused(world: World, browser: Browser) -> None:
    await world.sign_in(browser, world.alice)
    await world.later(8 * DAY)


async def revoked(world: World, browser: Browser) -> None:
    copy = world.browser()
    await world.sign_in(browser, world.alice)
    copy.jar.update(browser.jar)
    await copy.submit("/logout", {})
    await world.later(2)


async def account_ended(world: World, browser: Browser) -> None:
    await world.sign_in(browser, world.alice)
    await world.later(2)
    now = world.clock.time
    await world.sidecar.feed.revoke_account(world.alice.did, before=now, expires=now + DAY)


async def forged(world: World, browser: Browser) -> None:
    keep(browser, "eyJub3QiOiJvdXJzIn0.aaaa.bbbb")


async def empty(world: World, browser: Browser) -> None:
    keep(browser, "")


async def two(world: World, browser: Browser) -> None:
    await world.sign_in(browser, world.alice)
    keep(browser, "planted", domain="wiki.club.net")


async def two_forged(world: World, browser: Browser) -> None:
    keep(browser, "one")
    keep(browser, "two", domain="wiki.club.net")


async def expired_and_planted(world: World, browser: Browser) -> None:
    await expired(world, browser)
    keep(browser, "planted", domain="wiki.club.net")


Prepare = Callable[[World, Browser], Awaitable[None]]
ONE = [none, expired, unused, revoked, account_ended, forged, empty]
SEVERAL = [two, two_forged, expired_and_planted]
PAGE = f"{WIKI}/w/page"


async def signs_in(world: World, browser: Browser) -> None:
    """The way out: the page is asked for again, leads to the form at most, and is there after a sign-in."""
    answer = await browser.visit(PAGE)
    if "identifier" in answer.text:
        await world.sign_in(browser, world.alice, PAGE)
        answer = await browser.visit(PAGE)
    assert (answer.status_code, answer.headers.get("x-user-did")) == (200, world.alice.did)


@pytest.mark.parametrize("prepare", ONE, ids=lambda each: each.__name__)
async def test_without_a_good_session_a_page_leads_to_the_form_and_all_else_gets_401(
    world: World, prepare: Prepare
) -> None:
    browser = world.browser()
    await prepare(world, browser)
    page = await browser.visit(PAGE)
    assert (page.status_code, "identifier" in page.text) == (200, True)
    form = await browser.check(PAGE, "POST", FORM)
    assert (form.status_code, "text/html" in form.headers["content-type"]) == (401, True)
    assert f"{PUBLIC}/auth/login?return_to=" in form.text
    for method in ("GET", "POST", "PUT", "DELETE"):
        script = await browser.check(PAGE, method, FETCH)
        assert (script.status_code, script.json()["error"]) == (401, "sign_in_required")
    assert (await browser.check(PAGE, "HEAD", NAVIGATION)).status_code in (302, 401)
    await signs_in(world, browser)


@pytest.mark.parametrize("prepare", SEVERAL, ids=lambda each: each.__name__)
@pytest.mark.parametrize(
    ("method", "headers"),
    [("GET", NAVIGATION), ("HEAD", NAVIGATION), ("POST", FORM), ("GET", FETCH), ("POST", FETCH)],
    ids=["page", "head", "form", "script", "script that posts"],
)
async def test_two_cookies_get_400_and_words_are_deleted_and_the_next_request_is_clear(
    world: World, prepare: Prepare, method: str, headers: dict[str, str]
) -> None:
    browser = world.browser()
    await prepare(world, browser)
    refused = await browser.check(PAGE, method, headers)
    assert refused.status_code == 400
    assert "location" not in refused.headers
    if headers is FETCH:
        assert refused.json()["error"] == "duplicate_cookies"
    else:
        assert code_of(refused) == "duplicate_cookies"
    assert [cookie for cookie in browser.jar.jar if cookie.name == NAME] == []
    await signs_in(world, browser)


async def test_a_cookie_that_is_planted_again_and_again_never_makes_a_loop(world: World) -> None:
    browser = world.browser()
    await world.sign_in(browser, world.alice)
    answers: list[httpx.Response] = []
    for _ in range(4):
        keep(browser, "planted", domain="wiki.club.net")
        keep(browser, "planted too")
        answers.append(await browser.visit(PAGE))
    assert {answer.status_code for answer in answers} == {400}
