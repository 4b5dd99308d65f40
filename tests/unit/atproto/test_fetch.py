"""The Fetcher above the guard: URLs, statuses, types, JSON, redirects; and the judgement of addresses."""

import asyncio
import ipaddress
import json
import socket
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from typing import Any

import httpcore
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.atproto import transport
from sidecar.atproto.addresses import is_loopback, is_public
from sidecar.atproto.errors import (
    ForbiddenAddress,
    HostNotFound,
    RequestRefused,
    ServerUnreachable,
    UnexpectedResponse,
)
from sidecar.atproto.fetch import Fetcher, parse_json_object
from sidecar.atproto.transport import Reach, checked_addresses
from tests.fakes.vectors import cases

URL = "https://pds.example.com/thing"
Handler = Callable[[httpx.Request], httpx.Response]


def fetcher(handler: Handler, **settings: object) -> Fetcher:
    return Fetcher(user_agent="test/1", transport=httpx.MockTransport(handler), **settings)  # type: ignore[arg-type]


def answering(*args: object, **kwargs: object) -> Fetcher:
    return fetcher(lambda _: httpx.Response(*args, **kwargs))  # type: ignore[arg-type]


# Addresses


@pytest.mark.parametrize("address", cases("addresses_public"))
def test_a_globally_routable_unicast_address_is_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", cases("addresses_refused"))
def test_any_other_address_is_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@given(st.ip_addresses(v=4), st.sampled_from(["::ffff:0:0", "64:ff9b::"]))
def test_an_address_inside_another_is_judged_as_itself(inner: ipaddress.IPv4Address, prefix: str) -> None:
    outer = ipaddress.IPv6Address(int(ipaddress.IPv6Address(prefix)) + int(inner))
    assert is_public(outer) == is_public(inner)


def test_loopback_is_127_8_and_1_and_nothing_mapped() -> None:
    loopback = ["127.0.0.1", "127.1.2.3", "::1"]
    assert all(is_loopback(ipaddress.ip_address(text)) for text in loopback)
    other = ["128.0.0.1", "::2", "::ffff:127.0.0.1", "0.0.0.0", "::"]
    assert not any(is_loopback(ipaddress.ip_address(text)) for text in other)


@pytest.mark.parametrize(
    ("reach", "addresses", "permitted"),
    [
        (Reach.PUBLIC, ["1.1.1.1", "2606:4700::1"], True),
        (Reach.PUBLIC, ["1.1.1.1", "10.0.0.1"], False),
        (Reach.PUBLIC, ["127.0.0.1"], False),
        (Reach.PUBLIC_OR_LOOPBACK, ["127.0.0.1", "::1"], True),
        (Reach.PUBLIC_OR_LOOPBACK, ["1.1.1.1"], True),
        (Reach.PUBLIC_OR_LOOPBACK, ["1.1.1.1", "127.0.0.1"], False),
        (Reach.PUBLIC_OR_LOOPBACK, ["10.0.0.1"], False),
        (Reach.LOOPBACK, ["127.0.0.1", "::1"], True),
        (Reach.LOOPBACK, ["1.1.1.1"], False),
        (Reach.ANYWHERE, ["10.0.0.1", "127.0.0.1", "1.1.1.1"], True),
    ],
)
async def test_one_bad_address_condemns_a_host(reach: Reach, addresses: list[str], permitted: bool) -> None:
    async def resolve(_host: str, _port: int) -> Sequence[str]:
        return addresses

    if permitted:
        assert await checked_addresses("h", 443, reach=reach, resolve=resolve) == addresses
    else:
        with pytest.raises(ForbiddenAddress):
            await checked_addresses("h", 443, reach=reach, resolve=resolve)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (socket.gaierror(socket.EAI_NONAME, "unknown"), HostNotFound),
        (socket.gaierror(socket.EAI_AGAIN, "try again"), ServerUnreachable),
        (OSError("no network"), ServerUnreachable),
        (UnicodeError("label too long"), ServerUnreachable),
    ],
)
async def test_a_name_without_an_address_is_told_apart_from_a_resolver_that_fails(
    fault: Exception, error: type[Exception]
) -> None:
    async def resolve(_host: str, _port: int) -> Sequence[str]:
        raise fault

    with pytest.raises(ServerUnreachable) as caught:
        await checked_addresses("h", 443, reach=Reach.PUBLIC, resolve=resolve)
    assert type(caught.value) is error


