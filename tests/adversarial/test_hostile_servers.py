"""Servers that strangers name, at their worst: the guard from the resolver to the bytes, on real sockets.

Names resolve to what each test says, and connections end at a server on loopback; what is between is real.
"""

import asyncio
import gzip
import socket
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpcore
import httpx
import pytest

from sidecar.atproto.errors import (
    FetchError,
    ForbiddenAddress,
    HostNotFound,
    ServerUnreachable,
    UnexpectedResponse,
)
from sidecar.atproto.fetch import Fetcher
from tests.fakes.raw_server import PUBLIC, RawServer, Request, Wires, certificates, flood, raw_server, says
from tests.fakes.vectors import cases
from tests.lab.certs import Certificates

EVIL = "https://evil.example.com"
PRIVATE = "10.0.0.7"


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def trust(authority: Certificates, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's trust store is the tests' authority."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))


@pytest.fixture
async def server(authority: Certificates) -> AsyncIterator[RawServer]:
    async with raw_server(authority) as running:
        yield running


@pytest.fixture
def wires(server: RawServer) -> Wires:
    return Wires(server.port)


@pytest.fixture
async def fetch(wires: Wires, trust: None) -> AsyncIterator[Fetcher]:
    fetcher = Fetcher(user_agent="t", resolve=wires.resolve, connect=wires.connect)
    yield fetcher
    await fetcher.aclose()


# Addresses


async def test_the_address_that_was_checked_is_the_one_connected_to(
    fetch: Fetcher, wires: Wires, server: RawServer
) -> None:
    server.answers["/"] = says(200, b"hello")
    response = await fetch.request("GET", f"{EVIL}:8443/")
    assert response.text == "hello"
    assert wires.connected == [(PUBLIC, 8443)]
    assert server.requests[0].headers["host"] == "evil.example.com:8443"


@pytest.mark.parametrize("address", cases("addresses_refused"))
async def test_no_connection_to_a_forbidden_address_is_ever_opened(
    fetch: Fetcher, wires: Wires, server: RawServer, address: str
) -> None:
    wires.addresses["evil.example.com"] = [address]
    with pytest.raises(ForbiddenAddress):
        await fetch.request("GET", EVIL)
    with pytest.raises(ForbiddenAddress):
        await fetch.check_url(EVIL)
    assert wires.connected == []
    assert server.connections == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "127.1", "2130706433", "0x7f000001", "localhost"])
async def test_no_spelling_of_loopback_reaches_a_real_socket(server: RawServer, host: str) -> None:
    """Here resolver and connections are the system's own."""
    fetch = Fetcher(user_agent="t")
    with pytest.raises(ForbiddenAddress):
        await fetch.request("GET", f"https://{host}:{server.port}/")
    await fetch.aclose()
    assert server.connections == 0


@pytest.mark.parametrize("addresses", [[PUBLIC, PRIVATE], [PRIVATE, PUBLIC]])
async def test_one_forbidden_address_among_public_ones_condemns_the_host(
    fetch: Fetcher, wires: Wires, addresses: list[str]
) -> None:
    wires.addresses["evil.example.com"] = addresses
    with pytest.raises(ForbiddenAddress):
        await fetch.request("GET", EVIL)
    assert wires.connected == []


async def test_a_name_rebound_between_check_and_connect_gains_nothing(
    fetch: Fetcher, wires: Wires, server: RawServer
) -> None:
    """Each connection has one lookup, and goes where that one said."""
    server.answers["/"] = says(200, Connection="close")
    wires.addresses["evil.example.com"] = [[PUBLIC], [PRIVATE]]
    await fetch.request("GET", f"{EVIL}/")
    assert wires.connected == [(PUBLIC, 443)]
    assert wires.resolved == ["evil.example.com"]
    await server.closed.wait()
    with pytest.raises(ForbiddenAddress):
        await fetch.request("GET", f"{EVIL}/")
    assert wires.connected == [(PUBLIC, 443)]


