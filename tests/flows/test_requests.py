"""Requests as such: routes, methods, hosts, peers, sizes, what machines ask."""

import asyncio
import json
from collections.abc import AsyncIterator, MutableMapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from sidecar.access.identity_headers import NAMES
from sidecar.commands import client_keys
from sidecar.settings import App, Client, Limits, Pages, Server
from sidecar.visit import visitors
from tests.fakes.browser import NAVIGATION
from tests.fakes.world import BOARD, PUBLIC, WIKI, Make, World, code_of, query

ROUTES = {
    "/auth": "GET, HEAD",
    "/auth/": "GET, HEAD",
    "/auth/login": "GET, HEAD, POST",
    "/auth/callback": "GET, HEAD",
    "/auth/logout": "GET, HEAD, POST",
    "/auth/client-metadata.json": "GET, HEAD",
    "/auth/jwks.json": "GET, HEAD",
    "/auth/healthz": "GET, HEAD",
    "/auth/readyz": "GET, HEAD",
    "/auth/check": "GET, HEAD",
}


@pytest.mark.parametrize("path", ROUTES)
async def test_a_wrong_method_is_told_the_right_ones(world: World, path: str) -> None:
    refused = await world.browser().client.request("DELETE", PUBLIC + path)
    assert refused.status_code == 405
    assert ", ".join(sorted(refused.headers["allow"].split(", "))) == ROUTES[path]


@pytest.mark.parametrize("path", [path for path in ROUTES if path != "/auth/check"])
async def test_head_answers_as_get_does(world: World, path: str) -> None:
    client = world.browser().client
    got, headed = await client.get(PUBLIC + path), await client.head(PUBLIC + path)
    assert headed.status_code == got.status_code
    assert headed.headers["content-length"] == got.headers["content-length"]


@pytest.mark.parametrize(
    "path", ["/auth/nothing", "/auth/login/", "/auth/check/", "/auth/CHECK", "//", "/other"]
)
async def test_an_unknown_address_has_a_page(world: World, path: str) -> None:
    missing = await world.browser().open(PUBLIC + path) if path.startswith("/auth") else None
    missing = missing or await world.browser().client.get(PUBLIC + path)
    assert (missing.status_code, code_of(missing).split("<")[0]) == (404, "not_found")


@pytest.mark.parametrize("path", ["/auth", "/", ""])
async def test_the_front_page_and_the_prefix_without_its_slash_lead_to_the_profile(
    world: World, path: str
) -> None:
    moved = await world.browser().client.get(PUBLIC + path)
    assert (moved.status_code, moved.headers["location"]) == (302, f"{PUBLIC}/auth/")


async def test_client_metadata_is_what_an_authorization_server_wants(world: World) -> None:
    answer = await world.browser().client.get(f"{PUBLIC}/auth/client-metadata.json")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    document = answer.json()
    assert document["client_id"] == f"{PUBLIC}/auth/client-metadata.json"
    assert document["redirect_uris"] == [f"{PUBLIC}/auth/callback"]
    assert document["grant_types"] == ["authorization_code"]
    assert document["client_uri"] == f"{PUBLIC}/auth/"
    assert document["jwks_uri"] == f"{PUBLIC}/auth/jwks.json"
    assert "jwks" not in document
    keys = await world.browser().client.get(document["jwks_uri"])
    assert [key["kid"] for key in keys.json()["keys"]]
    assert '"d"' not in answer.text + keys.text


async def test_the_keys_can_be_published_inside_the_metadata(make: Make) -> None:
    outside = make()
    world = make(client=Client(keys_file=outside.settings.client.keys_file, jwks="inline"))
    await world.sidecar.start()
    client = world.browser().client
    document = (await client.get(f"{PUBLIC}/auth/client-metadata.json")).json()
    assert "jwks_uri" not in document
    assert document["jwks"] == (await client.get(f"{PUBLIC}/auth/jwks.json")).json()
    assert (await world.sign_in(world.browser(), world.alice)).status_code == 303
    await world.sidecar.stop()


