"""The gate itself, all parts real: who is let through, what is sent instead, and what reaches the app."""

import json
from http import HTTPStatus
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import websockets
from playwright.async_api import StorageState, expect

from tests.e2e.conftest import Profile
from tests.e2e.journeys import cookie_header, sign_in
from tests.lab import caddy, service
from tests.lab.child import Children
from tests.lab.ports import free_port
from tests.lab.wire import Message, send
from tests.lab.world import ALICE, ANY, APP, AUTH, BOB, TEAM, World

HOST = "app.sidecar.internal"
NAVIGATION = [
    "Sec-Fetch-Mode: navigate",
    "Sec-Fetch-Dest: document",
    "Sec-Fetch-Site: none",
    "Accept: text/html",
]


async def ask(lab: World, request: str, *headers: str, body: str = "", host: str = HOST) -> Message:
    """Send `request`, such as "GET /x", with exactly these headers."""
    lines = [f"{request} HTTP/1.1", f"Host: {host}", "Connection: close", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return await send(lab.port(APP), "\n".join([*lines, "", body]), tls=lab.tls, name=HOST)


def received(answer: Message) -> Message:
    """What the app says it got."""
    seen = json.loads(answer.body)
    return Message(seen["target"], [(name, value) for name, value in seen["headers"]], seen["body"].encode())


async def test_a_page_without_a_session_leads_to_signing_in(lab: World) -> None:
    answer = await ask(lab, "GET /a?b=c", *NAVIGATION)
    assert answer.status == HTTPStatus.FOUND
    [location] = answer.all("location")
    address, _, checked = location.rpartition("&checked=")
    assert address == f"{AUTH}/auth/login?return_to=https://app.sidecar.internal/a?b=c"
    assert checked.isdigit()


@pytest.mark.parametrize("request_line", ["POST /save", "PUT /save", "DELETE /it", "GET /data.json"])
async def test_anything_but_a_page_gets_401_and_the_way_to_sign_in(lab: World, request_line: str) -> None:
    answer = await ask(lab, request_line, "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty", body="lost?")
    assert answer.status == HTTPStatus.UNAUTHORIZED
    assert json.loads(answer.body)["login_url"].startswith(f"{AUTH}/auth/login")


async def test_a_form_that_was_sent_too_late_gets_401_and_a_page(lab: World) -> None:
    answer = await ask(lab, "POST /save", *NAVIGATION, body="a=b")
    assert answer.status == HTTPStatus.UNAUTHORIZED
    assert answer.all("content-type")[0].startswith("text/html")


async def test_a_script_of_a_page_gets_401(profile: Profile, alice: StorageState, lab: World) -> None:
    context = await profile(storage_state=alice)
    page = await context.new_page()
    await page.goto(APP)
    await context.clear_cookies()
    assert await page.evaluate("fetch('/data').then(answer => answer.status)") == HTTPStatus.UNAUTHORIZED
    posted = "fetch('/save', {method: 'POST', body: 'x'}).then(answer => answer.status)"
    assert await page.evaluate(posted) == HTTPStatus.UNAUTHORIZED


async def test_a_body_reaches_the_app_whole(lab: World, alice: StorageState) -> None:
    answer = await ask(lab, "POST /save", f"Cookie: {cookie_header(alice)}", body="x" * 100_000)
    assert answer.status == HTTPStatus.OK
    assert received(answer).body == b"x" * 100_000


@pytest.mark.parametrize(
    "forged",
    [
        ["X-User-DID: did:plc:forged", "X-User-Handle: forged.test"],
        ["Connection: X-User-DID, X-User-Handle", "X-User-DID: did:plc:forged"],
        ["X_User_DID: did:plc:forged", "X.User.Handle: forged.test", "X-User_Handle: forged.test"],
        ["X-User-DID: did:plc:forged", "X-User-DID: did:plc:forged", "X-USER-HANDLE: forged.test"],
    ],
    ids=["plain", "by Connection", "other spellings", "several"],
)
async def test_forged_identity_headers_never_reach_the_app(
    lab: World, alice: StorageState, forged: list[str]
) -> None:
    answer = await ask(lab, "GET /", f"Cookie: {cookie_header(alice)}", *forged)
    assert answer.status == HTTPStatus.OK
    request = received(answer)
    assert request.all("x-user-did") == [lab.did(ALICE)]
    assert request.all("x-user-handle") == [ALICE.handle]
    assert "forged" not in str(request.headers)


async def test_forged_identity_headers_let_nobody_in(lab: World) -> None:
    answer = await ask(lab, "GET /", f"X-User-DID: {lab.did(ALICE)}", f"X-User-Handle: {ALICE.handle}")
    assert answer.status == HTTPStatus.UNAUTHORIZED


@pytest.mark.parametrize(
    "forged",
    [
        ["X-Forwarded-Host: any.sidecar.internal"],
        ["X-Forwarded-Uri: /auth/login", "X-Forwarded-Method: GET"],
        ["X-Original-URL: /auth/login", "Forwarded: host=auth.sidecar.internal"],
        ["Connection: X-Forwarded-Uri, X-Forwarded-Host, X-Forwarded-Method, X-Forwarded-Proto"],
    ],
    ids=["host", "uri", "others", "by Connection"],
)
async def test_what_a_client_says_of_the_request_is_not_believed(lab: World, forged: list[str]) -> None:
    answer = await ask(lab, "GET /secret", *NAVIGATION, *forged)
    assert answer.status == HTTPStatus.FOUND
    [location] = answer.all("location")
    assert location.rpartition("&")[0].endswith("return_to=https://app.sidecar.internal/secret")


async def test_the_app_gets_its_own_cookies_and_none_of_ours(profile: Profile, alice: StorageState) -> None:
    page = await (await profile(storage_state=alice)).new_page()
    await page.goto(APP)  # the app sets a cookie of its own
    seen = await page.evaluate("fetch('/').then(answer => answer.json())")
    assert [value for name, value in seen["headers"] if name == "cookie"] == ["own=kept"]


@pytest.mark.parametrize("app", [APP, ANY], ids=["example", "renewing on any request"])
async def test_our_cookies_are_taken_out_in_every_spelling_and_the_apps_own_stay(
    lab: World, alice: StorageState, app: str
) -> None:
    host = app.removeprefix("https://")
    ours = "; ".join(each for each in cookie_header(alice).split("; ") if "sidecar" in each)
    own = 'a=1; b="x y"; c=%7B%7D; d={http.request.uri}'
    for sent, left in (
        (f"{ours}; {own}", [own]),
        (f"sidecar.session =x; {own}; {ours}; __Host-sidecar_x=y", [own]),
        (ours, []),
    ):
        lines = ["GET / HTTP/1.1", f"Host: {host}", "Connection: close, Cookie", f"Cookie: {sent}", "", ""]
        answer = await send(lab.port(app), "\n".join(lines), tls=lab.tls, name=host)
        assert answer.status == HTTPStatus.OK
        assert received(answer).all("cookie") == left


async def test_what_a_signed_in_person_gets_is_for_no_shared_cache(lab: World, alice: StorageState) -> None:
    answer = await ask(lab, "GET /", f"Cookie: {cookie_header(alice)}")
    assert answer.all("cache-control") == ["private"]


@pytest.mark.parametrize(
    ("target", "uri"),
    [
        ("/\xc3\xbc.txt?q=1", "/%C3%BC.txt?q=1"),
        (f"https://{HOST}/a?b=c", "/a?b=c"),
        (f"http://{HOST}", "/"),
        (f"HTTPS://{HOST}/\xc3\xbc", "/%C3%BC"),
    ],
)
async def test_raw_utf8_and_absolute_addresses_are_read(
    lab: World, alice: StorageState, target: str, uri: str
) -> None:
    answer = await ask(lab, f"GET {target}", *NAVIGATION)
    assert answer.status == HTTPStatus.FOUND
    [location] = answer.all("location")
    assert parse_qs(urlsplit(location).query)["return_to"] == [f"{APP}{uri}"]
    passed = await ask(lab, f"GET {target}", f"Cookie: {cookie_header(alice)}")
    assert passed.status == HTTPStatus.OK


async def test_an_absolute_address_of_another_host_is_that_hosts(lab: World, alice: StorageState) -> None:
    cookies = f"Cookie: {cookie_header(alice)}"
    for target in ("https://auth.sidecar.internal/", "https://elsewhere.sidecar.internal/"):
        answer = await ask(lab, f"GET {target}", cookies)
        assert not answer.body.startswith(b"{")  # the app's answer


@pytest.mark.parametrize("mark", ["!", "+", "~", "'", "|"])
async def test_a_name_that_some_server_folds_into_an_identity_header_is_refused(
    lab: World, alice: StorageState, mark: str
) -> None:
    for name in ("X-User-DID", "Remote-User", "X-Otterwiki-Permissions"):
        forged = f"{name.replace('-', mark)}: forged"
        answer = await ask(lab, "GET /", f"Cookie: {cookie_header(alice)}", forged)
        assert answer.status == HTTPStatus.BAD_REQUEST


@pytest.mark.parametrize("path", ["/auth/check", "/AUTH//check", "/auth/%63heck", "/x/../auth/check?y"])
async def test_the_check_is_not_for_outsiders(lab: World, alice: StorageState, path: str) -> None:
    forwarded = ["X-Forwarded-Uri: /", "X-Forwarded-Method: GET", f"Cookie: {cookie_header(alice)}"]
    for host in (HOST, "auth.sidecar.internal"):
        answer = await ask(lab, f"GET {path}", *forwarded, host=host)
        assert answer.status == HTTPStatus.NOT_FOUND
        assert not answer.all("x-user-did")


async def test_a_rule_that_names_others_refuses_with_a_page_that_says_who_you_are(
    profile: Profile, lab: World
) -> None:
    page = await (await profile()).new_page()
    await page.goto(TEAM)
    await sign_in(page, BOB)
    await page.wait_for_url(f"{TEAM}/")
    await expect(page.get_by_text(BOB.handle).first).to_be_visible()
    await expect(page.locator(f"a[href^='{AUTH}/auth/login']")).to_be_visible()
    cookies = cookie_header(await page.context.storage_state())
    refused = await ask(lab, "GET /data", f"Cookie: {cookies}", host="team.sidecar.internal")
    assert refused.status == HTTPStatus.FORBIDDEN
    assert json.loads(refused.body)["did"] == lab.did(BOB)


async def test_the_sidecars_pages_on_an_apps_host_lead_to_the_public_one(lab: World) -> None:
    answer = await ask(lab, "GET /auth/login", *NAVIGATION)
    assert answer.status in (HTTPStatus.FOUND, HTTPStatus.SEE_OTHER, HTTPStatus.TEMPORARY_REDIRECT)
    assert answer.all("location")[0].startswith(f"{AUTH}/auth/login")
    assert (await ask(lab, "POST /auth/login", body="x=y")).status == HTTPStatus.MISDIRECTED_REQUEST


async def test_a_site_without_our_pages_says_so_instead_of_going_in_circles(tmp_path: Path) -> None:
    port, upstream = free_port(), free_port()
    site = f"http://127.0.0.1:{port}"
    config = tmp_path / "sidecar.toml"
    config.write_text(
        f'public_url = "{site}"\n[store]\nkind = "memory"\n'
        f'[apps.it]\nhosts = ["127.0.0.1:{port}"]\nallow = ["*"]\n'
    )
    file = caddy.beside_example(tmp_path, (site, "import atproto 127.0.0.1:9"))
    env = {"SIDECAR_SITE": f"http://127.0.0.1:{free_port()}", "SIDECAR_UPSTREAM": f"127.0.0.1:{upstream}"}
    listen = {"SIDECAR_SERVER_LISTEN": env["SIDECAR_UPSTREAM"]}
    async with Children() as children:
        await service.start(children, config, port=upstream, log=tmp_path / "sidecar.log", env=listen)
        await caddy.start(children, tmp_path, file, port=port, env=env)

        async def visit(target: str) -> Message:
            lines = [
                f"GET {target} HTTP/1.1",
                f"Host: 127.0.0.1:{port}",
                "Connection: close",
                *NAVIGATION,
                "",
                "",
            ]
            return await send(port, "\n".join(lines))

        [sign_in_page] = (await visit("/wiki")).all("location")
        answer = await visit(sign_in_page.removeprefix(site))
        assert answer.status == HTTPStatus.INTERNAL_SERVER_ERROR
        assert answer.all("location") == []
        assert b"import atproto-pages" in answer.body


# WebSockets


def socket(lab: World, *, cookies: str = "", origin: str = APP) -> websockets.connect:
    return websockets.connect(
        f"wss://{HOST}/ws",
        host="127.0.0.1",
        port=lab.port(APP),
        ssl=lab.tls,
        proxy=None,
        origin=websockets.Origin(origin),
        additional_headers={"Cookie": cookies} if cookies else None,
    )


async def test_a_websocket_passes_the_gate_and_knows_who_it_is(lab: World, alice: StorageState) -> None:
    async with socket(lab, cookies=cookie_header(alice)) as connection:
        assert await connection.recv() == lab.did(ALICE)
        await connection.send("hello")
        assert await connection.recv() == "hello"


async def test_a_page_opens_a_websocket_through_the_gate(
    profile: Profile, alice: StorageState, lab: World
) -> None:
    page = await (await profile(storage_state=alice)).new_page()
    await page.goto(APP)
    script = """new Promise((said, failed) => {
        const socket = new WebSocket(`wss://${location.host}/ws`);
        socket.onmessage = event => said(event.data);
        socket.onerror = failed;
    })"""
    assert await page.evaluate(script) == lab.did(ALICE)


@pytest.mark.parametrize(
    ("signed_in", "origin", "status"),
    [(False, APP, HTTPStatus.UNAUTHORIZED), (True, "https://team.sidecar.internal", HTTPStatus.FORBIDDEN)],
    ids=["no session", "another site's page"],
)
async def test_a_websocket_that_may_not_is_refused(
    lab: World, alice: StorageState, signed_in: bool, origin: str, status: HTTPStatus
) -> None:
    with pytest.raises(websockets.InvalidStatus) as refused:
        async with socket(lab, cookies=cookie_header(alice) if signed_in else "", origin=origin):
            pass
    assert refused.value.response.status_code == status
