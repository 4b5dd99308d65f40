"""Renewal, sign-out, loops, several workers on one store, and a store that is down."""

import asyncio

import pytest

from sidecar.check.renewals import Renewals
from sidecar.errors import StoreUnavailable
from sidecar.sessions.cookie import Session
from sidecar.settings import App, Limits
from sidecar.settings import Session as SessionSettings
from tests.fakes.browser import FETCH, NAVIGATION
from tests.fakes.world import PUBLIC, WIKI, Make, World, code_of

DAY = 86400


async def test_a_page_load_past_the_renewal_age_is_redirected_to_itself_with_a_new_cookie(
    world: World,
) -> None:
    browser = world.browser()
    await world.sign_in(browser, world.alice)
    await world.later(2 * DAY)
    renewed = await browser.open(f"{WIKI}/a%2Fb?x=1")
    assert (renewed.status_code, renewed.headers["location"]) == (302, f"{WIKI}/a%2Fb?x=1")
    assert renewed.headers["cache-control"] == "no-store"
    assert (await browser.open(f"{WIKI}/a%2Fb?x=1")).status_code == 200
    await world.later(6 * DAY)  # past the first cookie's idle end, not the second's
    assert (await browser.fetch(WIKI + "/")).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-mode": "cors", "sec-fetch-dest": "empty"},
        {**NAVIGATION, "sec-fetch-dest": "iframe"},
        {**NAVIGATION, "sec-purpose": "prefetch"},
        {**NAVIGATION, "upgrade": "h2c"},
        {**NAVIGATION, "range": "bytes=0-1"},
        {"accept": "text/html"},
    ],
    ids=lambda headers: " ".join(f"{k}={v}" for k, v in headers.items()),
)
async def test_what_is_no_plain_page_load_is_never_redirected_for_renewal(
    world: World, headers: dict[str, str]
) -> None:
    browser = world.browser()
    await world.sign_in(browser, world.alice)
    await world.later(2 * DAY)
    assert (await browser.check(WIKI + "/", headers=headers)).status_code == 200


async def test_other_requests_carry_the_renewed_cookie_for_caddyfiles_that_copy_it(world: World) -> None:
    browser = world.browser()
    await world.sign_in(browser, world.alice)
    await world.later(2 * DAY)
    first, second = await browser.fetch(WIKI + "/"), await browser.fetch(WIKI + "/")
    assert "set-cookie" in first.headers
    assert "set-cookie" not in second.headers


async def test_a_browser_that_refuses_the_renewed_cookie_is_not_redirected_again(world: World) -> None:
    browser = world.browser()
    await world.sign_in(browser, world.alice)
    await world.later(2 * DAY)
    kept = list(browser.jar.jar)
    answers = []
    for _ in range(4):
        answers.append((await browser.open(WIKI + "/")).status_code)
        browser.jar.clear()
        for cookie in kept:
            browser.jar.jar.set_cookie(cookie)
        await world.later(10)
    assert answers == [302, 200, 200, 200]
    await world.later(120)
    assert (await browser.open(WIKI + "/")).status_code == 302


async def test_an_unused_session_ends_and_so_does_one_that_is_always_used(world: World) -> None:
    idle, busy = world.browser(), world.browser()
    await world.sign_in(idle, world.alice)
    await world.sign_in(busy, world.bob)
    for _ in range(29):
        await world.later(DAY)
        await busy.visit(WIKI + "/")
        assert (await busy.open(WIKI + "/")).status_code == 200
    assert (await idle.open(WIKI + "/")).status_code == 302
    await world.later(DAY + 1)
    assert (await busy.fetch(WIKI + "/")).status_code == 401


