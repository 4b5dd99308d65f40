"""What Caddyfile.example makes of odd requests, byte by byte: real Caddy between a stand-in sidecar and app.

The stand-in lets in whoever has the cookie `sidecar_session=in`. With the real sidecar: test_gate.py.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import websockets

from sidecar.access.foreign_headers import STRIPPED
from sidecar.access.identity_headers import MARK, NAMES
from sidecar.sessions import cookie_line
from tests.lab import caddy
from tests.lab.child import Children
from tests.lab.node import ROOT
from tests.lab.ports import free_port
from tests.lab.wire import Answer, Message, recording, send

DID = "did:plc:ewvi7nxzyoun6zhxrhs64oiz"
IDENTITY = [("X-User-Auth", "signed-in"), ("X-User-DID", DID), ("X-User-Handle", "alice.test")]
ALICE = "Cookie: sidecar_session=in"
DEPLOYMENT = ROOT / "docs" / "deployment.md"


def sidecar(request: Message) -> Answer:
    if request.start.partition("?")[0] == "/auth/check":
        cookies = request.all("cookie")
        if any("sidecar_session=in" in cookie for cookie in cookies):
            left = cookie_line.for_app([cookie.encode("latin-1") for cookie in cookies]).decode("latin-1")
            own = [("Cookie", left)] if left else []
            return 200, [*IDENTITY, *own, ("Set-Cookie", "sidecar_session=renewed; Path=/")], b""
        return 302, [("Location", "/auth/login")], b""
    return 200, [("Content-Type", "text/plain")], b"a page of the sidecar"


def app(request: Message) -> Answer:
    """`/cache/…`: what stands there as its Cache-Control."""
    cache = [
        ("Cache-Control", each) for each in re.findall(r"(?<=/cache/)[^/]+", request.start.replace("+", " "))
    ]
    cdns = ["CDN-Cache-Control", "Cloudflare-CDN-Cache-Control", "Surrogate-Control", "X-Accel-Expires"]
    more = [(name, "max-age=600") for name in cdns] if "/cdn" in request.start else []
    return 200, [("Set-Cookie", "own=1; Path=/"), *cache, *more], json.dumps(request.headers).encode()


@dataclass
class Gate:
    port: int
    renews: bool
    """Whether it is the form that renews on any request."""
    asked: list[Message]
    """What the sidecar got."""
    passed: list[Message]
    """What the app got."""

    async def get(self, target: str = "/", *headers: str) -> Message:
        lines = [
            f"GET {target} HTTP/1.1",
            f"Host: 127.0.0.1:{self.port}",
            "Connection: close",
            *headers,
            "",
            "",
        ]
        return await send(self.port, "\n".join(lines))

    async def as_alice(self, *headers: str) -> Message:
        """What the app gets of Alice's request with these headers."""
        answer = await self.get("/", ALICE, *headers)
        assert answer.status == 200
        return self.passed[-1]


@asynccontextmanager
async def running(
    folder: Path,
    *,
    renews: bool = False,
    behind: Sequence[str] = (),
    id_path: str = "",
    at_its_address: Callable[[Message], Answer] = sidecar,
    lines: Sequence[str] = (),
) -> AsyncIterator[Gate]:
    """The example, or the form that renews on any request.

    `behind`: networks of a proxy before Caddy. `id_path`: where the client metadata is, if not at its usual
    place. `at_its_address`: what answers in the sidecar's place. `lines`: another site than the form's own,
    in which `APP` stands for the app's address.
    """
    port, sidecar_port, app_port = free_port(), free_port(), free_port()
    site = f"http://127.0.0.1:{port}"
    env = {
        "SIDECAR_SITE": f"http://127.0.0.1:{free_port()}" if renews or lines else site,
        "SIDECAR_UPSTREAM": f"127.0.0.1:{sidecar_port}",
        "APP_UPSTREAM": f"127.0.0.1:{app_port}",
        **({"SIDECAR_CLIENT_ID_PATH": id_path} if id_path else {}),
    }
    lines = lines or (("import atproto-pages", "import atproto-renewing APP") if renews else ())
    block = (site, *(line.replace("APP", f"127.0.0.1:{app_port}") for line in lines))
    file = caddy.beside_example(folder, block) if lines else caddy.EXAMPLE
    async with (
        recording(sidecar_port, at_its_address) as asked,
        recording(app_port, app) as passed,
        Children() as children,
    ):
        await caddy.start(children, folder, file, port=port, env=env, behind=behind, h2c=True)
        yield Gate(port, renews, asked, passed)