async def test_an_empty_list_of_addresses_is_no_address() -> None:
    async def resolve(_host: str, _port: int) -> Sequence[str]:
        return []

    with pytest.raises(HostNotFound):
        await checked_addresses("h", 443, reach=Reach.ANYWHERE, resolve=resolve)


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "0x7f.1", "127.1", "localhost", "::1"])
async def test_the_systems_resolver_sees_through_every_spelling_of_loopback(host: str) -> None:
    assert {is_loopback(ipaddress.ip_address(text)) for text in await transport.resolve(host, 443)} == {True}


# Which URLs are asked


@pytest.mark.parametrize(
    "url",
    [
        "http://pds.example.com/",
        "http://localhost:2583/",
        "ftp://pds.example.com/",
        "file:///etc/passwd",
        "//pds.example.com/",
        "/relative",
        "",
        "https://",
        "https:///path",
        "https://user@pds.example.com/",
        "https://user:password@pds.example.com/",
        "https://a\nb/",
        "https://pds.example.com:99999/",
        "https://ex\u0000ample.com/",
        "unix:/run/docker.sock",
        "https://\u2603\u2603.\ud800/",
    ],
)
async def test_a_url_that_is_not_plain_https_is_not_asked(url: str) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        raise AssertionError(request.url)

    fetch = fetcher(handler)
    with pytest.raises(ForbiddenAddress):
        await fetch.request("GET", url)
    with pytest.raises(ForbiddenAddress):
        await fetch.check_url(url)


async def test_an_operators_origin_is_matched_exactly() -> None:
    fetch = fetcher(lambda _: httpx.Response(200), operator_origins=frozenset({"http://plc.internal:2582"}))
    url = "http://plc.internal:2582/did:plc:x"
    assert (await fetch.request("GET", url, operator=True)).status_code == 200
    for other in ("http://plc.internal", "http://plc.internal:2583", "http://a.plc.internal:2582"):
        with pytest.raises(ForbiddenAddress):
            await fetch.request("GET", other, operator=True)


async def test_an_operators_origin_that_somebody_else_names_is_a_strangers() -> None:
    fetch = fetcher(lambda _: httpx.Response(200), operator_origins=frozenset({"http://plc.internal:2582"}))
    for asking in (
        fetch.request("GET", "http://plc.internal:2582/"),
        fetch.json("http://plc.internal:2582/"),
    ):
        with pytest.raises(ForbiddenAddress):
            await asking
    with pytest.raises(ForbiddenAddress):
        await fetch.check_url("http://plc.internal:2582/")


async def test_the_address_of_a_url_is_checked_before_a_browser_goes_there() -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return {"good.example": ["1.1.1.1"], "bad.example": ["10.0.0.1"], "lo.example": ["127.0.0.1"]}[host]

    production = Fetcher(user_agent="t", resolve=resolve)
    development = Fetcher(user_agent="t", resolve=resolve, development=True)
    for fetch in (production, development):
        await fetch.check_url("https://good.example/authorize")
        for url in ("https://bad.example/authorize", "http://good.example/authorize"):
            with pytest.raises(ForbiddenAddress):
                await fetch.check_url(url)
    await development.check_url("http://lo.example:2583/authorize")
    with pytest.raises(ForbiddenAddress):
        await production.check_url("https://lo.example/authorize")


# Names that IDNA 2008 refuses, or that older rules read as another

ODD_HOSTS = ["xn--ls8h.la", "xn--a.com", "xn--.com", "xn--strae-oqa.de", "www.xn--ls8h.la"]