async def test_a_name_rebound_after_check_url_is_checked_again_at_the_request(
    fetch: Fetcher, wires: Wires
) -> None:
    wires.addresses["evil.example.com"] = [[PUBLIC], [PRIVATE]]
    await fetch.check_url(EVIL)
    with pytest.raises(ForbiddenAddress):
        await fetch.request("GET", EVIL)
    assert wires.connected == []


async def test_a_dead_address_gives_way_to_the_next(fetch: Fetcher, wires: Wires, server: RawServer) -> None:
    server.answers["/"] = says(200)
    wires.addresses["evil.example.com"] = ["2606:4700::1", "1.1.1.1"]
    wires.dead = {"2606:4700::1"}
    await fetch.request("GET", f"{EVIL}/")
    assert wires.connected == [("2606:4700::1", 443), ("1.1.1.1", 443)]


async def test_all_addresses_dead_is_an_unreachable_server(fetch: Fetcher, wires: Wires) -> None:
    wires.addresses["evil.example.com"] = ["1.1.1.1", "1.0.0.1"]
    wires.dead = {"1.1.1.1", "1.0.0.1"}
    with pytest.raises(ServerUnreachable):
        await fetch.request("GET", EVIL)


async def test_a_host_without_addresses_is_told_as_such(fetch: Fetcher, wires: Wires) -> None:
    wires.addresses["evil.example.com"] = []
    with pytest.raises(HostNotFound):
        await fetch.request("GET", EVIL)


# What development and the operator's own word permit, and no more


@pytest.fixture
async def plain() -> AsyncIterator[RawServer]:
    async with raw_server() as running:
        running.answers["/"] = says(200, b"plain")
        yield running


async def test_development_reaches_http_on_loopback_and_production_does_not(plain: RawServer) -> None:
    url = f"http://localhost:{plain.port}/"
    development, production = Fetcher(user_agent="t", development=True), Fetcher(user_agent="t")
    assert (await development.request("GET", url)).text == "plain"
    with pytest.raises(ForbiddenAddress):
        await production.request("GET", url)
    await development.aclose()
    await production.aclose()
    assert plain.connections == 1


@pytest.mark.parametrize("addresses", [[PUBLIC], ["127.0.0.1", PUBLIC], [PRIVATE], ["::ffff:127.0.0.1"]])
async def test_development_speaks_http_to_loopback_only(plain: RawServer, addresses: list[str]) -> None:
    wires = Wires(plain.port, {"dev.example.com": addresses})
    fetch = Fetcher(user_agent="t", development=True, resolve=wires.resolve, connect=wires.connect)
    with pytest.raises(ForbiddenAddress):
        await fetch.request("GET", "http://dev.example.com/")
    assert wires.connected == []


@pytest.mark.parametrize("addresses", [["127.0.0.1", PUBLIC], [PRIVATE], ["192.168.1.1"]])
async def test_development_refuses_private_addresses_over_https_too(
    plain: RawServer, addresses: list[str]
) -> None:
    wires = Wires(plain.port, {"dev.example.com": addresses})
    fetch = Fetcher(user_agent="t", development=True, resolve=wires.resolve, connect=wires.connect)
    with pytest.raises(ForbiddenAddress):
        await fetch.request("GET", "https://dev.example.com/")
    assert wires.connected == []


async def test_the_operators_origin_is_reached_at_a_private_address_by_exactly_that_origin(
    plain: RawServer,
) -> None:
    wires = Wires(plain.port, {"plc.internal": [PRIVATE]})
    origins = frozenset({"http://plc.internal:2582"})
    fetch = Fetcher(user_agent="t", operator_origins=origins, resolve=wires.resolve, connect=wires.connect)
    assert (await fetch.request("GET", "http://plc.internal:2582/", operator=True)).text == "plain"
    for other in ("https://plc.internal:2582/", "https://plc.internal/", "http://plc.internal/"):
        with pytest.raises(ForbiddenAddress):
            await fetch.request("GET", other, operator=True)
    await fetch.aclose()
    assert wires.connected == [(PRIVATE, 2582)]


