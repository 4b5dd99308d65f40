"""From a page of an app to the identity provider and back to that very page."""

import asyncio
from typing import Any

import httpx
import pytest

from sidecar.errors import StoreUnavailable
from sidecar.settings import Limits
from tests.fakes.refusals import Refused
from tests.fakes.world import BOARD, PUBLIC, WIKI, Make, World, code_of, query

PAGE = f"{WIKI}/a%2Fb/page?x=1&y=%C3%A9"


async def test_a_visitor_comes_back_to_the_very_page_and_the_app_learns_who_it_is(world: World) -> None:
    browser = world.browser()
    sent = await browser.visit(PAGE)
    assert sent.status_code == 200
    assert browser.seen[-1].startswith(f"{PUBLIC}/auth/login?return_to=")
    back = await world.sign_in(browser, world.alice, query(browser.seen[-1])["return_to"])
    assert (back.status_code, back.headers["location"]) == (303, PAGE)
    allowed = await browser.open(PAGE)
    assert allowed.status_code == 200
    assert allowed.headers["x-user-did"] == world.alice.did
    assert allowed.headers["x-user-handle"] == "alice.pds.net"


@pytest.mark.parametrize(
    "typed", ["alice.pds.net", "@Alice.PDS.net", "\u202aalice.pds.net\u202c ", "DID", "https://pds.net"]
)
async def test_every_way_to_say_who_one_is_works(world: World, typed: str) -> None:
    browser = world.browser()
    departed = await world.depart(browser, world.alice.did if typed == "DID" else typed)
    assert departed.status_code == 303, departed.text
    back = await browser.open(world.network.approve(departed.headers["location"], account=world.alice))
    assert back.headers["location"] == f"{PUBLIC}/auth/"
    assert (await browser.open(WIKI + "/")).headers["x-user-did"] == world.alice.did


@pytest.mark.parametrize("site", ["404", "503", "no web", "nobody", "private"])
async def test_the_address_of_a_handles_own_site_is_as_good_as_the_handle(world: World, site: str) -> None:
    match site:
        case "404" | "503":
            world.network.serve("https://alice.pds.net", lambda _: httpx.Response(int(site)))
        case "no web":
            world.network.addresses["alice.pds.net"] = []
        case "nobody":
            world.network.unplug("https://alice.pds.net")
        case "private":
            world.network.addresses["alice.pds.net"] = ["10.0.0.1"]
    browser = world.browser()
    departed = await world.depart(browser, "https://alice.pds.net/")
    assert departed.status_code == 303, departed.text
    assert world.network.request_of(departed.headers["location"])["login_hint"] == "alice.pds.net"
    await browser.open(world.network.approve(departed.headers["location"], account=world.alice))
    assert (await browser.open(WIKI + "/")).headers["x-user-did"] == world.alice.did


async def test_a_site_that_is_no_handle_either_is_told_as_the_server_it_was_typed_as(world: World) -> None:
    world.network.serve("https://shop.net", lambda _: httpx.Response(404))
    refused = await world.depart(world.browser(), "https://shop.net")
    assert (refused.status_code, code_of(refused)) == (502, "unexpected_response")


async def test_a_handle_typed_as_a_site_whose_own_server_fails_is_told_as_that(world: World) -> None:
    world.network.serve("https://alice.pds.net", lambda _: httpx.Response(404))
    world.network.unplug("https://pds.net")
    refused = await world.depart(world.browser(), "https://alice.pds.net")
    assert (refused.status_code, code_of(refused)) == (503, "server_unreachable")


async def test_a_button_leads_to_its_server_and_never_to_a_handle_of_that_name(world: World) -> None:
    """A server that is down must not turn into somebody's account."""
    world.network.add_account("bsky.social")
    world.network.unplug("https://bsky.social")
    for fields in ({}, {"prompt": "create"}):
        refused = await world.depart(world.browser(), "https://bsky.social", **fields)
        assert refused.status_code == 503


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("alice", "We read “alice”. It has no dot"),
        ("alice@example.com", "We read “alice@example.com” as an e-mail address."),
        ("\u202e<b>x.y", "We read “&lt;b&gt;x.y” as a handle"),
        ("{0.code} x{}", "We read “{0.code} x{}” as a handle"),
        ("did:plc:short", "We read “did:plc:short” as a DID"),
        ("https://bsky.app/search", "We read “https://bsky.app/search” as a link"),
    ],
)
async def test_what_cannot_be_used_is_shown_as_it_was_read(world: World, typed: str, words: str) -> None:
    refused = await world.depart(world.browser(), typed)
    assert refused.status_code == 400
    assert words in refused.text