@pytest.mark.parametrize("host", ODD_HOSTS)
async def test_an_encoded_name_is_asked_and_checked_as_it_is_spelled(host: str) -> None:
    resolved: list[str] = []

    async def resolve(name: str, _port: int) -> Sequence[str]:
        resolved.append(name)
        return ["1.1.1.1"]

    def handler(request: httpx.Request) -> httpx.Response:
        assert request.headers.get_list("host") == [host]
        assert request.url.raw_host == host.encode()
        return httpx.Response(200, text="there")

    fetch = fetcher(handler, resolve=resolve)
    assert (await fetch.request("GET", f"https://{host}/")).text == "there"
    await fetch.check_url(f"https://{host}/")
    assert resolved == [host]


@pytest.mark.parametrize("host", ODD_HOSTS)
async def test_an_encoded_name_is_redirected_from_and_to(host: str) -> None:
    fetch, seen = redirecting(f"https://{host}/a", "/b")
    assert (await fetch.request("GET", URL, redirects=2)).text == "there"
    assert [str(request.url) for request in seen][1:] == [f"https://{host}/a", f"https://{host}/b"]
    fetch, seen = redirecting(f"https://{host}/a")
    assert (await fetch.request("GET", f"https://{host}/")).status_code == 302
    assert len(seen) == 1