async def test_a_redirect_to_the_operators_origin_is_checked_like_any_other(
    wires: Wires, server: RawServer, trust: None
) -> None:
    """Even while a connection that was opened for the operator waits in the pool."""
    wires.addresses["plc.example.com"] = [PRIVATE]
    server.answers["/did"] = says(200)
    server.answers["/"] = says(302, Location="https://plc.example.com/did")
    origins = frozenset({"https://plc.example.com"})
    fetch = Fetcher(user_agent="t", operator_origins=origins, resolve=wires.resolve, connect=wires.connect)
    await fetch.request("GET", "https://plc.example.com/did", operator=True)
    with pytest.raises(ForbiddenAddress):
        await fetch.request("GET", f"{EVIL}/", redirects=3)
    await fetch.aclose()
    assert [request.target for request in server.requests] == ["/did", "/"]


async def test_a_redirect_of_the_operators_server_is_not_trusted(
    wires: Wires, server: RawServer, trust: None
) -> None:
    wires.addresses |= {"plc.example.com": [PRIVATE], "evil.example.com": [PRIVATE]}
    server.answers["/"] = says(302, Location=f"{EVIL}/")
    origins = frozenset({"https://plc.example.com"})
    fetch = Fetcher(user_agent="t", operator_origins=origins, resolve=wires.resolve, connect=wires.connect)
    with pytest.raises(ForbiddenAddress):
        await fetch.request("GET", "https://plc.example.com/", redirects=3, operator=True)
    await fetch.aclose()
    assert wires.connected == [(PRIVATE, 443)]


async def test_the_operators_origin_in_a_strangers_mouth_is_never_connected_to(
    wires: Wires, server: RawServer, trust: None
) -> None:
    """Server-side request forgery: metadata that names the PLC directory of the operator's own network."""
    wires.addresses["plc.example.com"] = [PRIVATE]
    origins = frozenset({"https://plc.example.com"})
    fetch = Fetcher(user_agent="t", operator_origins=origins, resolve=wires.resolve, connect=wires.connect)
    url = "https://plc.example.com/oauth/token"
    for asking in (fetch.request("POST", url), fetch.json(url), fetch.check_url(url)):
        with pytest.raises(ForbiddenAddress):
            await asking
    await fetch.aclose()
    assert wires.connected == []


@pytest.fixture
async def private(wires: Wires, server: RawServer, trust: None) -> AsyncIterator[Fetcher]:
    """With the operator's own PDS at a private address."""
    wires.addresses["pds.example.com"] = [PRIVATE]
    own = frozenset({"https://pds.example.com"})
    fetch = Fetcher(user_agent="t", private_origins=own, resolve=wires.resolve, connect=wires.connect)
    yield fetch
    await fetch.aclose()


async def test_a_private_server_is_reached_whoever_names_it(
    private: Fetcher, wires: Wires, server: RawServer
) -> None:
    url = "https://pds.example.com/"
    server.answers["/"] = says(200, b"{}", **{"Content-Type": "application/json"})
    await private.request("POST", url, data={"a": "b"})
    assert await private.json(url) == {}
    await private.check_url(url)
    assert set(wires.connected) == {(PRIVATE, 443)}


@pytest.mark.parametrize(
    "other",
    [
        "https://evil.example.com/",  # another name for the same address
        f"https://{PRIVATE}/",
        "https://pds.example.com:8443/",
        "http://pds.example.com/",
        "https://pds.example.com./",
        "https://www.pds.example.com/",
        "https://pds.example.com@evil.example.com/",
    ],
)
async def test_a_private_server_opens_the_way_to_nothing_else(
    private: Fetcher, wires: Wires, other: str
) -> None:
    wires.addresses |= {
        name: [PRIVATE] for name in ("evil.example.com", "www.pds.example.com", "pds.example.com.", PRIVATE)
    }
    for asking in (private.request("GET", other), private.check_url(other)):
        with pytest.raises(ForbiddenAddress):
            await asking
    assert wires.connected == []