async def test_signing_out_ends_the_session_wherever_its_cookie_went(world: World) -> None:
    browser, copy = world.browser(), world.browser()
    await world.sign_in(browser, world.alice)
    copy.jar.update(browser.jar)
    assert "Sign out" in (await browser.open(f"{PUBLIC}/auth/logout")).text
    assert (await copy.fetch(WIKI + "/")).status_code == 200
    out = await browser.submit("/logout", {})
    assert (out.status_code, "Signed out" in out.text) == (200, True)
    assert not any("session" in name for name in browser.jar)
    assert (await copy.fetch(WIKI + "/")).status_code == 401
    assert (await copy.open(f"{PUBLIC}/auth/login")).status_code == 200
    assert (await copy.open(f"{PUBLIC}/auth/")).status_code == 303


async def test_a_link_alone_signs_nobody_out(world: World) -> None:
    browser = world.browser()
    await world.sign_in(browser, world.alice)
    await browser.open(f"{PUBLIC}/auth/logout")
    assert (await browser.fetch(WIKI + "/")).status_code == 200


async def test_signing_out_without_a_session_is_no_error(world: World) -> None:
    assert (await world.browser().submit("/logout", {})).status_code == 200


async def test_a_sign_out_reaches_another_worker_within_two_seconds_and_survives_a_restart(
    world: World,
) -> None:
    browser, copy = world.browser(), world.browser()
    await world.sign_in(browser, world.alice)
    copy.jar.update(browser.jar)
    other = world.another_worker()
    await other.start()
    elsewhere = world.browser(other)
    elsewhere.jar.update(copy.jar)
    assert (await elsewhere.fetch(WIKI + "/")).status_code == 200
    await browser.submit("/logout", {})
    async with asyncio.timeout(2):
        while (await elsewhere.fetch(WIKI + "/")).status_code == 200:
            await asyncio.sleep(0.05)
    await other.stop()
    restarted = world.another_worker()
    await restarted.start()
    returned = world.browser(restarted)
    returned.jar.update(copy.jar)
    assert (await returned.fetch(WIKI + "/")).status_code == 401
    await restarted.stop()