@pytest.mark.parametrize("host", ODD_HOSTS)
async def test_a_fault_at_an_encoded_name_is_told_like_any_other(host: str) -> None:
    with pytest.raises(UnexpectedResponse, match="more than 5 bytes"):
        await answering(200, content=b"123456").request("GET", f"https://{host}/", limit=5)
    with pytest.raises(ServerUnreachable, match=host):
        await answering(500).json(f"https://{host}/")

    async def hang(_host: str, _port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return []

    with pytest.raises(ServerUnreachable, match=host):
        await fetcher(lambda _: httpx.Response(200), resolve=hang, deadline=0.01).check_url(
            f"https://{host}/"
        )


# The system's resolver


async def test_names_whose_lookups_hang_hold_up_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    answer, release = socket.getaddrinfo("127.0.0.1", 443, type=socket.SOCK_STREAM), threading.Event()

    def getaddrinfo(host: str, *_: object, **__: object) -> object:
        if host == "silent.example":
            release.wait(60)
        return answer

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    # As many as 50 callers leave behind who give up after 5 seconds where libc takes 30.
    hanging = [asyncio.create_task(transport.resolve("silent.example", 443)) for _ in range(300)]
    try:
        async with asyncio.timeout(30):
            assert set(await transport.resolve("good.example", 443)) == {"127.0.0.1"}
        for given_up in hanging[:150]:
            given_up.cancel()
        await asyncio.wait(hanging[:150])
    finally:
        release.set()
    assert {tuple(addresses) for addresses in await asyncio.gather(*hanging[150:])} == {("127.0.0.1",)}


async def test_no_more_names_are_looked_up_at_once_than_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    def getaddrinfo(*_: object, **__: object) -> object:
        release.wait(60)
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(transport, "LOOKUPS", threading.BoundedSemaphore(1))
    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    first = asyncio.create_task(transport.resolve("silent.example", 443))
    await asyncio.sleep(0)
    with pytest.raises(ServerUnreachable):
        await checked_addresses("h", 443, reach=Reach.PUBLIC, resolve=transport.resolve)
    release.set()
    for lookup in (first, transport.resolve("other.example", 443)):  # the slot is free again, fault or not
        with pytest.raises(socket.gaierror):
            await lookup


async def test_a_machine_without_a_thread_to_spare_is_a_fault_that_takes_no_slot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(transport, "LOOKUPS", threading.BoundedSemaphore(1))
    with monkeypatch.context() as without_threads:
        without_threads.setattr(threading.Thread, "start", start)
        for _ in range(3):
            with pytest.raises(OSError, match="no thread"):
                await transport.resolve("localhost", 443)
    assert await transport.resolve("127.0.0.1", 443) == ["127.0.0.1"]


# Connections


async def test_three_addresses_that_swallow_packets_are_tried_within_one_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    granted: list[float] = []

    async def connect_tcp(*_: object, timeout: float, **__: object) -> None:  # noqa: ASYNC109 - httpcore's
        granted.append(timeout)
        raise httpcore.ConnectTimeout("silence")

    async def resolve(_host: str, _port: int) -> Sequence[str]:
        return ["1.1.1.1", "1.0.0.1", "9.9.9.9"]

    monkeypatch.setattr(httpcore.AnyIOBackend, "connect_tcp", connect_tcp)
    with pytest.raises(ServerUnreachable, match="silence"):
        await Fetcher(user_agent="t", resolve=resolve).request("GET", URL)
    assert len(granted) == 3
    assert sum(granted) < 10


async def test_a_connection_is_given_up_before_the_reference_server_would_close_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept: list[float] = []
    pool = httpcore.AsyncConnectionPool

    def noting(*, keepalive_expiry: float, **settings: Any) -> httpcore.AsyncConnectionPool:
        kept.append(keepalive_expiry)
        return pool(keepalive_expiry=keepalive_expiry, **settings)

    async def resolve(_host: str, _port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    async def refuse(_address: str, _port: int) -> httpcore.AsyncNetworkStream:
        raise httpcore.ConnectError("refused")

    monkeypatch.setattr(httpcore, "AsyncConnectionPool", noting)
    for url in ("https://silent.example/", "http://silent.example/"):
        with pytest.raises(ServerUnreachable):
            await Fetcher(user_agent="t", resolve=resolve, connect=refuse, development=True).request(
                "GET", url
            )
    assert len(kept) == 2
    assert max(kept) < 5  # seconds: Node's default


# What is sent


async def test_a_request_says_who_we_are_and_asks_for_no_compression() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        assert request.headers["user-agent"] == "test/1"
        assert request.headers["accept-encoding"] == "identity"
        return httpx.Response(200)

    await fetcher(handler).request("GET", URL)


async def test_a_form_is_posted_with_its_headers() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        assert request.content == b"a=1&b=%26"
        assert request.headers["x-test"] == "yes"
        return httpx.Response(201)

    response = await fetcher(handler).request(
        "POST", URL, data={"a": "1", "b": "&"}, headers={"X-Test": "yes"}
    )
    assert response.status_code == 201


async def test_no_cookie_is_kept() -> None:
    seen: list[httpx.Headers] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers)
        return httpx.Response(200, headers={"Set-Cookie": "tracking=1; Path=/"})

    fetch = fetcher(handler)
    await fetch.request("GET", URL)
    await fetch.request("GET", URL)
    assert len(seen) == 2
    assert not any("cookie" in headers for headers in seen)


class TwoSteps(httpx.Auth):
    """Looks at the body of the first answer, as DPoP's nonce dance does."""

    requires_response_body = True

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response]:
        response = yield request
        if response.json()["error"] == "use_dpop_nonce":
            request.headers["DPoP"] = response.headers["DPoP-Nonce"]
            yield request


async def test_an_auth_may_answer_a_challenge() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        if "DPoP" in request.headers:
            return httpx.Response(201, json={"nonce": request.headers["DPoP"]})
        return httpx.Response(400, json={"error": "use_dpop_nonce"}, headers={"DPoP-Nonce": "n1"})

    response = await fetcher(handler).request("POST", URL, data={"a": "1"}, auth=TwoSteps())
    assert response.json() == {"nonce": "n1"}


async def test_a_body_over_the_limit_is_not_read_for_an_auth_either() -> None:
    fetch = fetcher(lambda _: httpx.Response(400, content=b"x" * 101))
    with pytest.raises(UnexpectedResponse):
        await fetch.request("POST", URL, auth=TwoSteps(), limit=100)


# What comes back