async def test_a_redirect_to_a_private_server_is_checked_like_any_other(
    private: Fetcher, wires: Wires, server: RawServer
) -> None:
    """Even while a connection that was opened to it waits in the pool."""
    server.answers["/own"] = says(200)
    server.answers["/"] = says(302, Location="https://pds.example.com/own")
    await private.request("GET", "https://pds.example.com/own")
    with pytest.raises(ForbiddenAddress):
        await private.request("GET", f"{EVIL}/", redirects=3)
    assert [request.target for request in server.requests] == ["/own", "/"]


async def test_a_redirect_of_a_private_server_leads_into_no_private_network(
    private: Fetcher, wires: Wires, server: RawServer
) -> None:
    wires.addresses["evil.example.com"] = [PRIVATE]
    server.answers["/"] = says(302, Location=f"{EVIL}/")
    with pytest.raises(ForbiddenAddress):
        await private.request("GET", "https://pds.example.com/", redirects=3)
    assert wires.connected == [(PRIVATE, 443)]


# Redirects


async def test_a_redirect_into_a_private_network_ends_there(
    fetch: Fetcher, wires: Wires, server: RawServer
) -> None:
    wires.addresses["inside.example.com"] = [PRIVATE]
    server.answers["/"] = says(302, Location="https://inside.example.com/admin")
    with pytest.raises(ForbiddenAddress):
        await fetch.request("GET", f"{EVIL}/", redirects=3)
    assert wires.connected == [(PUBLIC, 443)]


async def test_a_redirect_to_a_bare_private_address_ends_there(
    fetch: Fetcher, wires: Wires, server: RawServer
) -> None:
    wires.addresses["169.254.169.254"] = ["169.254.169.254"]  # as any resolver has it
    server.answers["/"] = says(302, Location="https://169.254.169.254/latest/meta-data")
    with pytest.raises(ForbiddenAddress):
        await fetch.request("GET", f"{EVIL}/", redirects=3)
    assert wires.connected == [(PUBLIC, 443)]


async def test_metadata_that_redirects_is_refused_without_a_second_request(
    fetch: Fetcher, server: RawServer
) -> None:
    server.answers["/"] = says(302, b"{}", Location=f"{EVIL}/other", Content_Type="application/json")
    with pytest.raises(UnexpectedResponse):
        await fetch.json(f"{EVIL}/")
    assert len(server.requests) == 1


async def test_an_endless_chain_of_redirects_ends_at_the_third(fetch: Fetcher, server: RawServer) -> None:
    server.answers["/"] = says(307, Location="/")
    assert (await fetch.request("GET", f"{EVIL}/", redirects=3)).status_code == 307
    assert len(server.requests) == 4


@pytest.mark.parametrize(
    "location", ["http://evil.example.com/", "https://evil.example.com:22/", "https://u@e/"]
)
async def test_a_redirect_off_https_is_refused_before_anything_is_asked_there(
    fetch: Fetcher, wires: Wires, server: RawServer, location: str
) -> None:
    server.answers["/"] = says(302, Location=location)
    with pytest.raises(UnexpectedResponse):
        await fetch.request("GET", f"{EVIL}/", redirects=1)
    assert wires.connected == [(PUBLIC, 443)]


@pytest.mark.parametrize(
    "location", ["\xff", "https://[", "", "//", "?", "https://\xe9\xff/", "https://a..b/"]
)
async def test_a_redirect_to_nonsense_is_an_answer_or_a_fault_and_no_crash(
    fetch: Fetcher, server: RawServer, location: str
) -> None:
    server.answers["/"] = says(302, Location=location)
    with suppress(FetchError):
        assert (await fetch.request("GET", f"{EVIL}/", redirects=1)).status_code in (302, 404)


# Size


async def test_a_body_over_the_limit_is_cut_off_and_the_connection_dropped(
    fetch: Fetcher, server: RawServer
) -> None:
    server.answers["/"] = says(200, b"x" * 600_000)
    with pytest.raises(UnexpectedResponse, match="more than 524288 bytes"):
        await fetch.request("GET", f"{EVIL}/")
    await server.closed.wait()