@pytest_asyncio.fixture(loop_scope="session", scope="module", params=["example", "renewing"])
async def caddy_and_all(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Gate]:
    async with running(tmp_path_factory.mktemp("caddy"), renews=request.param == "renewing") as gate:
        yield gate


@pytest.fixture
def gate(caddy_and_all: Gate) -> Gate:
    caddy_and_all.asked.clear()
    caddy_and_all.passed.clear()
    return caddy_and_all


@pytest.mark.parametrize("renews", [False, True])
async def test_client_metadata_at_a_path_of_the_operators_choice_comes_before_the_app(
    tmp_path: Path, renews: bool
) -> None:
    async with running(tmp_path, renews=renews, id_path="/oauth-client-metadata.json") as gate:
        for target in ("/oauth-client-metadata.json", "/auth/jwks.json"):
            assert (await gate.get(target)).body == b"a page of the sidecar"
        assert (await gate.get("/oauth-client-metadata.json.bak")).status == 302
        assert gate.passed == []


async def test_a_path_that_is_not_chosen_for_client_metadata_is_the_apps_own(gate: Gate) -> None:
    await gate.get("/oauth-client-metadata.json", ALICE)
    assert len(gate.passed) == 1


async def test_without_a_session_nothing_reaches_the_app(gate: Gate) -> None:
    answer = await gate.get("/")
    assert (answer.status, answer.all("location")) == (302, ["/auth/login"])
    assert gate.passed == []


async def test_the_app_gets_each_identity_header_once(gate: Gate) -> None:
    request = await gate.as_alice()
    assert request.all("x-user-did") == [DID]
    assert request.all("x-user-handle") == ["alice.test"]


@pytest.mark.parametrize(
    "forged",
    [
        ["X-User-DID: did:plc:forged"],
        ["X-User-DID: did:plc:forged", "X-User-DID: did:plc:forged", "x-user-handle: forged.test"],
        ["Connection: X-User-DID", "X-User-DID: did:plc:forged"],
        ["Connection: X-User-DID, X-User-Handle"],
        ["Connection: keep-alive, x-user-handle", "X-User-Handle: forged.test"],
        ["X_User_DID: did:plc:forged", "X_User_Handle: forged.test"],
        ["X-User_DID: did:plc:forged", "X_User-Handle: forged.test"],
        ["X.User.DID: did:plc:forged", "X.User.Handle: forged.test"],
        ["X-User-Auth: forged", "X_User_Auth: forged", "Connection: X-User-Auth"],
    ],
    ids=" + ".join,
)
async def test_no_forged_identity_header_reaches_the_app(gate: Gate, forged: list[str]) -> None:
    request = await gate.as_alice(*forged)
    names = {name.replace("_", "-").replace(".", "-"): name for name, _ in request.headers}
    assert "forged" not in " ".join(value for _, value in request.headers)
    assert (names["x-user-did"], names["x-user-handle"]) == ("x-user-did", "x-user-handle")
    assert request.all("x-user-did") == [DID]
    assert request.all("x-user-handle") == ["alice.test"]
    assert request.all("x-user-auth") == ["signed-in"]


# Whatever isn't the sidecar opens nothing.


def says_yes(_: Message) -> Answer:
    return 200, [], b"hello"


def says_no_content(_: Message) -> Answer:
    return 204, [], b""


def echoes(request: Message) -> Answer:
    """All that it got, as headers of its own."""
    framing = ("content-length", "connection", "transfer-encoding")
    return 200, [(name, value) for name, value in request.headers if name not in framing], b""


def marks(*headers: tuple[str, str]) -> Callable[[Message], Answer]:
    return lambda _: (200, list(headers), b"")