async def test_a_sign_out_that_could_not_be_recorded_says_so(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser, copy = world.browser(), world.browser()
    await world.sign_in(browser, world.alice)
    copy.jar.update(browser.jar)
    with monkeypatch.context() as broken:
        broken.setattr(world.sidecar.store, "revoke", _unavailable)
        out = await browser.submit("/logout", {})
        assert (out.status_code, code_of(out)) == (503, "sign_out_not_recorded")
        assert (await copy.fetch(WIKI + "/")).status_code == 401  # this process knows all the same
        assert any("session" in name for name in browser.jar)  # or nobody could try again
        assert 'action="https://auth.club.net/auth/logout"' in out.text
        assert "You are signed in as" in (await browser.open(f"{PUBLIC}/auth/logout")).text
    assert (await browser.submit("/logout", {})).status_code == 200
    assert not any("session" in name for name in browser.jar)
    assert "You aren't signed in" in (await copy.open(f"{PUBLIC}/auth/logout")).text


async def test_whoever_could_not_sign_out_can_sign_in_anew(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser, copy = world.browser(), world.browser()
    await world.sign_in(browser, world.alice)
    copy.jar.update(browser.jar)
    with monkeypatch.context() as broken:
        broken.setattr(world.sidecar.store, "revoke", _unavailable)
        await browser.submit("/logout", {})
        assert (await browser.open(f"{PUBLIC}/auth/login")).status_code == 200
        await world.sign_in(browser, world.bob)
    assert (await browser.fetch(WIKI + "/")).headers["x-user-did"] == world.bob.did
    assert (await copy.fetch(WIKI + "/")).status_code == 401


async def test_a_sign_in_that_could_not_end_the_session_before_it_fails_and_ends_it_all_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser, copy = world.browser(), world.browser()
    await world.sign_in(browser, world.alice)
    copy.jar.update(browser.jar)
    with monkeypatch.context() as broken:
        broken.setattr(world.sidecar.store, "revoke", _unavailable)
        failed = await world.sign_in(browser, world.bob)
    assert (failed.status_code, code_of(failed)) == (503, "store_unavailable")
    assert (await copy.fetch(WIKI + "/")).status_code == 401
    assert (await world.sign_in(browser, world.bob)).status_code == 303
    assert (await browser.fetch(WIKI + "/")).headers["x-user-did"] == world.bob.did


async def test_an_account_whose_sessions_ended_is_out_everywhere_and_can_sign_in_anew(world: World) -> None:
    browser, other = world.browser(), world.browser()
    await world.sign_in(browser, world.alice)
    await world.sign_in(other, world.bob)
    assert (await browser.fetch(WIKI + "/")).status_code == 200
    await world.later(10)
    now = world.clock.time
    await world.sidecar.feed.revoke_account(world.alice.did, before=now, expires=now + 30 * DAY)
    second = world.another_worker()
    await second.start()
    for sidecar in (world.sidecar, second):
        elsewhere = world.browser(sidecar)
        elsewhere.jar.update(browser.jar)
        assert (await elsewhere.fetch(WIKI + "/")).status_code == 401
        assert "You aren't signed in" in (await elsewhere.open(f"{PUBLIC}/auth/logout")).text
    await second.stop()
    assert (await other.fetch(WIKI + "/")).status_code == 200
    await world.sign_in(browser, world.alice)
    assert (await browser.fetch(WIKI + "/")).status_code == 200


@pytest.mark.parametrize("status", ["takendown", "suspended", "deleted", "deactivated"])
async def test_an_account_that_its_server_no_longer_stands_by_is_out_within_a_day(
    world: World, status: str
) -> None:
    browser, other = world.browser(), world.browser()
    await world.sign_in(browser, world.alice)
    await world.sign_in(other, world.bob)
    world.alice.status = status
    for hours, answer in ((11, 200), (2, 401)):
        await world.later(hours * 3600)
        assert (await browser.fetch(WIKI + "/")).status_code == 200  # and so is seen
        await world.sidecar.reverifier.round()
        assert (await browser.fetch(WIKI + "/")).status_code == answer
    assert (await other.fetch(WIKI + "/")).status_code == 200
    world.alice.status = None
    await world.later(1)
    await world.sign_in(browser, world.alice)
    assert (await browser.fetch(WIKI + "/")).status_code == 200


@pytest.mark.parametrize("status", ["desynchronized", "throttled", "a word of later years"])
async def test_a_status_that_says_nothing_of_the_person_ends_nothing(world: World, status: str) -> None:
    browser = world.browser()
    await world.sign_in(browser, world.alice)
    world.alice.status = status
    await world.later(13 * 3600)
    assert (await browser.fetch(WIKI + "/")).status_code == 200
    await world.sidecar.reverifier.round()
    assert (await browser.fetch(WIKI + "/")).status_code == 200


async def _unavailable(*_: object, **__: object) -> None:
    raise StoreUnavailable("pulled the plug")


async def test_a_store_that_is_down_leaves_checks_working_for_a_while_and_stops_sign_ins(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = world.browser()
    await world.sign_in(browser, world.alice)
    for verb in ("put", "take", "get", "is_revoked", "feed", "ping", "record_handle"):
        monkeypatch.setattr(world.sidecar.store, verb, _unavailable)
    world.clock.time += 299
    assert (await browser.fetch(WIKI + "/")).status_code == 200
    refused = await world.depart(world.browser(), "bob.pds.net")
    assert refused.status_code == 503
    assert "<code>store_unavailable</code>" in refused.text
    assert (await browser.open(f"{PUBLIC}/auth/readyz")).status_code == 503
    world.clock.time += 2
    stale = await browser.fetch(WIKI + "/")
    assert (stale.status_code, code_of(stale)) == (503, "store_unavailable")
    page = await browser.open(WIKI + "/")
    assert (page.status_code, code_of(page)) == (503, "store_unavailable")
    assert page.headers["retry-after"] == "5"


async def test_a_process_that_never_learned_of_sign_outs_lets_nobody_in(world: World) -> None:
    browser = world.browser()
    await world.sign_in(browser, world.alice)
    fresh = world.another_worker()  # not started
    early = world.browser(fresh)
    early.jar.update(browser.jar)
    assert (await early.fetch(WIKI + "/")).status_code == 503


@pytest.mark.parametrize("workers", [1, 2])
async def test_three_straight_returns_in_half_a_minute_end_on_a_page_that_names_the_cause(
    world: World, workers: int
) -> None:
    browser = world.browser()
    await world.sign_in(browser, world.alice)
    sidecars = [world.sidecar]
    if workers == 2:
        sidecars.append(world.another_worker())
        await sidecars[1].start()
    answers = []
    for turn in range(3):
        each = world.browser(sidecars[turn % workers])
        each.jar.update(browser.jar)
        sent_here = await world.browser(sidecars[turn % workers]).open(WIKI + "/x")  # without the cookie
        answers.append(await each.open(sent_here.headers["location"]))
        browser.jar.update(each.jar)
        await world.later(5)
    assert [answer.status_code for answer in answers] == [303, 303, 508]
    assert code_of(answers[2]) == "loop_detected"
    assert "cookie" in answers[2].text
    for extra in sidecars[1:]:
        await extra.stop()


async def test_tabs_that_waited_at_the_sign_in_page_all_arrive_when_they_are_reloaded(world: World) -> None:
    browser = world.browser()
    waiting = [(await browser.open(f"{WIKI}/{number}")).headers["location"] for number in range(6)]
    for address in waiting:
        assert (await browser.open(address)).status_code == 200
    await world.later(20)
    await world.sign_in(browser, world.alice, f"{WIKI}/0")
    for number, address in enumerate(waiting):
        assert (await browser.open(address)).headers["location"] == f"{WIKI}/{number}"
        assert (await browser.open(f"{WIKI}/{number}")).status_code == 200


@pytest.mark.parametrize("checked", ["", "x", "-1", "1e9", "9" * 400, "²", "1800000000 "])
async def test_what_no_check_said_makes_no_loop(world: World, checked: str) -> None:
    browser = world.browser()
    await world.sign_in(browser, world.alice)
    for _ in range(5):
        answer = await browser.open(f"{PUBLIC}/auth/login?return_to={WIKI}/x&checked={checked}")
        assert answer.headers["location"] == f"{WIKI}/x"


async def test_a_cookie_that_never_reaches_the_app_ends_on_the_page_about_loops_at_once(
    world: World,
) -> None:
    """As fast as a browser can: within the second of the sign-in, too."""
    browser, app = world.browser(), world.browser()  # what the app's host gets
    await world.sign_in(browser, world.alice, WIKI + "/")
    for status in (303, 303, 508):
        sent_here = await app.open(WIKI + "/")
        assert (await browser.open(sent_here.headers["location"])).status_code == status


async def test_two_session_cookies_never_lead_to_sign_in_and_both_forms_are_deleted(world: World) -> None:
    browser = world.browser()
    await world.sign_in(browser, world.alice)
    mine = next(f"{c.name}={c.value}" for c in browser.jar.jar if "session" in c.name)
    planted = mine.partition("=")[0] + "=planted"
    for cookies in (f"{mine}; {planted}", f"{planted}; {mine}", f"{mine}; {mine}"):
        answer = await world.browser().check(f"{WIKI}/a/b", headers={**NAVIGATION, "cookie": cookies})
        assert (answer.status_code, code_of(answer)) == (400, "duplicate_cookies")
        deletions = answer.headers.get_list("set-cookie")
        assert all("Max-Age=0" in each for each in deletions)
        assert {("Domain=club.net" in each) for each in deletions} == {True, False}
        by_script = await world.browser().check(WIKI + "/", headers={"cookie": cookies})
        assert (by_script.status_code, code_of(by_script)) == (400, "duplicate_cookies")


async def test_two_session_cookies_on_our_own_pages_get_a_page_too(world: World) -> None:
    browser = world.browser()
    await world.sign_in(browser, world.alice)
    name = next(c.name for c in browser.jar.jar if "session" in c.name)
    answer = await browser.client.get(
        f"{PUBLIC}/auth/login", headers={**NAVIGATION, "cookie": f"{name}=a; {name}=b"}
    )
    assert (answer.status_code, code_of(answer)) == (400, "duplicate_cookies")
    assert len(answer.headers.get_list("set-cookie")) >= 2


async def test_a_handle_that_moves_to_another_did_opens_nothing_for_the_old_one(make: Make) -> None:
    world = make(apps={"board": App(hosts=("wiki.club.net",), allow=("shop.pds.net",))})
    await world.sidecar.start()
    former = world.network.add_account("shop.pds.net")
    old = world.browser()
    await world.sign_in(old, former)
    assert (await old.fetch(WIKI + "/")).status_code == 200
    former.handle = None
    successor = world.network.add_account("shop.pds.net", did="did:plc:ssssssssssssssssssssssss")
    other = world.another_worker()  # which doesn't remember whose the handle was
    await other.start()
    new = world.browser(other)
    assert (await world.sign_in(new, successor)).status_code == 303
    assert (await new.fetch(WIKI + "/")).status_code == 200
    await world.later(1)
    lost = await old.fetch(WIKI + "/")
    assert (lost.status_code, lost.json()["reason"]) == (403, "not_allowed")
    await other.stop()
    await world.sidecar.stop()


async def test_a_handle_verified_a_day_ago_opens_nothing_until_it_is_verified_again(make: Make) -> None:
    world = make(apps={"board": App(hosts=("wiki.club.net",), allow=("*",), require_handle=True)})
    await world.sidecar.start()
    browser = world.browser()
    await world.sign_in(browser, world.alice)
    await world.later(DAY - 1)
    assert (await browser.fetch(WIKI + "/")).status_code == 200
    await world.later(1)
    stale = await browser.fetch(WIKI + "/")
    assert (stale.status_code, stale.json()["reason"]) == (403, "handle_required")
    await world.sidecar.reverifier.round()
    assert (await browser.fetch(WIKI + "/")).status_code == 200
    await world.sidecar.stop()


async def test_a_shorter_absolute_lifetime_ends_sessions_that_are_already_out(make: Make) -> None:
    world = make()
    await world.sidecar.start()
    browser = world.browser()
    await world.sign_in(browser, world.alice)
    world.settings = make(
        session=SessionSettings(
            cookie_secrets=("s" * 40,), cookie_domain="club.net", absolute=3600.0, idle=3600.0
        )
    ).settings
    stricter = world.another_worker()
    await world.later(3601)
    await stricter.start()
    again = world.browser(stricter)
    again.jar.update(browser.jar)
    assert (await again.fetch(WIKI + "/")).status_code == 401
    await stricter.stop()
    await world.sidecar.stop()


# what the check remembers


async def test_a_flood_of_good_cookies_keeps_those_in_use_and_stays_within_its_bound(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make(limits=Limits(cached_cookies=8))
    await world.sidecar.start()
    sessions = world.sidecar.sessions
    verified: list[bytes] = []
    original = sessions.verify

    def noted(value: bytes) -> Session | None:
        verified.append(value)
        return original(value)

    monkeypatch.setattr(sessions, "verify", noted)
    regular = new_cookie(world)
    await asked_with(world, regular)
    for _ in range(40):
        await asked_with(world, new_cookie(world))
        await asked_with(world, regular)
    assert verified.count(regular.partition("=")[2].encode()) == 1
    assert len(world.sidecar.bearers) <= 8
    await world.sidecar.stop()


async def test_forged_cookies_take_no_room(world: World) -> None:
    for number in range(20):
        assert (await asked_with(world, f"__Secure-sidecar_session=forged.{number}")) == 401
    assert len(world.sidecar.bearers) == 0


def new_cookie(world: World) -> str:
    sessions, now = world.sidecar.sessions, world.clock()
    return sessions.cookie(sessions.start(world.alice.did, None, now), now).partition(";")[0]


async def asked_with(world: World, cookie: str) -> int:
    return (await world.browser().check(WIKI + "/", headers={"cookie": cookie})).status_code


async def test_the_page_to_sign_out_knows_what_the_store_knows(world: World) -> None:
    browser, copy = world.browser(), world.browser()
    await world.sign_in(browser, world.alice)
    copy.jar.update(browser.jar)
    page = f"{PUBLIC}/auth/logout"
    assert "signed in as <strong><bdi>alice.pds.net" in (await browser.open(page)).text
    await world.later(DAY)  # nobody asked for the handle again
    assert f"signed in as <strong><bdi>{world.alice.did}" in (await browser.open(page)).text
    await browser.submit("/logout", {})
    assert "You aren't signed in" in (await copy.open(page)).text


async def test_signing_out_with_two_session_cookies_ends_whatever_we_signed(world: World) -> None:
    browser, copy = world.browser(), world.browser()
    await world.sign_in(browser, world.alice)
    copy.jar.update(browser.jar)
    mine = next(f"{c.name}={c.value}" for c in browser.jar.jar if "session" in c.name)
    planted = mine.partition("=")[0] + "=planted"
    out = await world.browser().submit("/logout", {}, cookie=f"{planted}; {mine}")
    assert (out.status_code, "Signed out" in out.text) == (200, True)
    assert (await copy.fetch(WIKI + "/")).status_code == 401


@pytest.mark.parametrize("where", ["/auth/", "/auth/logout", "/auth/callback"])
async def test_a_session_cookie_planted_for_our_own_pages_is_deleted_there(world: World, where: str) -> None:
    browser = world.browser()
    await world.sign_in(browser, world.alice)
    name = next(c.name for c in browser.jar.jar if "session" in c.name)
    answer = await browser.client.get(PUBLIC + where, headers={**NAVIGATION, "cookie": f"{name}=a; {name}=b"})
    assert answer.status_code == 400
    deleted = {each.partition("Path=")[2].partition(";")[0] for each in answer.headers.get_list("set-cookie")}
    assert {"/", "/auth", "/auth/"} <= deleted


async def test_the_check_deletes_a_cookie_planted_for_the_path_asked_for(world: World) -> None:
    cookies = "__Secure-sidecar_session=a; __Secure-sidecar_session=b"
    answer = await world.browser().check(f"{WIKI}/a/b", headers={**NAVIGATION, "cookie": cookies})
    deleted = {each.partition("Path=")[2].partition(";")[0] for each in answer.headers.get_list("set-cookie")}
    assert {"/", "/a", "/a/", "/a/b"} <= deleted


async def test_a_sign_out_outlives_a_lifetime_that_was_shortened_for_a_while(make: Make) -> None:
    long = SessionSettings(cookie_secrets=("s" * 40,), cookie_domain="club.net", absolute=30 * DAY)
    short = SessionSettings(cookie_secrets=("s" * 40,), cookie_domain="club.net", absolute=DAY, idle=DAY)
    world = make(session=long)
    await world.sidecar.start()
    browser, other = world.browser(), world.browser()
    for each in (browser, other):
        await world.sign_in(each, world.alice)
    copies = [dict(each.jar) for each in (browser, other)]
    await world.sidecar.stop()
    shortened = make(session=short)
    shortened.clock.time = world.clock.time
    await shortened.sidecar.start()
    out, again = shortened.browser(), shortened.browser()
    out.jar.update(copies[0])
    again.jar.update(copies[1])
    await out.submit("/logout", {})
    await shortened.sign_in(again, shortened.alice)  # which ends the session it had
    await shortened.sidecar.stop()
    world.clock.time += 3 * DAY
    later = world.another_worker()
    await later.start()
    await later.store.prune()
    for copied in copies:
        returned = world.browser(later)
        returned.jar.update(copied)
        assert (await returned.fetch(WIKI + "/")).status_code == 401
    await later.stop()


async def test_a_renewed_address_has_the_configured_scheme_whatever_was_forwarded(world: World) -> None:
    browser = world.browser()
    await world.sign_in(browser, world.alice)
    await world.later(2 * DAY)
    mine = next(f"{c.name}={c.value}" for c in browser.jar.jar if "session" in c.name)
    renewed = await world.browser().check("http://wiki.club.net/x", headers={**NAVIGATION, "cookie": mine})
    assert (renewed.status_code, renewed.headers["location"]) == (302, f"{WIKI}/x")


async def test_a_script_does_not_use_up_the_page_loads_renewal(world: World) -> None:
    browser = world.browser()
    await world.sign_in(browser, world.alice)
    await world.later(2 * DAY)
    mine = next(f"{c.name}={c.value}" for c in browser.jar.jar if "session" in c.name)
    for page, status in ((FETCH, 200), (NAVIGATION, 302)):  # plain forward_auth drops the first one's cookie
        asked = await world.browser().check(WIKI + "/", headers={**page, "cookie": mine})
        assert (asked.status_code, "set-cookie" in asked.headers) == (status, True)


async def test_a_sign_in_in_the_second_of_a_re_verification_gets_the_handle(world: World) -> None:
    """Whole seconds would make the older word the newer one."""
    old, now = "did:plc:oooooooooooooooooooooooo", world.clock.time
    await world.sidecar.store.record_handle(old, "alice.pds.net", verified_at=now + 0.5, expires=now + DAY)
    world.clock.time = now + 0.9
    browser = world.browser()
    await world.sign_in(browser, world.alice)
    assert (await browser.fetch(WIKI + "/")).headers["x-user-handle"] == "alice.pds.net"
    fact = await world.sidecar.store.handle_of(old)
    assert fact is not None
    assert fact.handle is None


async def test_a_session_that_is_over_is_counted_as_such(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    gone, idle = world.browser(), world.browser()
    for each in (gone, idle):
        await world.sign_in(each, world.alice)
    copy = world.browser()
    copy.jar.update(gone.jar)
    await gone.submit("/logout", {})
    await copy.fetch(WIKI + "/")
    await world.later(8 * DAY)
    mine = next(f"{c.name}={c.value}" for c in idle.jar.jar if "session" in c.name)
    await idle.check(WIKI + "/", headers={"cookie": mine})
    with caplog.at_level("INFO", logger="sidecar"):
        world.sidecar.tally.flush()
    told = [vars(record) for record in caplog.records if vars(record).get("event") == "check_refused"]
    assert [(each["reason"], each["app"], each["did"]) for each in told if "did" in each] == [
        ("revoked", "wiki", world.alice.did),
        ("expired", "wiki", world.alice.did),
    ]


async def test_who_signs_in_and_out_where_is_in_the_log_and_what_is_no_name_is_not(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    browser = world.browser()
    with caplog.at_level("INFO", logger="sidecar"):
        for _ in range(2):
            await world.sign_in(browser, world.alice, WIKI + "/x")
        await browser.submit("/logout", {})
        for mistaken in ("hunter2-hunter2", "https://alice:hunter2@pds.net", "did:hunter2:x"):
            await world.depart(world.browser(), mistaken)
    told = [vars(record) for record in caplog.records]
    events = ("signed_in", "session_replaced", "signed_out")
    assert [(each["event"], each["did"], each["host"]) for each in told if each.get("event") in events] == [
        ("signed_in", world.alice.did, "wiki.club.net"),
        ("session_replaced", world.alice.did, "wiki.club.net"),
        ("signed_in", world.alice.did, "wiki.club.net"),
        ("signed_out", world.alice.did, "auth.club.net"),
    ]
    assert sum(each["message"] == "sign-in not started" for each in told) == 3
    assert "hunter2" not in repr([{**each, "args": None} for each in told])


def test_past_the_bound_nobody_is_offered_a_renewal_until_the_minute_is_over() -> None:
    offers = Renewals()
    assert all(offers.offer(f"{number:032x}", 0.0) for number in range(10_000))
    assert not offers.offer("one more", 59.0)
    assert offers.offer("one more", 60.0)
    assert not offers.offer("one more", 61.0)
    assert offers.offer("one more", 181.0)
