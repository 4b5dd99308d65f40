"""Kept https connections that the server has half-closed, on real TLS sockets: what is sent again.

Names resolve to what each test says, and connections end at a server on loopback; what is between is real.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from sidecar.atproto.errors import ServerUnreachable
from sidecar.atproto.fetch import Fetcher
from tests.fakes.half_closing import Farewell, HalfClosing, half_closing
from tests.fakes.raw_server import Wires, certificates
from tests.lab.certs import Certificates

URL = "https://pds.example.com/"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates(tmp_path_factory.mktemp("tls"))


@asynccontextmanager
async def asked_once(
    authority: Certificates, monkeypatch: pytest.MonkeyPatch, farewell: Farewell
) -> AsyncIterator[tuple[HalfClosing, Fetcher]]:
    """A server, and a fetcher that has one connection to it, kept."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(half_closing(authority, farewell))
        wires = Wires(server.port)
        fetch = Fetcher(user_agent="t", resolve=wires.resolve, connect=wires.connect, deadline=3.0)
        stack.push_async_callback(fetch.aclose)
        async with asyncio.timeout(20):
            assert (await fetch.request("GET", URL)).status_code == 200
            yield server, fetch


@pytest.mark.parametrize("farewell", [Farewell.WITH_THE_ANSWER, Farewell.AFTER_THE_ANSWER])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_kept_connection_that_was_half_closed_is_left_alone(
    authority: Certificates, monkeypatch: pytest.MonkeyPatch, farewell: Farewell, method: str
) -> None:
    """Nothing was sent there, so whatever the method, it is sent once, elsewhere."""
    async with asked_once(authority, monkeypatch, farewell) as (server, fetch):
        await server.said.wait()
        form = {"a": "1"} if method == "POST" else None
        assert (await fetch.request(method, URL, data=form)).status_code == 200
        assert server.requests == [(1, "GET / HTTP/1.1"), (2, f"{method} / HTTP/1.1")]


@pytest.mark.parametrize("farewell", [Farewell.AT_THE_NEXT_REQUEST, Farewell.BREAK_AT_THE_NEXT_REQUEST])
async def test_a_get_that_a_kept_connection_swallows_is_sent_once_more_on_a_fresh_one(
    authority: Certificates, monkeypatch: pytest.MonkeyPatch, farewell: Farewell
) -> None:
    async with asked_once(authority, monkeypatch, farewell) as (server, fetch):
        assert (await fetch.request("GET", URL)).status_code == 200
        assert [number for number, _ in server.requests] == [1, 1, 2]
        assert await fetch.json(URL) == {}


@pytest.mark.parametrize("farewell", [Farewell.AT_THE_NEXT_REQUEST, Farewell.BREAK_AT_THE_NEXT_REQUEST])
async def test_a_post_that_a_kept_connection_swallows_is_never_sent_again(
    authority: Certificates, monkeypatch: pytest.MonkeyPatch, farewell: Farewell
) -> None:
    """The server may have acted on it: a code would be burnt."""
    async with asked_once(authority, monkeypatch, farewell) as (server, fetch):
        with pytest.raises(ServerUnreachable):
            await fetch.request("POST", URL, data={"code": "c"})
        assert [line.split()[0] for _, line in server.requests] == ["GET", "POST"]


async def test_a_get_whose_answer_had_begun_is_not_sent_again(
    authority: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with asked_once(authority, monkeypatch, Farewell.IN_THE_NEXT_ANSWER) as (server, fetch):
        with pytest.raises(ServerUnreachable):
            await fetch.request("GET", URL)
        assert [number for number, _ in server.requests] == [1, 1]


async def test_several_kept_connections_that_were_swallowed_cost_one_more_request_not_several(
    authority: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second try is on a connection of its own, never on another kept one."""
    async with asked_once(authority, monkeypatch, Farewell.NEVER) as (server, fetch):
        await asyncio.gather(*(fetch.request("GET", URL) for _ in range(5)))
        assert server.connections > 1
        kept = server.connections
        server.requests.clear()
        server.farewell = Farewell.AT_EVERY_REQUEST
        with pytest.raises(ServerUnreachable):
            await fetch.request("GET", URL)
        assert [number for number, _ in server.requests][1:] == [kept + 1]


async def test_a_fresh_connection_that_gets_no_answer_is_not_tried_again(
    authority: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))
    async with half_closing(authority, Farewell.AT_EVERY_REQUEST) as server:
        wires = Wires(server.port)
        fetch = Fetcher(user_agent="t", resolve=wires.resolve, connect=wires.connect, deadline=3.0)
        with pytest.raises(ServerUnreachable):
            await fetch.request("GET", URL)
        await fetch.aclose()
        assert len(server.requests) == 1


async def test_a_healthy_connection_is_still_kept(
    authority: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with asked_once(authority, monkeypatch, Farewell.NEVER) as (server, fetch):
        for _ in range(5):
            await fetch.request("GET", URL)
        assert server.connections == 1