@pytest.mark.parametrize("renews", [False, True], ids=["example", "renewing"])
@pytest.mark.parametrize(
    "program",
    [
        says_yes,
        says_no_content,
        echoes,
        marks(("X-User-DID", DID), ("X-User-Handle", "alice.test")),
        marks(("X-User-Auth", "signed-in"), ("X-User-Handle", "alice.test")),
        marks(("X-User-Auth", "signed-in"), ("X-User-DID", ""), ("X-User-Handle", "alice.test")),
        marks(("X-User-Auth", "signed-in"), ("X-User-DID", "alice")),
        marks(("X-User-Auth", "yes"), ("X-User-DID", DID)),
        marks(("X-User-Auth", "SIGNED-IN"), ("X-User-DID", DID)),
        marks(("X-User-Auth", "signed-in, signed-in"), ("X-User-DID", DID)),
        marks(("X-User-Auth", "signed-in"), ("X-User-Auth", "no"), ("X-User-DID", DID)),
        marks(("X-User-Auth", "anonymous"), ("X-User-DID", DID)),
    ],
)
async def test_another_program_at_the_sidecars_address_opens_nothing_and_the_answer_says_so(
    tmp_path: Path, renews: bool, program: Callable[[Message], Answer]
) -> None:
    async with running(tmp_path, renews=renews, at_its_address=program) as gate:
        forged = ("X-User-Auth: signed-in", f"X-User-DID: {DID}", "X-User-Handle: alice.test", ALICE)
        for headers in (
            (),
            forged,
            (*forged, "Connection: X-User-Auth, X-User-DID"),
            ("X_User_Auth: signed-in",),
        ):
            answer = await gate.get("/", *headers)
            assert answer.status == 502
            assert b"another program than its sign-in gate" in answer.body
        assert gate.asked != []
        assert gate.passed == []


# The order of the one route, and what else is read off the configuration.


def handlers(node: Any) -> Iterator[dict[str, Any]]:
    """Every handler in the order in which requests meet them."""
    for route in node:
        for each in route["handle"]:
            if each["handler"] == "subroute":
                yield from handlers(each["routes"])
            else:
                yield {**each, "match": route.get("match")}


def steps(config: dict[str, Any], address: str) -> Iterator[str]:
    for each in handlers(config["apps"]["http"]["servers"]["srv0"]["routes"]):
        request = each.get("request", {})
        if "delete" in request:
            [name] = request["delete"]
            yield "strip" if name in STRIPPED else f"delete {name}"
        elif "set" in request:
            yield f"set {next(iter(request['set']))}"
        elif each["handler"] == "headers":
            yield "cache rule"
        elif each["handler"] == "static_response" and each["match"]:
            yield f"respond {each['status_code']}"
        elif each["handler"] == "reverse_proxy":
            yield "app" if each["upstreams"] == [{"dial": address}] else "check"


@pytest.mark.parametrize("snippet", ["atproto", "atproto-renewing"])
async def test_everything_happens_in_the_one_order_that_was_proven(tmp_path: Path, snippet: str) -> None:
    file = caddy.beside_example(tmp_path, ("http://127.0.0.1:1", f"import {snippet} 127.0.0.1:2"))
    config = await caddy.adapt(file, {"SIDECAR_SITE": "http://127.0.0.1:3"})
    servers = config["apps"]["http"]["servers"]
    servers["srv0"] = next(each for each in servers.values() if each["listen"] == ["127.0.0.1:1"])
    assert list(steps(config, "127.0.0.1:2")) == [
        "delete X-User-Auth",
        *["strip"] * len(STRIPPED),
        "delete Upgrade",
        "set Upgrade",
        "set Connection",
        "delete Connection",
        "check",
        "respond 502",
        "cache rule",
        "app",
    ]


async def test_the_list_that_is_stripped_is_the_published_one() -> None:
    snippet = caddy.EXAMPLE.read_text().partition("(atproto-strip) {\n")[2].partition("\n}")[0]
    assert re.findall(r"^\trequest_header -(\S+)$", snippet, re.MULTILINE) == list(STRIPPED)
    assert f"copy_headers {MARK} {' '.join(NAMES)} Cookie\n" in caddy.EXAMPLE.read_text()