async def test_a_body_without_end_is_cut_off(fetch: Fetcher, server: RawServer) -> None:
    async def endless(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        async for _sent in flood(writer, b"1000\r\n" + b"x" * 0x1000 + b"\r\n"):
            pass

    server.answers["/"] = endless
    with pytest.raises(UnexpectedResponse, match="more than 1000 bytes"):
        await fetch.request("GET", f"{EVIL}/", limit=1000)
    await server.closed.wait()


async def test_a_compressed_bomb_is_unpacked_up_to_the_limit_and_no_further(
    fetch: Fetcher, server: RawServer
) -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    server.answers["/"] = says(200, bomb, Content_Encoding="gzip")
    tracemalloc.start()
    with pytest.raises(UnexpectedResponse, match="more than 100000 bytes"):
        await fetch.request("GET", f"{EVIL}/", limit=100_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5_000_000


async def test_a_compressed_body_that_unpacks_to_nothing_for_ever_is_cut_off(
    fetch: Fetcher, server: RawServer
) -> None:
    """Empty deflate blocks: endless input, no output."""
    head = gzip.compress(b"")[:10]
    server.answers["/"] = says(200, head + b"\0\0\0\xff\xff" * 200_000, Content_Encoding="gzip")
    with pytest.raises(UnexpectedResponse):
        await fetch.request("GET", f"{EVIL}/")


@pytest.mark.parametrize("coding", ["br", "zstd", "deflate", "compress", "gzip, gzip", "x" * 1000])
async def test_a_content_encoding_nobody_asked_for_is_refused(
    fetch: Fetcher, server: RawServer, coding: str
) -> None:
    server.answers["/"] = says(200, b"{}", Content_Encoding=coding)
    with pytest.raises(UnexpectedResponse):
        await fetch.request("GET", f"{EVIL}/")


async def test_a_file_that_storage_keeps_gzipped_is_read(fetch: Fetcher, server: RawServer) -> None:
    body = gzip.compress(b'{"a": 1}')
    server.answers["/"] = says(200, body, Content_Encoding="gzip", Content_Type="application/json")
    assert await fetch.json(f"{EVIL}/") == {"a": 1}


async def test_a_broken_gzip_is_no_answer(fetch: Fetcher, server: RawServer) -> None:
    server.answers["/"] = says(200, b"not gzip", Content_Encoding="gzip")
    with pytest.raises(UnexpectedResponse):
        await fetch.request("GET", f"{EVIL}/")


async def test_headers_without_end_are_cut_off(fetch: Fetcher, server: RawServer) -> None:
    async def endless(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        async for _sent in flood(writer, b"X-Header: " + b"x" * 4096 + b"\r\n"):
            pass

    server.answers["/"] = endless
    with pytest.raises(ServerUnreachable):
        await fetch.request("GET", f"{EVIL}/")


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (b"", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 100),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 1000),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1;" + b"x" * 5000 + b"\r\nx\r\n"),
    ],
    ids=["informational answers", "tiny chunks", "chunk extensions"],
)
async def test_an_answer_whose_wrapping_has_no_end_is_cut_off(
    fetch: Fetcher, server: RawServer, head: bytes, piece: bytes
) -> None:
    """Parsing it would keep the event loop, and so every check, busy until the deadline."""
    sent = 0

    async def endless(_: Request, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(head)
        async for so_far in flood(writer, piece):
            sent = so_far

    server.answers["/"] = endless
    with pytest.raises(ServerUnreachable, match="without end"):
        await fetch.request("GET", f"{EVIL}/")
    await server.closed.wait()
    assert sent < 20_000_000  # what sockets buffer included


@pytest.mark.parametrize("limit", [10_000, 512 * 1024])
async def test_the_wrapping_of_an_answer_costs_the_same_whatever_its_limit(
    wires: Wires, server: RawServer, trust: None, limit: int
) -> None:
    """Chunks of one byte: their framing is parsed at our expense, five bytes for one."""
    received = 0

    class Counts(httpcore.AsyncNetworkStream):
        def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
            self._stream = stream

        async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - httpcore's
            nonlocal received
            piece = await self._stream.read(max_bytes, timeout)
            received += len(piece)
            return piece

        def __getattribute__(self, name: str) -> Any:
            own = ("read", "start_tls", "_stream")
            return object.__getattribute__(self, name) if name in own else getattr(self._stream, name)

        async def start_tls(self, *args: Any, **kwargs: Any) -> httpcore.AsyncNetworkStream:
            return Counts(await self._stream.start_tls(*args, **kwargs))

    async def connect(address: str, port: int) -> httpcore.AsyncNetworkStream:
        return Counts(await wires.connect(address, port))

    async def endless(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        async for _sent in flood(writer, b"1\r\nx\r\n" * 1000):
            pass

    server.answers["/"] = endless
    fetch = Fetcher(user_agent="t", resolve=wires.resolve, connect=connect)
    with pytest.raises(ServerUnreachable, match="without end"):
        await fetch.request("GET", f"{EVIL}/", limit=limit)
    await fetch.aclose()
    assert received < 48 * 1024


async def test_a_large_answer_in_ordinary_chunks_is_read(fetch: Fetcher, server: RawServer) -> None:
    async def answer(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _chunk in range(2048):
            writer.write(b"100\r\n" + b"x" * 256 + b"\r\n")
        writer.write(b"0\r\n\r\n")

    server.answers["/"] = answer
    for _ in range(2):
        assert len((await fetch.request("GET", f"{EVIL}/")).content) == 512 * 1024


async def test_every_answer_on_a_kept_connection_has_room_of_its_own(
    fetch: Fetcher, server: RawServer
) -> None:
    server.answers["/"] = says(200, b"x" * 65_536)
    for _ in range(4):
        assert len((await fetch.request("GET", f"{EVIL}/")).content) == 65_536
    assert server.connections == 1


async def test_a_larger_limit_makes_room_for_a_larger_answer(fetch: Fetcher, server: RawServer) -> None:
    server.answers["/"] = says(200, b"x" * 500_000)
    assert len((await fetch.request("GET", f"{EVIL}/", limit=500_000)).content) == 500_000


async def test_an_answer_is_read_in_pieces_small_enough_to_leave_others_their_turn(
    wires: Wires, server: RawServer, trust: None
) -> None:
    asked: list[int] = []

    class Reads(httpcore.AsyncNetworkStream):
        def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
            self._stream = stream

        async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - httpcore's
            asked.append(max_bytes)
            return await self._stream.read(max_bytes, timeout)

        def __getattribute__(self, name: str) -> Any:
            own = ("read", "start_tls", "_stream")
            return object.__getattribute__(self, name) if name in own else getattr(self._stream, name)

        async def start_tls(self, *args: Any, **kwargs: Any) -> httpcore.AsyncNetworkStream:
            return Reads(await self._stream.start_tls(*args, **kwargs))

    async def connect(address: str, port: int) -> httpcore.AsyncNetworkStream:
        return Reads(await wires.connect(address, port))

    server.answers["/"] = says(200, b"x" * 50_000)
    fetch = Fetcher(user_agent="t", resolve=wires.resolve, connect=connect)
    await fetch.request("GET", f"{EVIL}/")
    await fetch.aclose()
    assert max(asked) <= 1024


@pytest.mark.parametrize(
    "wire",
    [
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 999999 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA\x00B: c\r\n\r\n",
        b"\x00" * 100,
        b"",
    ],
)
async def test_a_server_that_speaks_something_else_is_unreachable(
    fetch: Fetcher, server: RawServer, wire: bytes
) -> None:
    async def answer(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(wire)
        await writer.drain()
        raise ConnectionError

    server.answers["/"] = answer
    with pytest.raises(ServerUnreachable):
        await fetch.request("GET", f"{EVIL}/")


# Time


@pytest.fixture
def hurried(wires: Wires, trust: None) -> Fetcher:
    return Fetcher(user_agent="t", resolve=wires.resolve, connect=wires.connect, deadline=0.3)


async def test_a_slow_drip_is_ended_by_the_overall_deadline(hurried: Fetcher, server: RawServer) -> None:
    """Each byte comes soon enough; all of them never do."""

    async def drip(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)

    server.answers["/"] = drip
    with pytest.raises(ServerUnreachable, match="in time"):
        await hurried.request("GET", f"{EVIL}/")
    await server.closed.wait()
    await hurried.aclose()


async def test_a_server_that_never_answers_is_ended_by_the_deadline(
    hurried: Fetcher, server: RawServer
) -> None:
    async def silent(_: Request, _writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    server.answers["/"] = silent
    with pytest.raises(ServerUnreachable, match="in time"):
        await hurried.request("GET", f"{EVIL}/", deadline=60)  # only ever shortens
    await hurried.aclose()


async def test_a_chain_of_slow_redirects_shares_one_deadline(hurried: Fetcher, server: RawServer) -> None:
    async def slow(request: Request, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.14)
        await says(302, Location="/")(request, writer)

    server.answers["/"] = slow
    with pytest.raises(ServerUnreachable, match="in time"):
        await hurried.request("GET", f"{EVIL}/", redirects=3)
    await hurried.aclose()


async def test_a_resolver_that_hangs_is_ended_by_the_deadline() -> None:
    async def hang(_host: str, _port: int) -> list[str]:
        await asyncio.Event().wait()
        return []

    fetch = Fetcher(user_agent="t", resolve=hang, deadline=0.05)
    with pytest.raises(ServerUnreachable):
        await fetch.request("GET", EVIL)
    with pytest.raises(ServerUnreachable):
        await fetch.check_url(EVIL)
    await fetch.aclose()


async def test_the_body_an_auth_looks_at_is_under_the_deadline_too(
    hurried: Fetcher, server: RawServer
) -> None:
    class Looks(httpx.Auth):
        requires_response_body = True

        def auth_flow(self, request: httpx.Request) -> Iterator[httpx.Request]:  # type: ignore[override]
            yield request

    async def half(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 X\r\nContent-Length: 100\r\n\r\n{")
        await writer.drain()
        await asyncio.Event().wait()

    server.answers["/"] = half
    with pytest.raises(ServerUnreachable):
        await hurried.request("POST", f"{EVIL}/", auth=Looks())
    await hurried.aclose()


# Names and connections


@pytest.fixture
async def patient(wires: Wires, trust: None) -> AsyncIterator[Fetcher]:
    fetcher = Fetcher(user_agent="t", resolve=wires.resolve, connect=wires.connect, deadline=1.2)
    yield fetcher
    await fetcher.aclose()


async def test_the_certificate_must_be_for_the_name_that_was_asked(
    fetch: Fetcher, wires: Wires, server: RawServer
) -> None:
    with pytest.raises(ServerUnreachable):
        await fetch.request("GET", "https://other.net/")
    assert wires.connected == [(PUBLIC, 443)]
    assert server.requests == []


async def test_a_certificate_of_an_unknown_authority_is_refused(
    wires: Wires, server: RawServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates(tmp_path).ca))
    fetch = Fetcher(user_agent="t", resolve=wires.resolve, connect=wires.connect)
    with pytest.raises(ServerUnreachable):
        await fetch.request("GET", f"{EVIL}/")
    await fetch.aclose()
    assert server.requests == []


async def test_a_server_that_answers_a_handshake_in_plain_text_is_unreachable(trust: None) -> None:
    async def plain_text(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(plain_text, "127.0.0.1", 0) as listening:
        wires = Wires(listening.sockets[0].getsockname()[1])
        fetch = Fetcher(user_agent="t", resolve=wires.resolve, connect=wires.connect)
        with pytest.raises(ServerUnreachable):
            await fetch.request("GET", f"{EVIL}/")
        await fetch.aclose()


SIX = [f"2606:2800:220:1::{n}" for n in range(1, 7)]


async def test_ipv6_that_leads_nowhere_costs_a_quarter_of_a_second(
    patient: Fetcher, wires: Wires, server: RawServer
) -> None:
    """A large CDN's name on a machine whose IPv6 is dead: the deadline is much shorter than six time-outs."""
    wires.addresses["evil.example.com"] = [*SIX, PUBLIC]
    wires.silent.update(SIX)
    server.answers["/"] = says(200, b"here")
    assert (await patient.request("GET", f"{EVIL}/")).text == "here"
    assert wires.connected == [(SIX[0], 443), (PUBLIC, 443)]
    assert server.connections == 1
    assert (await patient.request("GET", f"{EVIL}/")).text == "here"
    assert server.connections == 1  # kept


async def test_addresses_that_are_raced_were_all_checked_before(
    patient: Fetcher, wires: Wires, server: RawServer
) -> None:
    wires.addresses["evil.example.com"] = [*SIX, PRIVATE]
    wires.silent.update(SIX)
    with pytest.raises(ForbiddenAddress):
        await patient.request("GET", f"{EVIL}/")
    assert wires.connected == []


async def test_a_race_that_nobody_wins_ends_with_the_deadline(
    patient: Fetcher, wires: Wires, server: RawServer
) -> None:
    wires.addresses["evil.example.com"] = SIX
    wires.silent.update(SIX)
    with pytest.raises(ServerUnreachable, match="in time"):
        await patient.request("GET", f"{EVIL}/")
    assert not [task for task in asyncio.all_tasks() if "connect" in repr(task)]


async def test_a_real_address_that_swallows_packets_holds_up_nobody(server: RawServer) -> None:
    """Real sockets: the first one's queue is full, so its kernel drops SYNs."""
    with ExitStack() as sockets:
        full = sockets.enter_context(socket.socket())
        full.bind(("127.0.0.2", 0))
        full.listen(0)
        for _ in range(4):
            filler = sockets.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())

        async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nhere")
            writer.close()

        async def resolve(_host: str, _port: int) -> list[str]:
            return ["127.0.0.2", "127.0.0.1"]

        port = full.getsockname()[1]
        async with await asyncio.start_server(answer, "127.0.0.1", port):
            fetch = Fetcher(user_agent="t", resolve=resolve, development=True, deadline=2.0)
            assert (await fetch.request("GET", f"http://cdn.example.com:{port}/")).text == "here"
            await fetch.aclose()


async def test_a_kept_connection_serves_its_own_host_and_no_other_at_the_same_address(
    fetch: Fetcher, wires: Wires, server: RawServer
) -> None:
    server.answers["/"] = says(200)
    for host in ("a", "a", "b", "a", "b"):
        await fetch.request("GET", f"https://{host}.example.com/")
    used = {(request.headers["host"], request.connection) for request in server.requests}
    assert used == {("a.example.com", 1), ("b.example.com", 2)}
    assert wires.resolved == ["a.example.com", "b.example.com"]


async def test_a_kept_connection_of_another_port_or_scheme_is_not_used(
    fetch: Fetcher, wires: Wires, server: RawServer
) -> None:
    server.answers["/"] = says(200)
    await fetch.request("GET", f"{EVIL}/")
    await fetch.request("GET", f"{EVIL}:8443/")
    assert wires.connected == [(PUBLIC, 443), (PUBLIC, 8443)]


async def test_the_servers_name_is_sent_in_the_handshake(fetch: Fetcher, server: RawServer) -> None:
    server.answers["/"] = says(200)
    await fetch.request("GET", f"{EVIL}/")
    assert server.names == ["evil.example.com"]


async def test_a_cancelled_request_leaves_nothing_behind(fetch: Fetcher, server: RawServer) -> None:
    asked = asyncio.Event()

    async def silent(_: Request, _writer: asyncio.StreamWriter) -> None:
        asked.set()
        await asyncio.Event().wait()

    server.answers["/silent"] = silent
    server.answers["/"] = says(200)
    request = asyncio.create_task(fetch.request("GET", f"{EVIL}/silent"))
    await asked.wait()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    assert (await fetch.request("GET", f"{EVIL}/")).status_code == 200
