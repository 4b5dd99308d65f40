"""Named attacks on the sign-in, against the whole app."""

import io
import logging
import re
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import httpx
import pytest

from sidecar import logs
from sidecar.settings import Log
from tests.fakes.browser import NAVIGATION, Browser
from tests.fakes.world import PUBLIC, WIKI, World, code_of

SCRIPT = "\"><script>alert('x')</script>"


async def callback_of(world: World, browser: Browser) -> str:
    departed = await world.depart(browser, "alice.pds.net")
    return world.network.approve(departed.headers["location"], account=world.alice)


def changed(url: str, **fields: str | None) -> str:
    """The URL with some of its query's fields replaced, added, or (None) left out."""
    base, _, query = url.partition("?")
    values: dict[str, str | None] = {**dict(parse_qsl(query)), **fields}
    return base + "?" + urlencode({name: value for name, value in values.items() if value is not None})


async def signed_in(browser: Browser) -> bool:
    return (await browser.fetch(WIKI + "/")).status_code == 200


async def test_login_csrf_a_callback_in_another_browser_signs_nobody_in(world: World) -> None:
    attacker, victim = world.browser(), world.browser()
    callback = await callback_of(world, attacker)
    refused = await victim.open(callback)
    assert (refused.status_code, code_of(refused)) == (400, "other_browser")
    assert not await signed_in(victim)
    assert (await attacker.open(callback)).status_code == 303  # and nothing was used up


async def test_login_csrf_the_binding_of_another_attempt_is_no_use(world: World) -> None:
    attacker, victim = world.browser(), world.browser()
    await callback_of(world, victim)
    callback = await callback_of(world, attacker)
    bound = next(c for c in attacker.jar.jar if "attempt" in c.name)
    own = next(c for c in victim.jar.jar if "attempt" in c.name)
    victim.jar.set(bound.name, own.value or "", domain="auth.club.net", path="/")
    refused = await victim.open(callback)
    assert (refused.status_code, code_of(refused)) == (400, "sign_in_expired")
    assert not await signed_in(victim)


async def test_a_replayed_callback_gives_no_second_session(world: World) -> None:
    browser = world.browser()
    callback = await callback_of(world, browser)
    bound = [c for c in browser.jar.jar if "attempt" in c.name]
    assert (await browser.open(callback)).status_code == 303
    replay = world.browser()
    for cookie in bound:
        replay.jar.jar.set_cookie(cookie)
    refused = await replay.open(callback)
    assert (refused.status_code, code_of(refused)) == (400, "sign_in_expired")
    assert not await signed_in(replay)


@pytest.mark.parametrize("iss", ["https://evil.net", "https://pds.net/", "https://PDS.net", "", None])
async def test_a_mixed_up_issuer_is_refused_on_success_and_on_errors(world: World, iss: str | None) -> None:
    browser = world.browser()
    expected = "invalid_callback" if iss is None else "issuer_mismatch"
    refused = await browser.open(changed(await callback_of(world, browser), iss=iss))
    assert code_of(refused) == expected
    departed = await world.depart(browser, "alice.pds.net")
    denied = await browser.open(changed(world.network.deny(departed.headers["location"]), iss=iss))
    # a refusal has no code that could go to the wrong server, and some servers leave `iss` out of it
    assert code_of(denied) == ("access_denied" if iss is None else expected)
    assert not await signed_in(browser)


async def test_a_server_cannot_vouch_for_an_account_that_lives_elsewhere(world: World) -> None:
    world.network.add_pds("https://evil.net")
    world.network.issuers["https://evil.net"].token_response["sub"] = world.alice.did
    mallory = world.network.add_account("mallory.evil.net", pds="https://evil.net")
    browser = world.browser()
    departed = await world.depart(browser, "https://evil.net")
    back = await browser.open(world.network.approve(departed.headers["location"], account=mallory))
    assert (back.status_code, code_of(back)) == (403, "issuer_mismatch")
    assert not await signed_in(browser)
    assert not world.network.issuers["https://evil.net"].tokens