@pytest.mark.parametrize("snippet", ["atproto", "atproto-renewing"])
async def test_a_second_address_is_an_error_and_a_block_is_the_proxys(tmp_path: Path, snippet: str) -> None:
    site, env = "http://127.0.0.1:1", {"SIDECAR_SITE": "http://127.0.0.1:3"}
    for more in ("127.0.0.1:4", "/x", "@x", "Remote-User", "127.0.0.1:4 127.0.0.1:5"):
        file = caddy.beside_example(tmp_path, (site, f"import {snippet} 127.0.0.1:2 {more}"))
        with pytest.raises(ValueError, match="unexpected line ending after"):
            await caddy.adapt(file, env)
    lines = (f"import {snippet} 127.0.0.1:2 {{", "header_up Host localhost", "stream_timeout 5m", "}")
    config = json.dumps(await caddy.adapt(caddy.beside_example(tmp_path, (site, *lines)), env))
    assert '"set": {"Host": ["localhost"]}' in config
    assert f'"stream_timeout": {5 * 60 * 10**9}' in config


@pytest.mark.parametrize(
    "block", re.findall(r"^```caddyfile\n(.*?)^```", DEPLOYMENT.read_text(), re.MULTILINE | re.DOTALL)
)
async def test_caddy_takes_every_example_of_the_deployment_guide(tmp_path: Path, block: str) -> None:
    shown = f"wiki.example.net {{\n{block}}}\n" if block.startswith("route") else block
    if block.startswith("{"):  # global options, which the example has too
        shown, imports = f"{block}http://127.0.0.1:1 {{\n}}\n", ""
    else:
        imports = f"import {caddy.EXAMPLE}\nimport {caddy.RENEWING}\n"
    file = tmp_path / "Caddyfile"
    file.write_text(imports + shown)
    assert await caddy.adapt(file, {})


async def test_every_app_has_an_end_to_its_streams() -> None:
    config = await caddy.adapt(caddy.EXAMPLE, {"APP_UPSTREAM": "127.0.0.1:2"})
    routes = next(iter(config["apps"]["http"]["servers"].values()))["routes"]
    [app] = [each for each in handlers(routes) if each.get("upstreams") == [{"dial": "127.0.0.1:2"}]]
    assert app["stream_timeout"] == 4 * 3600 * 10**9


@pytest.mark.parametrize(
    "upgrade",
    [
        ["Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABkAAQAAP__"],
        ["Upgrade: h2c, websocket", "Connection: Upgrade"],
        ["Upgrade: SPDY/3.1", "Connection: Upgrade"],
        ["Upgrade: TLS/1.3", "Connection: Upgrade"],
        ["Upgrade: h2c"],
        ["Upgrade: websockets", "Connection: Upgrade"],
    ],
    ids=" + ".join,
)
async def test_no_tunnel_but_a_websocket_is_opened_past_the_check(gate: Gate, upgrade: list[str]) -> None:
    """Through one, a signed-in person could send the app requests with another's identity headers."""
    request = await gate.as_alice(*upgrade)
    assert request.all("upgrade") == []
    assert "upgrade" not in str(request.all("connection")).lower()


async def test_a_websockets_request_asks_for_nothing_else(gate: Gate) -> None:
    for upgrade in (["WebSocket"], ["websocket", "h2c"], ["h2c", "websocket"]):
        request = await gate.as_alice(
            "Connection: Cookie, Upgrade", *(f"Upgrade: {each}" for each in upgrade)
        )
        assert request.all("upgrade") == ["websocket"]
        assert [each.lower() for each in request.all("connection")] == ["upgrade"]


async def test_on_an_open_path_nobody_is_anybody_and_the_app_gets_no_session(tmp_path: Path) -> None:
    """As docs/deployment.md shows it."""
    lines = ("handle /open {", "import atproto-open APP", "}", "import atproto APP")
    async with running(tmp_path, lines=lines) as gate:
        forged = (
            "X-User-DID: forged",
            "X-User-Handle: forged",
            "X-User-Auth: signed-in",
            "Remote-User: forged",
        )
        answer = await gate.get("/open", *forged, "Cookie: a=1; __Host-sidecar_session=in; sidecar_x=y; b=2")
        assert answer.status == 200
        [passed] = gate.passed
        names = [name for name, _ in passed.headers]
        assert not {"x-user-did", "x-user-handle", "x-user-auth", "remote-user"} & set(names)
        assert passed.all("cookie") == ["a=1; b=2"]
        assert gate.asked == []
        assert (await gate.get("/opened", *forged)).status == 302