@pytest.mark.parametrize(
    "fault", [httpx.ConnectError("refused"), httpx.ReadTimeout("slow"), httpcore.RemoteProtocolError("what?")]
)
async def test_a_transport_fault_is_an_unreachable_server(fault: Exception) -> None:
    def handler(_: httpx.Request) -> httpx.Response:
        raise fault

    with pytest.raises(ServerUnreachable, match=r"https://pds\.example\.com: "):
        await fetcher(handler).request("GET", URL + "?secret")


async def test_a_status_is_the_callers_business() -> None:
    for status in (200, 204, 302, 400, 403, 404, 500):
        assert (await answering(status).request("GET", URL)).status_code == status


async def test_a_body_of_exactly_the_limit_is_read() -> None:
    response = await answering(200, content=b"x" * 100).request("GET", URL, limit=100)
    assert response.content == b"x" * 100


async def test_json_is_read_with_status_200_and_its_content_type() -> None:
    for content_type in ("application/json", "Application/JSON; charset=utf-8", "application/json;x"):
        fetch = answering(200, content=b'{"a": 1}', headers={"Content-Type": content_type})
        assert await fetch.json(URL) == {"a": 1}


@pytest.mark.parametrize("status", [201, 204, 206, 301, 302, 304, 400, 401, 404, 410])
async def test_json_with_another_status_is_unexpected(status: int) -> None:
    with pytest.raises(UnexpectedResponse) as caught:
        await answering(status, json={}, headers={"Location": "https://other.example.com/"}).json(URL)
    assert caught.value.status == status


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
async def test_a_server_that_fails_is_unreachable_not_an_answer(status: int) -> None:
    with pytest.raises(ServerUnreachable):
        await answering(status, json={}).json(URL)


async def test_a_403_is_told_as_the_edge_that_refuses_us() -> None:
    with pytest.raises(RequestRefused, match="refuses our client or network") as caught:
        await answering(403, json={}).json(URL)
    assert caught.value.transient


@pytest.mark.parametrize(
    "content_type", ["text/html", "application/jsonp", "", "text/html; application/json"]
)
async def test_json_of_another_type_is_unexpected(content_type: str) -> None:
    with pytest.raises(UnexpectedResponse):
        await answering(200, content=b"{}", headers={"Content-Type": content_type}).json(URL)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"{",
        b'{"a": 1} x',
        b'{"a": 1, "a": 2}',
        b'{"a": {"b": 1, "b": 1}}',
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": "\\ud800"}',
        b'{"a": ["\\udfff"]}',
        b'{"a": "\xff"}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b'{"a": ' + b"[" * 100_000,
        b'{"a": ' + b"[" * 30_000 + b"]" * 30_000 + b"}",
        b'{"a":' * 100_000,
        b'{"a": [' + b"[]," * 60_000 + b"0]}",
        b'{"a": [' + b'{"b":0},' * 30_000 + b"0]}",
        "{}".encode("utf-16"),
        b"\xef\xbb\xbf" * 2 + b"{}",
        b"{}\xef\xbb\xbf",
        b"{\xef\xbb\xbf}",
    ],
)
async def test_what_is_no_sound_json_object_is_unexpected(content: bytes) -> None:
    fetch = answering(200, content=content, headers={"Content-Type": "application/json"})
    with pytest.raises(UnexpectedResponse):
        await fetch.json(URL, limit=10**6)


@pytest.mark.parametrize(
    "sound", ['{"a": "\\ud83d\\ude00"}', '{"a": "\U0001f600"}', '{"\\uD83D\\uDE00": ""}']
)
def test_an_emoji_may_be_spelled_in_two_halves_or_in_one(sound: str) -> None:
    assert "\U0001f600" in str(parse_json_object(sound.encode()))


async def test_a_byte_order_mark_before_json_is_no_part_of_it() -> None:
    fetch = answering(200, content=b'\xef\xbb\xbf{"a": 1}', headers={"Content-Type": "application/json"})
    assert await fetch.json(URL) == {"a": 1}
    assert parse_json_object(b'\xef\xbb\xbf {"a": "\xef\xbb\xbf"}') == {"a": "\ufeff"}