async def test_an_account_that_moves_while_signing_in_has_to_start_again(world: World) -> None:
    browser = world.browser()
    callback = await callback_of(world, browser)
    world.network.add_pds("https://new.net")
    world.alice.pds = "https://new.net"
    assert code_of(await browser.open(callback)) == "issuer_mismatch"
    assert not await signed_in(browser)


@pytest.mark.parametrize("sub", ["did:plc:bad", "alice.pds.net", "", None, 7, ["did:plc:x"]])
async def test_a_sub_that_is_no_did_is_refused(world: World, sub: object) -> None:
    world.network.issuers["https://pds.net"].token_response["sub"] = sub
    browser = world.browser()
    refused = await browser.open(await callback_of(world, browser))
    assert (refused.status_code, code_of(refused)) == (502, "invalid_token_response")
    assert not await signed_in(browser)


@pytest.mark.parametrize("query", ["", "state=", "state=a&state=b", "code=x", "a=1&" * 40])
async def test_a_callback_without_exactly_one_state_is_refused(world: World, query: str) -> None:
    refused = await world.browser().open(f"{PUBLIC}/auth/callback?{query}")
    assert (refused.status_code, code_of(refused)) == (400, "invalid_callback")


@pytest.mark.parametrize("doubled", ["code", "iss"])
async def test_a_doubled_parameter_is_refused(world: World, doubled: str) -> None:
    browser = world.browser()
    callback = await callback_of(world, browser)
    refused = await browser.open(f"{callback}&{doubled}=other")
    assert (refused.status_code, code_of(refused)) == (400, "invalid_callback")


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"sec-fetch-site": "", "origin": "https://evil.net"},
        {"sec-fetch-site": "", "origin": "null"},
        {"sec-fetch-site": "", "origin": WIKI},
    ],
    ids=str,
)
@pytest.mark.parametrize("path", ["/login", "/logout"])
async def test_a_form_that_another_site_sends_is_refused(
    world: World, path: str, headers: dict[str, str]
) -> None:
    browser = world.browser()
    await world.sign_in(browser, world.alice)
    sent = {**NAVIGATION, "origin": PUBLIC, **headers}
    if not sent["sec-fetch-site"]:
        del sent["sec-fetch-site"]
    refused = await browser.client.post(
        f"{PUBLIC}/auth{path}", headers=sent, data={"identifier": "bob.pds.net"}
    )
    assert (refused.status_code, code_of(refused)) == (403, "cross_site_request")
    assert await signed_in(browser)


async def test_a_form_with_neither_header_is_refused_and_one_with_our_origin_alone_is_not(
    world: World,
) -> None:
    browser = world.browser()
    assert (await browser.client.post(f"{PUBLIC}/auth/logout")).status_code == 403
    old = {"origin": PUBLIC, "content-type": "application/x-www-form-urlencoded"}
    assert (await browser.client.post(f"{PUBLIC}/auth/logout", headers=old)).status_code == 200


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.net/",
        "//evil.net/",
        "https:/evil.net",
        "/\\evil.net",
        "https://wiki.club.net@evil.net/",
        "https://wiki.club.net.evil.net/",
        "http://wiki.club.net/",
        "javascript:alert(1)",
        "https://wiki.club.net:444/",
        "https://auth.club.net/auth/logout",
        " https://wiki.club.net\t/",
    ],
)
async def test_nobody_is_sent_to_an_address_that_is_not_one_of_ours(world: World, target: str) -> None:
    browser = world.browser()
    back = await world.sign_in(browser, world.alice, target)
    assert back.headers["location"] == f"{PUBLIC}/auth/"
    straight = await browser.open(f"{PUBLIC}/auth/login?return_to={quote(target, safe='')}")
    assert straight.headers["location"] == f"{PUBLIC}/auth/"