@pytest.mark.parametrize("snippet", ["atproto", "atproto-renewing"])
async def test_a_websocket_gets_the_apps_own_cookies_and_ends_at_its_time(
    tmp_path: Path, snippet: str
) -> None:
    port = free_port()

    async def echo(connection: websockets.ServerConnection) -> None:
        headers = connection.request.headers if connection.request else {}
        await connection.send(json.dumps([headers.get("Cookie"), headers.get("X-User-DID")]))
        async for message in connection:
            await connection.send(message)

    lines = (f"import {snippet} 127.0.0.1:{port} {{", "stream_timeout 1s", "}")
    async with websockets.serve(echo, "127.0.0.1", port), running(tmp_path, lines=lines) as gate:
        cookies = {"Cookie": "own=1; sidecar_session=in", "Connection": "Cookie, X-User-DID"}
        url = f"ws://127.0.0.1:{gate.port}/"
        async with websockets.connect(url, proxy=None, additional_headers=cookies) as connection:
            assert json.loads(await connection.recv()) == ["own=1", DID]
            await connection.send("still open")
            assert await connection.recv() == "still open"
            async with asyncio.timeout(10):
                await connection.wait_closed()


@pytest.mark.parametrize(
    ("sent", "received"),
    [
        ("/", ["private"]),
        ("/cache/public", ["private", "private"]),
        ("/cache/PUBLIC,+max-age=60,+immutable", ["private, max-age=60, immutable", "private"]),
        ("/cache/max-age=60/cache/Public", ["max-age=60", "private", "private"]),
        ("/cache/no-store", ["no-store", "private"]),
        ("/cache/x-publication=1", ["x-publication=1", "private"]),
    ],
)
async def test_what_a_signed_in_visitor_got_is_private(gate: Gate, sent: str, received: list[str]) -> None:
    answer = await gate.get(sent, ALICE)
    assert answer.all("cache-control") == received


async def test_what_content_delivery_networks_obey_before_cache_control_is_gone(gate: Gate) -> None:
    answer = await gate.get("/cdn", ALICE)
    assert not [name for name, value in answer.headers if value == "max-age=600"]


async def test_public_assets_can_be_left_out_of_the_rule(tmp_path: Path) -> None:
    """As docs/deployment.md shows it."""
    assets = ("route /cache/* {", "import atproto-check", "import atproto-app APP", "}", "import atproto APP")
    async with running(tmp_path, lines=assets) as gate:
        assert (await gate.get("/cache/public", ALICE)).all("cache-control") == ["public"]
        assert (await gate.get("/other", ALICE)).all("cache-control") == ["private"]
        assert (await gate.get("/cache/public")).status == 302


@pytest.mark.parametrize(
    ("cookie", "left"),
    [
        ("sidecar_session=in", []),
        ("sidecar_session=in; own=1", ["own=1"]),
        ("own=1; sidecar_session=in", ["own=1"]),
        ("a=1;sidecar_session=in;b=2", ["a=1;b=2"]),
        ("sidecar_session=in; __Host-sidecar_x=x; sidecar.session =y; sidecar_attempt_0aF=z; b=2", ["b=2"]),
        (
            "sidecar_session=in; notsidecar=1; sidecars_own=2; my-sidecar=3",
            ["notsidecar=1; sidecars_own=2; my-sidecar=3"],
        ),
        (
            'a="x y"; sidecar_session=in; b=sidecar=1; c={http.request.uri}, \\"',
            ['a="x y"; b=sidecar=1; c={http.request.uri}, \\"'],
        ),
        ("sidecar_session=in; a=\xc3\xbc\xff; b=\tx", ["a=\xc3\xbc\xff; b=\tx"]),
        (f"sidecar_session=in; long={'x' * 12000}", [f"long={'x' * 12000}"]),
    ],
)
async def test_the_app_gets_its_own_cookies_and_none_of_ours(
    gate: Gate, cookie: str, left: list[str]
) -> None:
    answer = await gate.get("/", f"Cookie: {cookie}")
    assert answer.status == 200
    assert gate.passed[-1].all("cookie") == left