async def test_a_new_client_key_is_taken_by_a_server_that_keeps_our_metadata_for_ever(make: Make) -> None:
    world = make()
    world.network.issuers["https://pds.net"].habits.keeps_documents = True
    await world.sidecar.start()
    assert (await world.sign_in(world.browser(), world.alice)).status_code == 303
    world.settings.client.keys_file.write_text(client_keys.key_set([client_keys.new_key()]))
    world.sidecar = world.another_worker(world.sidecar.store)
    assert (await world.sign_in(world.browser(), world.alice)).status_code == 303
    await world.sidecar.stop()


@pytest.mark.parametrize("path", ["/oauth-client-metadata.json", "/.well-known/a/b~c.json"])
async def test_the_path_of_the_client_id_may_be_chosen_and_no_other_is_served(make: Make, path: str) -> None:
    default = make()
    world = make(client=Client(keys_file=default.settings.client.keys_file, id_path=path))
    await world.sidecar.start()
    client = world.browser().client
    answer = await client.get(PUBLIC + path, headers={"host": "127.0.0.1:9180"})  # as any server may ask
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    document = answer.json()
    assert document["client_id"] == PUBLIC + path
    assert document["client_uri"].rstrip("/") == PUBLIC  # where the client_id lies under
    assert document["jwks_uri"] == f"{PUBLIC}/auth/jwks.json"
    assert (await client.get(f"{PUBLIC}/auth/client-metadata.json")).status_code == 404
    departed = await world.depart(world.browser(), "alice.pds.net")
    assert query(departed.headers["location"])["client_id"] == PUBLIC + path
    assert (await world.sign_in(world.browser(), world.alice)).status_code == 303
    await world.sidecar.stop()


async def test_health_answers_under_any_host_and_readiness_needs_the_store(world: World) -> None:
    client = world.browser().client
    for path, status in (("healthz", "ok"), ("readyz", "ready")):
        answer = await client.get(f"{PUBLIC}/auth/{path}", headers={"host": "127.0.0.1:9180"})
        assert (answer.status_code, answer.json()) == (200, {"status": status})


async def test_readiness_waits_for_the_sign_outs(make: Make) -> None:
    world = make()
    await world.sidecar.store.open()
    answer = await world.browser().client.get(f"{PUBLIC}/auth/readyz")
    assert (answer.status_code, answer.json()["status"]) == (503, "revocations not loaded")
    await world.sidecar.store.close()


async def test_a_peer_that_is_not_trusted_reaches_nothing(world: World) -> None:
    transport = httpx.ASGITransport(world.sidecar, client=("203.0.113.5", 1000))
    async with httpx.AsyncClient(transport=transport) as outsider:
        for path in ROUTES:
            assert (await outsider.get(PUBLIC + path)).status_code == 403


def from_address(world: World, address: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(world.sidecar, client=(address, 1000)))


@pytest.mark.parametrize("path", ["/auth/check", "/auth/login", "/auth/healthz", "/"])
async def test_a_person_behind_an_unknown_proxy_gets_a_page_that_says_whose_fault_it_is(
    world: World, path: str
) -> None:
    async with from_address(world, "172.18.0.3") as proxy:
        page = await proxy.get(PUBLIC + path, headers={"accept": "text/html,application/xhtml+xml"})
        said = (await proxy.get(PUBLIC + path, headers={"accept": "*/*"})).json()
        told = (await proxy.post(PUBLIC + path)).json()
    assert page.status_code == 403
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert code_of(page) == said["error"] == told["error"] == "untrusted_peer"
    for text in (page.text, said["message"]):
        assert "server.trusted_peers" in text
        assert "172.18.0.3" not in text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert page.headers["cache-control"] == "no-store"