@pytest.mark.parametrize(("who", "store", "status"), [("alice", 1, 303), ("bob", 1, 403), ("alice", 0, 503)])
async def test_the_tokens_are_revoked_after_the_answer_whatever_it_is(
    world: World, monkeypatch: pytest.MonkeyPatch, who: str, store: int, status: int
) -> None:
    async def unavailable(*_: object, **__: object) -> None:
        raise StoreUnavailable("pulled the plug")

    if not store:
        monkeypatch.setattr(world.sidecar.store, "record_handle", unavailable)
    browser, issuer = world.browser(), world.network.issuers["https://pds.net"]
    departed = await world.depart(browser, "alice.pds.net")
    callback = world.network.approve(departed.headers["location"], account=f"{who}.pds.net")
    sent: list[str] = []
    revoke = issuer.handle

    async def note(request: httpx.Request) -> httpx.Response:
        sent.append("revocation")
        return await revoke(request)

    world.network.handle("https://pds.net/oauth/revoke", note)

    async def noting(scope: Any, receive: Any, send: Any) -> None:
        async def note_and_send(message: Any) -> None:
            sent.append(message["type"])
            await send(message)

        await world.sidecar(scope, receive, note_and_send)

    transport = httpx.ASGITransport(noting)
    async with httpx.AsyncClient(transport=transport, cookies=browser.jar) as client:
        assert (await client.get(callback)).status_code == status
    assert sent == ["http.response.start", "http.response.body", "revocation"]
    assert not issuer.tokens


async def test_who_is_signed_in_goes_straight_on(world: World) -> None:
    browser = world.browser()
    await world.sign_in(browser, world.alice)
    again = await browser.open(f"{PUBLIC}/auth/login?return_to={WIKI}/x")
    assert (again.status_code, again.headers["location"]) == (303, f"{WIKI}/x")


async def test_switch_shows_the_form_all_the_same_and_asks_the_server_to_ask(world: World) -> None:
    browser = world.browser()
    await world.sign_in(browser, world.alice)
    assert (await browser.open(f"{PUBLIC}/auth/login?switch=1")).status_code == 200
    departed = await world.depart(browser, "bob.pds.net", switch="1")
    assert world.network.request_of(departed.headers["location"])["prompt"] == "select_account"


async def test_the_first_sign_in_after_a_sign_out_asks_which_account_and_the_next_does_not(
    world: World,
) -> None:
    browser = world.browser()
    await world.sign_in(browser, world.alice)
    assert (await browser.submit("/logout", {})).status_code == 200
    departed = await world.depart(browser, "alice.pds.net")
    assert world.network.request_of(departed.headers["location"])["prompt"] == "select_account"
    await browser.open(world.network.approve(departed.headers["location"], account=world.alice))
    departed = await world.depart(browser, "alice.pds.net", switch="0")
    assert "prompt" not in world.network.request_of(departed.headers["location"])


@pytest.mark.parametrize("names_itself", [True, False])
@pytest.mark.parametrize("error", ["account_selection_required", "login_required"])
@pytest.mark.parametrize("typed", ["@Alice.pds.net", "DID", "https://pds.net"])
async def test_a_server_that_knows_no_account_to_choose_from_is_asked_once_to_sign_one_in(
    world: World, typed: str, error: str, names_itself: bool
) -> None:
    world.network.issuers["https://pds.net"].habits.errors_without_iss = not names_itself
    browser = world.browser()
    departed = await world.depart(browser, world.alice.did if typed == "DID" else typed, PAGE, switch="1")
    nobody = world.network.deny(departed.headers["location"], error)
    again = await browser.open(nobody)
    assert again.status_code == 303
    asked = world.network.request_of(again.headers["location"])
    assert asked["prompt"] == "login"
    hints = {"@Alice.pds.net": "alice.pds.net", "DID": world.alice.did, "https://pds.net": None}
    assert asked.get("login_hint") == hints[typed]
    assert sum("sidecar_attempt_" in name for name in browser.jar) == 1
    back = await browser.open(world.network.approve(again.headers["location"], account=world.alice))
    assert back.headers["location"] == PAGE


@pytest.mark.parametrize("error", ["account_selection_required", "login_required"])
async def test_a_server_that_goes_on_asking_for_a_choice_ends_on_a_page(world: World, error: str) -> None:
    browser = world.browser()
    departed = await world.depart(browser, "alice.pds.net", switch="1")
    again = await browser.open(world.network.deny(departed.headers["location"], error))
    last = await browser.open(world.network.deny(again.headers["location"], error))
    assert (last.status_code, code_of(last)) == (502, "authorization_refused")