async def test_our_cookies_are_taken_out_of_every_cookie_header_and_one_line_is_left(gate: Gate) -> None:
    request = await gate.as_alice(
        "Cookie: own=1; __Host-sidecar_x=x", "Cookie: __Secure-sidecar_y=y; other=2"
    )
    assert request.all("cookie") == ["own=1; other=2"]


@pytest.mark.parametrize("connection", ["Cookie", "cookie, X-User-Auth", "close, Cookie"])
async def test_a_connection_header_takes_no_cookie_from_the_check_or_the_app(
    gate: Gate, connection: str
) -> None:
    answer = await gate.get("/", f"Connection: {connection}", "Cookie: own=1; sidecar_session=in")
    assert answer.status == 200
    assert gate.asked[-1].all("cookie") == ["own=1; sidecar_session=in"]
    assert gate.passed[-1].all("cookie") == ["own=1"]
    refused = await gate.get("/", f"Connection: {connection}", "Cookie: own=1")
    assert refused.status == 302


@pytest.mark.parametrize("renews", [False, True], ids=["example", "renewing"])
async def test_the_cookies_are_ours_to_take_out_whatever_the_owner_writes_after_the_check(
    tmp_path: Path, renews: bool
) -> None:
    own = ("route {", "import atproto-check", "reverse_proxy APP", "}")
    lines = ("import atproto-renewing APP {", "header_up Cookie +x", "}") if renews else own
    async with running(tmp_path, renews=renews, lines=lines) as gate:
        await gate.get("/", "Cookie: own=1; sidecar_session=in; sidecar.session=y")
        assert "sidecar" not in str(gate.passed[-1].headers)


async def test_the_apps_own_cookies_reach_the_browser(gate: Gate) -> None:
    answer = await gate.get("/", ALICE)
    assert "own=1; Path=/" in answer.all("set-cookie")


@pytest.mark.parametrize(
    "target",
    [
        "/auth/check",
        "/auth/check?x=1",
        "/auth/check/",
        "/auth/check/more",
        "/AUTH/Check",
        "/auth/%63heck",
        "/auth%2Fcheck",
        "/%61uth/%63%68eck",
        "//auth//check",
        "/auth//check",
        "/auth/./check",
        "/x/../auth/check",
        "/auth/x/%2e%2e/check",
        "http://127.0.0.1/auth/check",
    ],
)
async def test_the_check_is_not_reached_from_outside(gate: Gate, target: str) -> None:
    answer = await gate.get(target, "X-Forwarded-Uri: /", "X-Forwarded-Method: GET", ALICE)
    assert answer.status == 404
    assert gate.asked == []


@pytest.mark.parametrize(
    "target", ["/auth/check;x", "/auth\\check", "/auth/%2563heck", "/auth/checks", "/auth;/check"]
)
async def test_what_only_looks_like_the_check_is_none(gate: Gate, target: str) -> None:
    await gate.get(target, "X-Forwarded-Uri: /", "X-Forwarded-Method: GET", ALICE)
    asked = gate.asked[-1]
    if asked.start == "/auth/check":  # the gate's own, for a page of the app
        assert asked.all("x-forwarded-uri") == [target]
    else:
        assert asked.start == target
        assert asked.all("x-forwarded-uri") == []


async def test_pages_of_the_sidecar_get_none_of_the_clients_forwarded_values(gate: Gate) -> None:
    await gate.get(
        "/auth/login?return_to=%2Fx",
        "X-Forwarded-Uri: /forged",
        "X-Forwarded-Method: FORGED",
        "X-Forwarded-Host: forged.test",
        "X-Forwarded-Proto: forged",
        "X-Forwarded-For: 203.0.113.9",
    )
    request = gate.asked[-1]
    assert request.start == "/auth/login?return_to=%2Fx"
    assert request.all("x-forwarded-uri") == request.all("x-forwarded-method") == []
    assert request.all("x-forwarded-host") == [f"127.0.0.1:{gate.port}"]
    assert request.all("x-forwarded-proto") == ["http"]
    assert request.all("x-forwarded-for") == ["127.0.0.1"]


@pytest.mark.parametrize("path", ["/auth", "/auth/", "/auth/login", "/auth/x/../login"])
async def test_the_prefix_belongs_to_the_sidecar(gate: Gate, path: str) -> None:
    answer = await gate.get(path)
    assert answer.body == b"a page of the sidecar"