async def test_a_forged_host_never_shows_up_in_anything_we_send(world: World) -> None:
    browser = world.browser()
    for host in ("evil.net", "auth.club.net.evil.net", "auth.club.net:444", "a b", "x@auth.club.net"):
        moved = await browser.client.get(f"{PUBLIC}/auth/login?x=1", headers={"host": host})
        assert (moved.status_code, moved.headers["location"]) == (302, f"{PUBLIC}/auth/login?x=1&moved=1")
        sent = await browser.client.post(f"{PUBLIC}/auth/login", headers={"host": host})
        assert (sent.status_code, code_of(sent)) == (421, "misdirected")
        again = await browser.client.get(moved.headers["location"], headers={"host": host})
        assert (again.status_code, code_of(again)) == (421, "misdirected")
    metadata = await browser.client.get(f"{PUBLIC}/auth/client-metadata.json", headers={"host": "evil.net"})
    assert "evil" not in metadata.text
    assert metadata.json()["client_id"] == f"{PUBLIC}/auth/client-metadata.json"


@pytest.mark.parametrize("field", ["identifier", "return_to", "switch", "prompt"])
async def test_script_in_a_field_of_the_form_is_text(world: World, field: str) -> None:
    refused = await world.depart(world.browser(), **{"identifier": "nobody.pds.net", field: SCRIPT})
    assert "<script" not in refused.text
    assert "script" not in refused.headers["content-security-policy"].replace("script-src", "")


async def test_script_in_what_others_say_is_text(world: World) -> None:
    world.alice.display_name = f"A{SCRIPT}\u202e\x07" + "x" * 500
    browser = world.browser()
    await world.sign_in(browser, world.alice)
    profile = (await browser.open(f"{PUBLIC}/auth/")).text
    assert "<script" not in profile
    assert "A&#34;&gt;&lt;script&gt;" in profile
    assert not re.search("[\u202e\x07]", profile)
    assert "x" * 64 not in profile
    departed = await world.depart(browser, "alice.pds.net", switch="1")
    denied = await browser.open(world.network.deny(departed.headers["location"], SCRIPT))
    assert "<script" not in denied.text


async def test_script_in_a_forwarded_address_is_text(world: World) -> None:
    browser = world.browser()
    await world.sign_in(browser, world.alice)
    page = await browser.check(f"{WIKI}/{SCRIPT.replace(' ', '')}", "POST", headers=NAVIGATION)
    assert "<script" not in page.text


async def test_no_secret_of_a_sign_in_is_ever_logged(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = io.StringIO()
    handlers = list(logging.getLogger().handlers)
    logs.configure(Log(format="json", level="debug"), stream)
    try:
        browser = world.browser()
        departed = await world.depart(browser, "alice.pds.net", WIKI + "/")
        callback = world.network.approve(departed.headers["location"], account=world.alice)
        secrets = {value for name, value in parse_qsl(urlsplit(callback).query) if name in ("code", "state")}
        secrets |= {c.value or "" for c in browser.jar.jar if len(c.value or "") > 8}
        await browser.open(changed(callback, iss="https://evil.net"))
        await world.sign_in(browser, world.alice)
        secrets |= {c.value or "" for c in browser.jar.jar if len(c.value or "") > 8}
        secrets |= set(world.network.issuers["https://pds.net"].revoked)
        await browser.submit("/logout", {})
        world.sidecar.tally.flush()
    finally:
        logging.getLogger().handlers = handlers
    written = stream.getvalue()
    assert '"signed_in"' in written
    assert '"signed_out"' in written
    assert len(secrets) >= 5
    assert not [secret for secret in secrets if secret in written]


async def test_a_fault_anywhere_is_a_500_with_a_request_id_and_signs_nobody_in(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object, **__: object) -> httpx.Response:
        raise RuntimeError("broken on purpose")

    browser = world.browser()
    callback = await callback_of(world, browser)
    monkeypatch.setattr(world.sidecar.store, "record_handle", broken)
    failed = await browser.open(callback)
    assert (failed.status_code, code_of(failed)) == (500, "internal_error")
    assert "broken on purpose" not in failed.text
    assert failed.headers["x-request-id"] in failed.text
    assert not await signed_in(browser)
    assert not world.network.issuers["https://pds.net"].tokens