async def test_a_refusal_without_iss_is_told_as_what_it_is(world: World) -> None:
    world.network.issuers["https://pds.net"].habits.errors_without_iss = True
    browser = world.browser()
    departed = await world.depart(browser, "alice.pds.net", PAGE)
    denied = await browser.open(world.network.deny(departed.headers["location"]))
    assert (denied.status_code, code_of(denied)) == (403, "access_denied")


async def test_what_the_server_said_is_shown_as_its_words_and_logged(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    browser = world.browser()
    departed = await world.depart(browser, "alice.pds.net", PAGE)
    location = world.network.deny(departed.headers["location"])
    url = httpx.URL(location).copy_merge_params(
        {"error_description": "This account is <b>suspended</b>\u202e."}
    )
    with caplog.at_level("INFO"):
        denied = await browser.open(str(url))
    assert code_of(denied) == "access_denied"
    assert "This account is &lt;b&gt;suspended&lt;/b&gt; ." in denied.text
    assert "server said" in denied.text
    assert any("suspended" in str(getattr(each, "reason", "")) for each in caplog.records)


async def test_what_a_server_said_before_the_sign_in_began_is_shown_in_the_form(world: World) -> None:
    world.network.issuers["https://pds.net"].habits.errors = "xrpc"
    world.network.issuers["https://pds.net"].refusals["par"] = Refused("InvalidClient", "Come back on Monday")
    refused = await world.depart(world.browser(), "alice.pds.net")
    assert refused.status_code == 502
    assert "Come back on Monday" in refused.text


async def test_a_refusal_without_words_has_no_empty_quotation(world: World) -> None:
    browser = world.browser()
    departed = await world.depart(browser, "alice.pds.net")
    issuer = world.network.issuers["https://pds.net"]
    denied = await browser.open(issuer.deny(departed.headers["location"], description=""))
    assert code_of(denied) == "access_denied"
    assert "server said" not in denied.text


async def test_a_clock_that_is_off_is_named_in_the_log_of_a_refused_sign_in(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.network.issuers["https://pds.net"].now = lambda: world.clock() - 300
    with caplog.at_level("INFO"):
        refused = await world.depart(world.browser(), "alice.pds.net")
    assert refused.status_code == 502
    events = [getattr(each, "event", "") for each in caplog.records]
    assert "clock_differs" in events
    assert "client_refused" in events


async def test_an_account_other_than_the_one_asked_for_is_refused_after_a_second_question_too(
    world: World,
) -> None:
    browser = world.browser()
    departed = await world.depart(browser, "alice.pds.net", switch="1")
    again = await browser.open(world.network.deny(departed.headers["location"], "account_selection_required"))
    back = await browser.open(world.network.approve(again.headers["location"], account=world.bob))
    assert (back.status_code, code_of(back)) == (403, "wrong_account")


async def test_creating_an_account_starts_at_the_server_with_prompt_create(world: World) -> None:
    departed = await world.depart(world.browser(), "https://pds.net", prompt="create")
    assert world.network.request_of(departed.headers["location"])["prompt"] == "create"


async def test_a_sign_in_over_a_session_ends_the_old_one(world: World) -> None:
    browser, thief = world.browser(), world.browser()
    await world.sign_in(browser, world.alice)
    thief.jar.update(browser.jar)
    assert (await thief.open(WIKI + "/")).status_code == 200
    await world.sign_in(browser, world.bob)
    assert (await thief.open(WIKI + "/")).status_code == 302
    assert (await browser.open(WIKI + "/")).headers["x-user-did"] == world.bob.did


async def test_parallel_tabs_all_succeed(world: World) -> None:
    browser = world.browser()
    departures = [await world.depart(browser, "alice.pds.net", f"{WIKI}/{tab}") for tab in range(4)]
    for tab, departed in enumerate(departures):
        back = await browser.open(world.network.approve(departed.headers["location"], account=world.alice))
        assert back.headers["location"] == f"{WIKI}/{tab}"


async def test_a_browser_keeps_a_handful_of_attempts_the_newest(world: World) -> None:
    browser = world.browser()
    departures = []
    for _ in range(9):
        world.clock.time += 1
        departures.append(await world.depart(browser, "alice.pds.net"))
    assert sum("sidecar_attempt_" in name for name in browser.jar) == 6
    old = await browser.open(world.network.approve(departures[0].headers["location"], account=world.alice))
    assert code_of(old) == "other_browser"
    new = await browser.open(world.network.approve(departures[8].headers["location"], account=world.alice))
    assert new.status_code == 303


async def test_a_callback_again_goes_on_where_a_session_is_alive(world: World) -> None:
    browser = world.browser()
    departed = await world.depart(browser, "alice.pds.net")
    callback = world.network.approve(departed.headers["location"], account=world.alice)
    await browser.open(callback)
    again = await browser.open(callback)
    assert (again.status_code, again.headers["location"]) == (303, f"{PUBLIC}/auth/")


async def test_declining_has_a_page_with_a_way_back_to_where_one_was_going(world: World) -> None:
    browser = world.browser()
    departed = await world.depart(browser, "alice.pds.net", PAGE)
    denied = await browser.open(world.network.deny(departed.headers["location"]))
    assert (denied.status_code, code_of(denied)) == (403, "access_denied")
    assert "return_to=https://wiki.club.net/a%252Fb" in denied.text


async def test_another_account_than_the_one_asked_for_is_refused(world: World) -> None:
    browser = world.browser()
    departed = await world.depart(browser, "alice.pds.net")
    back = await browser.open(world.network.approve(departed.headers["location"], account=world.bob))
    assert (back.status_code, code_of(back)) == (403, "wrong_account")
    assert (await browser.open(WIKI + "/")).status_code == 302
    assert not world.network.issuers["https://pds.net"].tokens


async def test_a_sign_in_expires(world: World) -> None:
    browser = world.browser()
    departed = await world.depart(browser, "alice.pds.net")
    callback = world.network.approve(departed.headers["location"], account=world.alice)
    world.clock.time += 901
    late = await browser.open(callback)
    assert (late.status_code, code_of(late)) == (400, "sign_in_expired")


@pytest.mark.parametrize(
    ("typed", "status", "code"),
    [
        ("not a handle", 400, "invalid_identifier"),
        ("", 400, "invalid_identifier"),
        ("nobody.pds.net", 404, "handle_not_found"),
        ("did:plc:zzzzzzzzzzzzzzzzzzzzzzzz", 404, "did_not_found"),
        ("did:key:z6Mk", 400, "unsupported_did_method"),
        ("https://nowhere.net", 503, "server_unreachable"),
    ],
)
async def test_what_cannot_be_started_comes_back_in_the_form_with_words_and_what_was_typed(
    world: World, typed: str, status: int, code: str
) -> None:
    refused = await world.depart(world.browser(), typed, PAGE)
    assert refused.status_code == status
    assert code_of(refused) == code or f"<code>{code}</code>" in refused.text
    assert 'role="alert"' in refused.text
    assert f'value="{typed}"' in refused.text
    assert 'name="return_to" value="https://wiki.club.net/a%2Fb/page?x=1&amp;y=%C3%A9"' in refused.text


async def test_a_server_that_fails_is_never_told_as_a_missing_handle(world: World) -> None:
    world.network.unplug("https://plc.directory")
    refused = await world.depart(world.browser(), "alice.pds.net")
    assert refused.status_code == 503
    assert "<code>server_unreachable</code>" in refused.text


async def test_an_entryway_may_speak_for_a_pds_of_another_host(world: World) -> None:
    world.network.add_pds("https://amanita.host.net", issuer="https://entryway.net")
    carol = world.network.add_account("carol.club.org", pds="https://amanita.host.net")
    browser = world.browser()
    await world.sign_in(browser, carol)
    assert (await browser.open(WIKI + "/")).headers["x-user-did"] == carol.did


async def test_who_starts_with_a_did_signs_in_without_a_handle_that_can_be_verified(world: World) -> None:
    lost = world.network.add_account("lost.pds.net")
    lost.resolves = False
    browser = world.browser()
    departed = await world.depart(browser, lost.did)
    await browser.open(world.network.approve(departed.headers["location"], account=lost))
    assert (await browser.open(WIKI + "/")).headers["x-user-handle"] == "handle.invalid"


async def test_a_fault_of_a_server_at_a_sign_in_takes_nobodys_handle(world: World) -> None:
    """What was verified before stands, in this browser and in all others."""
    phone, laptop = world.browser(), world.browser()
    await world.sign_in(phone, world.alice)
    world.network.unplug(world.network.resolver_url)
    world.clock.time += 3600
    departed = await world.depart(laptop, world.alice.did)
    await laptop.open(world.network.approve(departed.headers["location"], account=world.alice))
    for browser in (phone, laptop):
        assert (await browser.open(f"{BOARD}/")).headers["x-user-handle"] == "alice.pds.net"
    await world.later(23 * 3600)  # and no longer than it would have
    for browser in (phone, laptop):
        assert (await browser.open(f"{BOARD}/")).status_code == 403


async def test_a_handle_nobody_could_ask_for_at_the_sign_in_is_asked_for_soon(world: World) -> None:
    browser = world.browser()
    world.network.unplug(world.network.resolver_url)
    departed = await world.depart(browser, world.alice.did)
    await browser.open(world.network.approve(departed.headers["location"], account=world.alice))
    assert (await browser.open(WIKI + "/")).headers["x-user-handle"] == "handle.invalid"
    world.network.mend(world.network.resolver_url)
    await world.sidecar.reverifier.round()
    assert (await browser.open(WIKI + "/")).headers["x-user-handle"] == "alice.pds.net"


async def test_who_may_not_use_an_app_is_told_as_whom_and_offered_another_account(world: World) -> None:
    browser = world.browser()
    await world.sign_in(browser, world.bob)
    refused = await browser.open(f"{BOARD}/x")
    assert (refused.status_code, code_of(refused)) == (403, "not_allowed")
    assert "bob.pds.net" in refused.text
    assert f"{PUBLIC}/auth/login?return_to=https://board.club.net/x&amp;switch=1" in refused.text
    by_script = await browser.fetch(f"{BOARD}/x")
    assert (by_script.status_code, by_script.json()["reason"]) == (403, "not_allowed")


async def test_too_many_attempts_from_one_address_get_a_page_and_when_to_come_back(make: Make) -> None:
    world = make(limits=Limits(attempts_per_address=3, attempts_per_identifier=2))
    await world.sidecar.start()
    browser, other = world.browser(), world.browser()
    other.address = "198.51.100.1"
    for _ in range(2):
        assert (await world.depart(browser, "alice.pds.net")).status_code == 303
    refused = await world.depart(browser, "alice.pds.net")
    assert refused.status_code == 429
    assert 0 < int(refused.headers["retry-after"]) <= 300
    assert "<code>too_many_requests</code>" in refused.text
    assert (await world.depart(other, "alice.pds.net")).status_code == 303
    assert (await world.depart(browser, "bob.pds.net")).status_code == 429
    world.clock.time += 301
    assert (await world.depart(browser, "bob.pds.net")).status_code == 303
    await world.sidecar.stop()


async def test_a_browser_that_keeps_no_cookies_is_told_before_it_leaves(world: World) -> None:
    browser = world.browser()
    refused = await browser.submit("/login", {"identifier": "alice.pds.net"})
    assert refused.status_code == 400
    assert "<code>cookies_off</code>" in refused.text


async def test_the_profile_shows_who_one_is_and_sends_the_signed_out_to_sign_in(world: World) -> None:
    browser = world.browser()
    away = await browser.open(f"{PUBLIC}/auth/")
    assert away.headers["location"] == f"{PUBLIC}/auth/login?return_to=https://auth.club.net/auth/"
    await world.sign_in(browser, world.alice)
    profile = await browser.open(f"{PUBLIC}/auth/")
    assert all(text in profile.text for text in ("Alice", "alice.pds.net", world.alice.did))


async def test_the_profile_works_without_the_display_name(world: World) -> None:
    browser = world.browser()
    await world.sign_in(browser, world.alice)
    world.network.unplug("https://pds.net")
    profile = await browser.open(f"{PUBLIC}/auth/")
    assert profile.status_code == 200
    assert "alice.pds.net" in profile.text


async def test_the_profile_asks_only_so_many_servers_at_once(make: Make) -> None:
    world = make(limits=Limits(concurrent_sign_ins=1))
    await world.sidecar.start()
    browser = world.browser()
    await world.sign_in(browser, world.alice)
    arrived = world.network.hang("https://pds.net/xrpc/com.atproto.repo.getRecord")
    first = asyncio.create_task(browser.open(f"{PUBLIC}/auth/"))
    async with asyncio.timeout(10):
        await arrived.wait()
    asked = len(world.network.requests)
    second = await browser.open(f"{PUBLIC}/auth/")
    assert (second.status_code, len(world.network.requests)) == (200, asked)
    assert "alice.pds.net" in second.text
    first.cancel()
    await asyncio.wait([first])
    await world.sidecar.stop()


async def test_a_long_address_leads_to_the_front_page_and_the_form_says_so(world: World) -> None:
    browser = world.browser()
    away = await browser.open(f"{WIKI}/{'x' * 5000}")
    assert query(away.headers["location"])["return_to"] == WIKI + "/"
    assert "too long" in (await browser.open(away.headers["location"])).text