async def test_the_check_is_asked_with_the_original_request(gate: Gate) -> None:
    await gate.get(
        "/a%2Fb/../c//d;p=%41?x=1&policy=lax",
        "X-Forwarded-Uri: /forged",
        "X-Forwarded-Uri: /forged-again",
        "X-Forwarded-Method: FORGED",
        "X-Forwarded-Host: forged.test",
        "X-Forwarded-Proto: forged",
        "X-Forwarded-For: 203.0.113.9",
    )
    [check] = gate.asked
    assert check.start == "/auth/check"
    assert check.all("x-forwarded-uri") == ["/a%2Fb/../c//d;p=%41?x=1&policy=lax"]
    assert check.all("x-forwarded-method") == ["GET"]
    assert check.all("x-forwarded-host") == [f"127.0.0.1:{gate.port}"]
    assert check.all("x-forwarded-proto") == ["http"]
    assert check.all("x-forwarded-for") == ["127.0.0.1"]


async def test_a_connection_header_takes_no_forwarded_value_from_the_check(gate: Gate) -> None:
    names = [
        "X-Forwarded-Uri",
        "X-Forwarded-Method",
        "X-Forwarded-Host",
        "X-Forwarded-Proto",
        "X-Forwarded-For",
    ]
    await gate.get("/page", f"Connection: {', '.join(names)}", *(f"{name}: forged" for name in names))
    [check] = gate.asked
    assert [check.all(name) for name in names] == [
        ["/page"],
        ["GET"],
        [f"127.0.0.1:{gate.port}"],
        ["http"],
        ["127.0.0.1"],
    ]


async def test_a_body_reaches_the_app_and_not_the_check(gate: Gate) -> None:
    head = (
        f"POST / HTTP/1.1\nHost: 127.0.0.1:{gate.port}\nCookie: sidecar_session=in\nContent-Length: 4\n\nbody"
    )
    await send(gate.port, head)
    assert [message.body for message in gate.asked] == [b""]
    assert [message.body for message in gate.passed] == [b"body"]
    assert gate.asked[0].all("x-forwarded-method") == ["POST"]


async def test_only_the_renewing_form_passes_a_renewed_cookie_on(gate: Gate) -> None:
    answer = await gate.get("/", ALICE)
    assert ("sidecar_session=renewed; Path=/" in answer.all("set-cookie")) == gate.renews


@pytest.mark.parametrize("renews", [False, True], ids=["example", "renewing"])
async def test_behind_another_proxy_the_clients_address_is_one_address(tmp_path: Path, renews: bool) -> None:
    async with running(tmp_path, renews=renews, behind=["127.0.0.0/8"]) as gate:
        await gate.get("/", "X-Forwarded-For: 198.51.100.7")
        await gate.get("/auth/login", "X-Forwarded-For: 198.51.100.7")
        assert [asked.all("x-forwarded-for") for asked in gate.asked] == [["198.51.100.7"], ["198.51.100.7"]]


@pytest.mark.parametrize("renews", [False, True], ids=["example", "renewing"])
async def test_behind_another_proxy_the_check_is_about_the_host_and_request_that_caddy_serves(
    tmp_path: Path, renews: bool
) -> None:
    async with running(tmp_path, renews=renews, behind=["127.0.0.0/8"]) as gate:
        forged = ("X-Forwarded-Host: other-app.test", "X-Forwarded-Uri: /other", "X-Forwarded-Method: HEAD")
        await gate.get("/page", *forged)
        [check] = gate.asked
        assert check.all("x-forwarded-host") == [f"127.0.0.1:{gate.port}"]
        assert check.all("x-forwarded-uri") == ["/page"]
        assert check.all("x-forwarded-method") == ["GET"]


async def test_an_example_without_any_setting_listens_on_loopback_only(tmp_path: Path) -> None:
    config = await caddy.adapt(caddy.EXAMPLE, {})
    assert config["admin"] == {"disabled": True}
    listening = [
        address for server in config["apps"]["http"]["servers"].values() for address in server["listen"]
    ]
    assert listening == ["127.0.0.1:8080"]
