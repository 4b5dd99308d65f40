"""What Caddyfile.example makes of odd requests, byte by byte: real Caddy between a stand-in sidecar and app.

The stand-in lets in whoever has the cookie `sidecar=in`. The whole with the real sidecar: test_gate.py.
"""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from tests.lab import caddy
from tests.lab.child import Children
from tests.lab.ports import free_port
from tests.lab.wire import Answer, Message, recording, send

DID = "did:plc:ewvi7nxzyoun6zhxrhs64oiz"
IDENTITY = [("X-User-DID", DID), ("X-User-Handle", "alice.test")]


def sidecar(request: Message) -> Answer:
    if request.start.partition("?")[0] == "/auth/check":
        if any("sidecar=in" in cookie for cookie in request.all("cookie")):
            return 200, [*IDENTITY, ("Set-Cookie", "sidecar=renewed; Path=/")], b""
        return 302, [("Location", "/auth/login")], b""
    return 200, [("Content-Type", "text/plain")], b"a page of the sidecar"


def app(request: Message) -> Answer:
    return 200, [("Set-Cookie", "own=1; Path=/")], json.dumps(request.headers).encode()


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
        answer = await self.get("/", "Cookie: sidecar=in", *headers)
        assert answer.status == 200
        return self.passed[-1]


@asynccontextmanager
async def running(
    folder: Path, *, renews: bool = False, behind: Sequence[str] = (), id_path: str = ""
) -> AsyncIterator[Gate]:
    """The example, or the form that renews on any request.

    `behind`: networks of a proxy before Caddy. `id_path`: where the client metadata is, if not at its usual
    place.
    """
    port, sidecar_port, app_port = free_port(), free_port(), free_port()
    site = f"http://127.0.0.1:{port}"
    env = {
        "SIDECAR_SITE": f"http://127.0.0.1:{free_port()}" if renews else site,
        "SIDECAR_UPSTREAM": f"127.0.0.1:{sidecar_port}",
        "APP_UPSTREAM": f"127.0.0.1:{app_port}",
        **({"SIDECAR_CLIENT_ID_PATH": id_path} if id_path else {}),
    }
    lines = (site, "import atproto-pages", f"import atproto-renewing 127.0.0.1:{app_port}")
    file = caddy.beside_example(folder, lines) if renews else caddy.EXAMPLE
    async with (
        recording(sidecar_port, sidecar) as asked,
        recording(app_port, app) as passed,
        Children() as children,
    ):
        await caddy.start(children, folder, file, port=port, env=env, behind=behind)
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
    await gate.get("/oauth-client-metadata.json", "Cookie: sidecar=in")
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


@pytest.mark.parametrize(
    ("cookie", "left"),
    [
        ("sidecar=in", ""),
        ("sidecar=in; own=1", "own=1"),
        ("own=1; sidecar=in", "own=1"),
        ("a=1; sidecar=in; b=2", "a=1; b=2"),
        ("a=1;sidecar=in;b=2", "a=1;b=2"),
        ("sidecar=in; __Host-sidecar=x; __Secure-sidecar=y; sidecar-state-0aF=z; b=2", "b=2"),
        ("a=1; sidecar=in; __Host-sidecar-state-9=x; b=2; __Secure-sidecar=y; c=3", "a=1; b=2; c=3"),
        ("sidecar=in; notsidecar=1; sidecars_own=2; my-sidecar=3", "notsidecar=1; my-sidecar=3"),
        ('a="x y"; sidecar=in; b=sidecar=1', 'a="x y"; b=sidecar=1'),
    ],
)
async def test_the_app_gets_its_own_cookies_and_none_of_ours(gate: Gate, cookie: str, left: str) -> None:
    answer = await gate.get("/", f"Cookie: {cookie}")
    assert answer.status == 200
    assert ["; ".join(gate.passed[-1].all("cookie")).rstrip("; ")] == [left]


async def test_our_cookies_are_taken_out_of_every_cookie_header(gate: Gate) -> None:
    request = await gate.as_alice("Cookie: own=1; __Host-sidecar=x", "Cookie: __Secure-sidecar=y; other=2")
    assert "sidecar" not in str(request.all("cookie"))
    assert "own=1" in str(request.all("cookie"))
    assert "other=2" in str(request.all("cookie"))


async def test_the_apps_own_cookies_reach_the_browser(gate: Gate) -> None:
    answer = await gate.get("/", "Cookie: sidecar=in")
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
    answer = await gate.get(target, "X-Forwarded-Uri: /", "X-Forwarded-Method: GET", "Cookie: sidecar=in")
    assert answer.status == 404
    assert gate.asked == []


@pytest.mark.parametrize(
    "target", ["/auth/check;x", "/auth\\check", "/auth/%2563heck", "/auth/checks", "/auth;/check"]
)
async def test_what_only_looks_like_the_check_is_none(gate: Gate, target: str) -> None:
    await gate.get(target, "X-Forwarded-Uri: /", "X-Forwarded-Method: GET", "Cookie: sidecar=in")
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
    head = f"POST / HTTP/1.1\nHost: 127.0.0.1:{gate.port}\nCookie: sidecar=in\nContent-Length: 4\n\nbody"
    await send(gate.port, head)
    assert [message.body for message in gate.asked] == [b""]
    assert [message.body for message in gate.passed] == [b"body"]
    assert gate.asked[0].all("x-forwarded-method") == ["POST"]


async def test_only_the_renewing_form_passes_a_renewed_cookie_on(gate: Gate) -> None:
    answer = await gate.get("/", "Cookie: sidecar=in")
    assert ("sidecar=renewed; Path=/" in answer.all("set-cookie")) == gate.renews


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