@pytest.mark.parametrize(
    "value",
    [
        {"scopes_supported": ["x" * 20] * 20_000},
        {"a": {f"name-{n}": "some value" for n in range(18_000)}},
        {"description": "one, two: [three], {four} " * 19_000},
    ],
    ids=["a long list", "many members", "much text"],
)
async def test_a_document_may_have_half_a_megabyte(value: dict[str, object]) -> None:
    content = json.dumps(value).encode().ljust(512 * 1024)
    assert len(content) == 512 * 1024
    fetch = answering(200, content=content, headers={"Content-Type": "application/json"})
    assert await fetch.json(URL) == value
    with pytest.raises(UnexpectedResponse, match="more than 524288 bytes"):
        await answering(200, content=content + b" ").json(URL)
    assert len((await answering(200, content=content).request("GET", URL)).content) == 512 * 1024


async def test_json_of_any_type_is_read_if_that_is_asked_for() -> None:
    for content_type in ("text/plain", "application/octet-stream", "text/html", ""):
        fetch = answering(200, content=b'{"a": 1}', headers={"Content-Type": content_type})
        assert await fetch.json(URL, content_types=("application/json", "*/*")) == {"a": 1}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(st.dictionaries(st.text(), json_values, max_size=4))
def test_a_sound_json_object_is_read_as_it_is(value: dict[str, object]) -> None:
    assert parse_json_object(json.dumps(value).encode()) == value


@given(st.binary(max_size=60))
def test_bytes_that_are_no_json_object_raise_value_error_and_nothing_else(content: bytes) -> None:
    with suppress(ValueError):
        assert isinstance(parse_json_object(content), dict)


# Redirects


def redirecting(*hops: str) -> tuple[Fetcher, list[httpx.Request]]:
    """A fetcher whose server sends it along the hops and then answers."""
    seen: list[httpx.Request] = []
    rest = iter(hops)

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        hop = next(rest, None)
        return httpx.Response(302, headers={"Location": hop}) if hop else httpx.Response(200, text="there")

    return fetcher(handler), seen


async def test_no_redirect_is_followed_unasked() -> None:
    fetch, seen = redirecting("https://b.example.com/")
    assert (await fetch.request("GET", URL)).status_code == 302
    assert len(seen) == 1


async def test_redirects_are_followed_as_far_as_asked() -> None:
    fetch, seen = redirecting("/b", "https://c.example.com/c", "//d.example.com:443/d")
    response = await fetch.request("GET", URL, redirects=3)
    assert response.text == "there"
    assert [str(request.url) for request in seen][1:] == [
        "https://pds.example.com/b",
        "https://c.example.com/c",
        "https://d.example.com/d",
    ]


async def test_one_redirect_more_is_left_to_the_caller() -> None:
    fetch, seen = redirecting("/1", "/2", "/3", "/4")
    assert (await fetch.request("GET", URL, redirects=3)).status_code == 302
    assert len(seen) == 4


@pytest.mark.parametrize(
    "location",
    [
        "http://b.example.com/",
        "https://b.example.com:8443/",
        "ftp://b.example.com/",
        "https://u:p@b.example.com/",
        "javascript:alert(1)",
        "https://b.example.com:99999/",
    ],
)
async def test_a_redirect_to_other_than_https_on_its_own_port_is_refused(location: str) -> None:
    fetch, seen = redirecting(location)
    with pytest.raises(UnexpectedResponse):
        await fetch.request("GET", URL, redirects=3)
    assert len(seen) == 1


async def test_a_post_is_never_redirected() -> None:
    fetch, seen = redirecting("https://b.example.com/")
    assert (await fetch.request("POST", URL, data={"code": "secret"}, redirects=3)).status_code == 302
    assert len(seen) == 1


async def test_auth_stays_behind_at_a_redirect() -> None:
    fetch, seen = redirecting("https://b.example.com/")
    await fetch.request("GET", URL, auth=httpx.BasicAuth("me", "secret"), redirects=1)
    assert ["authorization" in request.headers for request in seen] == [True, False]