async def test_the_log_names_the_unknown_proxys_address_and_the_setting_once_a_minute(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    def logged() -> list[tuple[str, str, int]]:
        records = [vars(record) for record in caplog.records if vars(record).get("event") == "untrusted_peer"]
        return [(each["address"], each["setting"], each["count"]) for each in records]

    setting = "server.trusted_peers"
    for _ in range(5):
        async with from_address(world, "172.18.0.3") as proxy:
            await proxy.get(f"{PUBLIC}/auth/check")
    assert logged() == [("172.18.0.3", setting, 1)]
    async with from_address(world, "172.18.0.9") as other:
        await other.get(f"{PUBLIC}/auth/check")
    assert logged()[1:] == [("172.18.0.9", setting, 1)]
    world.clock.time += 59
    async with from_address(world, "172.18.0.3") as proxy:
        await proxy.get(f"{PUBLIC}/auth/check")
        assert len(logged()) == 2
        world.clock.time += 1
        await proxy.get(f"{PUBLIC}/auth/check")
    assert logged()[2:] == [("172.18.0.3", setting, 6)]


async def test_many_unknown_addresses_cannot_fill_the_log(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(200):
        async with from_address(world, f"203.0.113.{number}") as stranger:
            await stranger.get(f"{PUBLIC}/auth/check")
    assert len([r for r in caplog.records if vars(r).get("event") == "untrusted_peer"]) == 10


async def test_a_clock_that_was_set_back_does_not_silence_the_log(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    async with from_address(world, "172.18.0.3") as proxy:
        await proxy.get(f"{PUBLIC}/auth/check")
        world.clock.time -= 3600
        await proxy.get(f"{PUBLIC}/auth/check")
    assert len([r for r in caplog.records if vars(r).get("event") == "untrusted_peer"]) == 2


async def test_a_peer_without_an_address_is_trusted_on_a_unix_socket_only(make: Make, world: World) -> None:
    on_socket = make(server=Server(listen="unix:/run/sidecar.sock"))
    await on_socket.sidecar.start()
    for each, status in ((world, 403), (on_socket, 200)):
        transport = httpx.ASGITransport(each.sidecar, client=None)  # type: ignore[arg-type] # as uvicorn gives it
        async with httpx.AsyncClient(transport=transport) as peer:
            assert (await peer.get(f"{PUBLIC}/auth/healthz")).status_code == status
    await on_socket.sidecar.stop()


async def test_a_form_that_is_too_large_or_of_another_kind_is_refused_with_a_page(world: World) -> None:
    browser = world.browser()
    large = await browser.submit("/login", {"identifier": "x" * 20_000})
    assert (large.status_code, code_of(large).split("<")[0]) == (413, "request_too_large")
    sent = {**NAVIGATION, "sec-fetch-site": "same-origin", "content-type": "application/json"}
    other = await browser.client.post(f"{PUBLIC}/auth/login", headers=sent, content=b"{}")
    assert (other.status_code, code_of(other).split("<")[0]) == (400, "bad_request")
    plain = {**sent, "content-type": "application/x-www-form-urlencoded"}
    for body in (b"identifier=a&identifier=b", b"&".join(b"%d=1" % n for n in range(40))):
        refused = await browser.client.post(f"{PUBLIC}/auth/login", headers=plain, content=body)
        assert (refused.status_code, code_of(refused).split("<")[0]) == (400, "bad_request")


@pytest.mark.parametrize("path", ["/login", "/logout"])
@pytest.mark.parametrize("drips", [False, True], ids=["half-sent", "byte by byte"])
async def test_a_form_that_does_not_come_to_its_end_is_refused_and_does_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, path: str, drips: bool
) -> None:
    monkeypatch.setattr(visitors, "BODY_DEADLINE", 0.1)
    browser = world.browser()
    await world.sign_in(browser, world.alice)

    async def slowly() -> AsyncIterator[bytes]:
        yield b"identifier="
        while True:
            await asyncio.sleep(0.01 if drips else 3600)
            yield b"a"

    sent = {
        **NAVIGATION,
        "sec-fetch-site": "same-origin",
        "content-type": "application/x-www-form-urlencoded",
    }
    refused = await browser.client.post(f"{PUBLIC}/auth{path}", headers=sent, content=slowly())
    assert (refused.status_code, code_of(refused).split("<")[0]) == (408, "request_too_slow")
    assert refused.headers["connection"] == "close"
    assert (await browser.fetch(WIKI + "/")).status_code == 200


def test_a_slow_form_delays_no_restart() -> None:
    assert Server().stop_timeout > visitors.BODY_DEADLINE


async def test_headers_that_are_too_large_are_refused(world: World) -> None:
    large = {"x-large": "x" * 70_000}
    refused = await world.browser().client.get(f"{PUBLIC}/auth/login", headers=large)
    assert (refused.status_code, code_of(refused).split("<")[0]) == (413, "request_too_large")
    browser = world.browser()
    await world.sign_in(browser, world.alice)
    assert (await browser.fetch(WIKI + "/")).status_code == 200
    assert (await browser.check(WIKI + "/", headers=large)).status_code == 413


async def test_a_sign_out_that_sends_too_much_is_refused_and_signs_nobody_out(world: World) -> None:
    browser = world.browser()
    await world.sign_in(browser, world.alice)
    large = await browser.submit("/logout", {"x": "x" * 20_000})
    assert (large.status_code, code_of(large).split("<")[0]) == (413, "request_too_large")
    assert (await browser.fetch(WIKI + "/")).status_code == 200


@pytest.mark.parametrize("path", [b"*", b"/caf\xc3\xa9", b"//evil.net\\@x\xff"])
async def test_an_address_that_cannot_be_read_is_redirected_nowhere(world: World, path: bytes) -> None:
    sent: list[MutableMapping[str, Any]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    async def receive() -> MutableMapping[str, Any]:
        raise AssertionError("nothing is read")

    scope = {
        "type": "http",
        "method": "GET",
        "path": path.decode("latin-1"),
        "raw_path": path,
        "query_string": b"",
        "headers": [(b"host", b"other.club.net")],
        "client": ("127.0.0.1", 1),
    }
    await world.sidecar(scope, receive, send)
    start, body = sent
    assert (start["status"], b"bad_request" in body["body"]) == (400, True)
    assert b"location" not in dict(start["headers"])


async def test_where_every_slot_is_taken_people_are_told_it_is_not_them_and_lose_nothing(make: Make) -> None:
    world = make(limits=Limits(concurrent_sign_ins=1))
    await world.sidecar.start()
    waiting = world.browser()
    departed = await world.depart(waiting, world.alice.handle or "")
    callback = world.network.approve(departed.headers["location"], account=world.alice)
    arrived = world.network.hang("https://pds.net/.well-known/oauth-protected-resource")
    stuck = asyncio.create_task(world.depart(world.browser(), world.bob.handle or ""))
    async with asyncio.timeout(10):
        await arrived.wait()
    for busy in (await world.depart(world.browser(), "alice.pds.net"), await waiting.open(callback)):
        assert (busy.status_code, busy.headers["retry-after"]) == (429, "5")
        assert "Very many people" in busy.text
        assert "<code>busy</code>" in busy.text
    stuck.cancel()
    await asyncio.wait([stuck])
    world.network.mend("https://pds.net/.well-known/oauth-protected-resource")
    assert (await waiting.open(callback)).status_code == 303  # the attempt was not used up
    await world.sidecar.stop()


async def test_a_template_that_fails_while_it_is_shown_leaves_the_words(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise TypeError("broken on purpose")

    monkeypatch.setattr(world.sidecar.gate.pages, "page", broken)
    answer = await world.browser().open(f"{PUBLIC}/auth/nothing")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "text/plain; charset=utf-8")
    assert answer.text.startswith("Page not found.")
    assert answer.headers["x-request-id"]


async def test_every_identity_header_is_on_every_allow_once_and_never_empty(world: World) -> None:
    browser = world.browser()
    await world.sign_in(browser, world.alice)
    for headers in (None, NAVIGATION, {"x-user-did": "did:plc:forged", "connection": "x-user-did"}):
        allowed = await browser.check(WIKI + "/", headers=headers)
        assert allowed.status_code == 200
        for name in NAMES:
            assert len(allowed.headers.get_list(name)) == 1
            assert allowed.headers[name]
        assert allowed.headers["x-user-did"] == world.alice.did


async def test_every_allow_carries_the_mark_and_nothing_else_does(world: World) -> None:
    browser = world.browser()
    for headers in (NAVIGATION, None):
        assert "x-user-auth" not in (await browser.check(WIKI + "/", headers=headers)).headers
    await world.sign_in(browser, world.alice)
    for headers in (NAVIGATION, None, {"x-user-auth": "bypass"}, {"upgrade": "websocket", "origin": WIKI}):
        allowed = await browser.check(WIKI + "/", headers=headers)
        assert allowed.headers.get_list("x-user-auth") == ["signed-in"]
    assert "x-user-auth" not in (await browser.check("https://other.club.net/", headers=NAVIGATION)).headers


async def test_an_allow_carries_the_cookies_of_the_app_in_one_line_and_none_of_ours(world: World) -> None:
    browser = world.browser()
    await world.sign_in(browser, world.alice)
    ours = "; ".join(f"{name}={value}" for name, value in browser.jar.items())
    for sent, left in (
        (ours, []),
        (f'own=1; {ours}; b="x y"', ['own=1; b="x y"']),
        (f"a=1; sidecar.session =x; {ours}", ["a=1"]),
        ("a=1; " + ours + "; c=" + "x" * 2000, ["a=1; c=" + "x" * 2000]),
    ):
        for _ in range(2):
            for host in (WIKI, BOARD, WIKI):
                allowed = await browser.check(host + "/", headers={"cookie": sent})
                assert allowed.headers.get_list("cookie") == left
                assert allowed.content == b""


async def test_a_refusal_says_nothing_of_the_cookies(world: World) -> None:
    browser = world.browser()
    await world.sign_in(browser, world.bob)
    ours = "; ".join(f"{name}={value}" for name, value in browser.jar.items())
    for cookie in ("own=1", f"own=1; {ours}"):
        refused = await browser.check(BOARD + "/", headers={"cookie": cookie})
        assert refused.status_code in (401, 403)
        assert "cookie" not in refused.headers


async def test_a_renewed_session_comes_with_the_cookies_of_the_app(world: World) -> None:
    browser = world.browser()
    await world.sign_in(browser, world.alice)
    await world.later(2 * 86400)
    ours = "; ".join(f"{name}={value}" for name, value in browser.jar.items())
    renewed = await browser.check(WIKI + "/", headers={"cookie": f"a=1; {ours}; b=2"})
    assert (renewed.status_code, renewed.headers["cookie"]) == (200, "a=1; b=2")
    assert "sidecar_session=" in renewed.headers["set-cookie"]


@pytest.mark.parametrize("proto", ["wss", "HTTPS", "https,http", "https, http"])
async def test_a_proxy_that_spells_the_scheme_its_own_way_keeps_nobody_out(world: World, proto: str) -> None:
    browser = world.browser()
    await world.sign_in(browser, world.alice)
    ours = "; ".join(f"{name}={value}" for name, value in browser.jar.items())
    forwarded = {
        "x-forwarded-host": "wiki.club.net:443",
        "x-forwarded-uri": "/x",
        "x-forwarded-method": "GET",
        "x-forwarded-proto": proto,
        "cookie": ours,
    }
    answer = await world.browser().client.get(f"{PUBLIC}/auth/check", headers=forwarded)
    assert (answer.status_code, answer.headers["x-user-did"]) == (200, world.alice.did)


@pytest.mark.parametrize(
    ("uri", "canonical"),
    [
        ("/\u00fc.txt?q=\u00fc".encode(), "/%C3%BC.txt?q=%C3%BC"),
        (b"https://wiki.club.net/a?b=c", "/a?b=c"),
        ("http://wiki.club.net/\u00fc".encode(), "/%C3%BC"),
    ],
)
async def test_an_address_in_a_rarer_form_can_be_signed_in_to_and_come_back_to(
    world: World, uri: bytes, canonical: str
) -> None:
    forwarded = [
        (b"x-forwarded-host", b"wiki.club.net"),
        (b"x-forwarded-uri", uri),
        (b"x-forwarded-method", b"GET"),
        (b"x-forwarded-proto", b"https"),
        *((name.encode(), value.encode()) for name, value in NAVIGATION.items()),
    ]
    browser = world.browser()
    asked = await browser.client.get(f"{PUBLIC}/auth/check", headers=forwarded)
    return_to = query(asked.headers["location"])["return_to"]
    assert return_to == WIKI + canonical
    back = await world.sign_in(browser, world.alice, return_to)
    assert (back.status_code, back.headers["location"]) == (303, WIKI + canonical)


@pytest.mark.parametrize("signed_in", [False, True])
@pytest.mark.parametrize(
    "path", ["/auth/login?return_to=https://wiki.club.net/", "/auth/", "/auth", "/auth/logout"]
)
async def test_a_site_without_our_pages_says_what_is_missing_instead_of_going_in_circles(
    make: Make, signed_in: bool, path: str
) -> None:
    """Caddy asks about our own pages: the site of the public host lacks `import atproto-pages`."""
    world = make(apps={"all": App(hosts=("*.club.net",), allow=("alice.pds.net",))})
    await world.sidecar.start()
    browser = world.browser()
    if signed_in:
        await world.sign_in(browser, world.bob)
    for headers, kind in ((NAVIGATION, "text/html"), ({"accept": "*/*"}, "application/json")):
        answer = await browser.check(PUBLIC + path, headers=headers)
        assert (answer.status_code, code_of(answer)) == (500, "pages_missing")
        assert answer.headers["content-type"].startswith(kind)
        assert "import atproto-pages" in answer.text
        assert "auth.club.net" in answer.text
        assert "location" not in answer.headers
    await world.sidecar.stop()


async def test_the_same_path_on_an_apps_own_host_is_the_apps(world: World) -> None:
    asked = await world.browser().check(f"{WIKI}/auth/login", headers=NAVIGATION)
    assert asked.status_code == 302


async def test_the_check_takes_nothing_from_its_own_query(world: World) -> None:
    client = world.browser().client
    answer = await client.get(
        f"{PUBLIC}/auth/check?return_to=https://evil.net&policy=lax",
        headers={
            "x-forwarded-host": "wiki.club.net",
            "x-forwarded-uri": "/x",
            "x-forwarded-method": "GET",
            "x-forwarded-proto": "https",
            **NAVIGATION,
        },
    )
    expected = f"{PUBLIC}/auth/login?return_to=https://wiki.club.net/x&checked={world.clock.time:.0f}"
    assert answer.headers["location"] == expected


@pytest.mark.parametrize("missing", ["host", "uri", "method", "proto"])
async def test_a_check_without_exactly_one_of_each_forwarded_header_is_refused(
    world: World, missing: str
) -> None:
    forwarded = {
        "x-forwarded-host": "wiki.club.net",
        "x-forwarded-uri": "/x",
        "x-forwarded-method": "GET",
        "x-forwarded-proto": "https",
    }
    name = f"x-forwarded-{missing}"
    client = world.browser().client
    left_out = {key: value for key, value in forwarded.items() if key != name}
    twice = [*forwarded.items(), (name, forwarded[name])]
    for headers, reason in ((list(left_out.items()), "missing"), (twice, "repeated")):
        refused = await client.get(f"{PUBLIC}/auth/check", headers=headers)
        assert refused.status_code == 400
        assert refused.json()["error"] == f"{reason}_x_forwarded_{missing}"


async def test_what_is_no_page_load_gets_401_and_where_to_sign_in(world: World) -> None:
    for method, headers in (
        ("GET", {"sec-fetch-mode": "cors", "sec-fetch-dest": "empty"}),
        ("GET", {"accept": "*/*"}),
        ("POST", {"accept": "application/json"}),
        ("GET", {"upgrade": "websocket", "connection": "upgrade", "accept": "text/html"}),
        ("GET", {"authorization": "Basic eDp5"}),
    ):
        refused = await world.browser().check(f"{WIKI}/api?x=1", method, headers=headers)
        assert refused.status_code == 401
        document = json.loads(refused.text)
        assert document["error"] == "sign_in_required"
        assert document["login_url"] == f"{PUBLIC}/auth/login?return_to=https://wiki.club.net/"
        assert refused.headers["www-authenticate"].startswith("Cookie ")


@pytest.mark.parametrize(
    ("method", "headers"), [("POST", NAVIGATION), ("GET", {**NAVIGATION, "sec-fetch-dest": "iframe"})]
)
async def test_what_cannot_be_sent_again_is_told_that_it_was_not_delivered(
    world: World, method: str, headers: dict[str, str]
) -> None:
    page = await world.browser().check(f"{WIKI}/edit", method, headers=headers)
    assert (page.status_code, code_of(page)) == (401, "sign_in_required")
    assert "not</strong> delivered" in page.text
    policy = page.headers["content-security-policy"]
    assert "form-action 'none'" in policy
    assert "<form" not in page.text
    assert "<script" not in page.text


async def test_a_websocket_of_a_foreign_page_is_refused_and_others_pass(world: World) -> None:
    browser = world.browser()
    await world.sign_in(browser, world.alice)
    upgrade = {"connection": "Upgrade", "upgrade": "websocket"}
    for origin, status in (
        (WIKI, 200),
        ("https://evil.net", 403),
        ("https://board.club.net", 403),
        ("null", 403),
    ):
        answer = await browser.check(f"{WIKI}/ws", headers={**upgrade, "origin": origin})
        assert answer.status_code == status
    assert (await browser.check(f"{WIKI}/ws", headers=upgrade)).status_code == 200  # no browser sends none


async def test_a_host_nobody_configured_is_refused_signed_in_or_not(world: World) -> None:
    browser = world.browser()
    for _ in range(2):
        refused = await browser.check("https://other.club.net/", headers=NAVIGATION)
        assert (refused.status_code, code_of(refused)) == (403, "unknown_host")
        await world.sign_in(browser, world.alice)


async def test_operators_templates_replace_ours_and_are_escaped_too(make: Make, tmp_path: Path) -> None:
    folder = tmp_path / "templates"
    folder.mkdir()
    (folder / "sign_in.html").write_text("<h1>Our club</h1>{{ identifier }}")
    world = make(pages=Pages(templates=folder))
    await world.sidecar.start()
    page = await world.depart(world.browser(), "<script>")
    assert page.text == "<h1>Our club</h1>&lt;script&gt;"
    assert "You aren't signed in" in (await world.browser().submit("/logout", {})).text
    await world.sidecar.stop()


async def test_a_remembered_refusal_is_for_the_same_person_and_page_only(world: World) -> None:
    bob, carol, nobody = world.browser(), world.browser(), world.browser()
    await world.sign_in(bob, world.bob)
    await world.sign_in(carol, world.network.add_account("carol.pds.net"))
    for page in ("/a", "/a", "/b"):
        told = [(browser, (await browser.open(BOARD + page)).text) for browser in (bob, carol)]
        for browser, text in told:
            assert ("bob.pds.net" in text, "carol.pds.net" in text) == (browser is bob, browser is carol)
            assert f"https://board.club.net{page}&amp;switch=1" in text
        location = (await nobody.open(BOARD + page)).headers["location"]
        assert location.partition("&")[0].endswith(f"https://board.club.net{page}")
