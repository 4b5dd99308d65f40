"""The fast path and the plain ASGI way, side by side: the same bytes in, the same bytes out."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, replace

import pytest
import pytest_asyncio
import uvicorn
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidecar import fastpath
from sidecar.app import Sidecar
from sidecar.fastpath import FastPath
from sidecar.replies import Reply
from sidecar.sessions import Session
from sidecar.settings import App, Server, Settings, StoreSettings
from sidecar.settings import Session as SessionSettings
from sidecar.store.memory import MemoryStore

NOW = 1_800_000_000.0
HOST = b"127.0.0.1:8080"
DID = "did:plc:ewvi7nxzyoun6zhxrhs64oiz"
OTHER = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"
SETTINGS = Settings(
    public_url="http://127.0.0.1:8080",
    server=Server(listen="127.0.0.1:0"),
    session=SessionSettings(cookie_secrets=("s" * 40,)),
    store=StoreSettings(kind="memory"),
    apps={"app": App(hosts=("127.0.0.1:8080",), allow=(DID,))},
)


@dataclass
class Way:
    """One running server, and how many answers its fast path gave."""

    port: int
    sidecar: Sidecar
    answered: int = 0

    async def raw(self, *chunks: bytes, half_close: bool = False) -> bytes:
        """Everything the server says to these bytes on one connection, until it closes it."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        for chunk in chunks:
            writer.write(chunk)
            await writer.drain()
            await asyncio.sleep(0.02)  # so that each arrives by itself
        if half_close:
            writer.write_eof()
        received = await reader.read()
        writer.close()
        return received


@asynccontextmanager
async def way(*, fast: bool) -> AsyncIterator[Way]:
    sidecar = Sidecar(SETTINGS, store=MemoryStore(now=lambda: NOW, max_records=100), now=lambda: NOW)
    started = Way(0, sidecar)

    class Counting(FastPath):
        def _send(self, reply: Reply) -> None:
            started.answered += 1
            super()._send(reply)

    config = uvicorn.Config(
        sidecar,
        port=0,
        http=Counting if fast else fastpath.protocol(wanted=False),
        ws="none",
        lifespan="on",
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        log_config=None,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    server.capture_signals = nullcontext  # type: ignore[method-assign,assignment] # pytest keeps its own
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)  # uvicorn tells nobody
    started.port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield started
    finally:
        server.should_exit = True
        await serving


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ways() -> AsyncIterator[tuple[Way, Way]]:
    async with way(fast=True) as fast, way(fast=False) as plain:
        yield fast, plain


@pytest.fixture
def both(ways: tuple[Way, Way]) -> tuple[Way, Way]:
    """Both ways, with no answer counted yet."""
    for each in ways:
        each.answered = 0
    return ways


def cookie(sidecar: Sidecar, session: Session | None = None, did: str = DID) -> bytes:
    session = session or sidecar.sessions.start(did, "alice.wiki.net", NOW)
    return sidecar.sessions.cookie(session, NOW).split(";")[0].encode()


def request(
    *headers: bytes,
    path: bytes = b"/auth/check",
    uri: bytes = b"/page?x=1",
    method: bytes = b"GET",
    version: bytes = b"1.1",
    host: bytes = HOST,
) -> bytes:
    lines = [
        method + b" " + path + b" HTTP/" + version,
        b"Host: " + host,
        b"X-Forwarded-Host: " + host,
        b"X-Forwarded-Uri: " + uri,
        b"X-Forwarded-Method: GET",
        b"X-Forwarded-Proto: http",
        b"X-Forwarded-For: 203.0.113.9",
        *headers,
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n"


CLOSE = request(b"Connection: close", path=b"/auth/healthz")
NAVIGATE = (b"Sec-Fetch-Mode: navigate", b"Sec-Fetch-Dest: document")
SESSION = replace(
    Sidecar(SETTINGS, store=MemoryStore(now=lambda: NOW, max_records=10)).sessions.start(DID, None, NOW),
    id="ab" * 16,
)
SESSION_COOKIE = b"Cookie: x=1; " + cookie(Sidecar(SETTINGS), SESSION) + b"; y=2"
STRANGER = b"Cookie: " + cookie(Sidecar(SETTINGS), replace(SESSION, did=OTHER))
AGED = b"Cookie: " + cookie(Sidecar(SETTINGS), replace(SESSION, issued_at=int(NOW) - 2 * 86400))

ANSWERED_AT_ONCE = {
    "allowed": request(SESSION_COOKIE),
    "allowed, as the snippet asks": request(SESSION_COOKIE, path=b"/auth/check?"),
    "allowed, header names in odd case": request(SESSION_COOKIE.replace(b"Cookie", b"cOOkIE")),
    "no session, navigation": request(*NAVIGATE),
    "no session, fetch": request(b"Sec-Fetch-Mode: cors"),
    "forbidden page": request(STRANGER, *NAVIGATE),
    "forbidden json": request(STRANGER),
    "forged": request(b"Cookie: sidecar_session=forged"),
    "two session cookies": request(SESSION_COOKIE, SESSION_COOKIE, *NAVIGATE),
    "unknown host": request(SESSION_COOKIE, host=b"evil.net"),
    "renewal": request(AGED, *NAVIGATE),
    "repeated header": request(b"X-Forwarded-Uri: /other", SESSION_COOKIE),
    "twin header": request(b"X_Forwarded_Uri: /other", SESSION_COOKIE),
}
LEFT_TO_ASGI = {
    "a query of the client's": request(SESSION_COOKIE, path=b"/auth/check?policy=lax"),
    "post": request(SESSION_COOKIE, b"Content-Length: 0", method=b"POST"),
    "head": request(SESSION_COOKIE, method=b"HEAD"),
    "http 1.0": request(SESSION_COOKIE, version=b"1.0"),
    "close": request(SESSION_COOKIE, b"Connection: close"),
    "content-length": request(SESSION_COOKIE, b"Content-Length: 5") + b"hello",
    "chunked": request(SESSION_COOKIE, b"Transfer-Encoding: chunked") + b"5\r\nhello\r\n0\r\n\r\n",
    "expect": request(SESSION_COOKIE, b"Expect: 100-continue", b"Content-Length: 5") + b"hello",
    "websocket": request(
        SESSION_COOKIE, b"Connection: Upgrade", b"Upgrade: websocket", b"Origin: http://127.0.0.1:8080"
    ),
    "foreign websocket": request(
        SESSION_COOKIE, b"Connection: Upgrade", b"Upgrade: websocket", b"Origin: http://evil.net"
    ),
    "encoded path": request(SESSION_COOKIE, path=b"/auth/%63heck"),
    "longer path": request(SESSION_COOKIE, path=b"/auth/checks"),
    "absolute form": request(SESSION_COOKIE, path=b"http://127.0.0.1:8080/auth/check"),
    "another page": request(SESSION_COOKIE, path=b"/auth/jwks.json"),
}


def same(replies: tuple[bytes, bytes]) -> bytes:
    fast, plain = replies
    assert fast == plain
    return fast


@pytest.mark.parametrize("name", ANSWERED_AT_ONCE)
async def test_what_the_fast_path_answers_is_what_asgi_would(name: str, both: tuple[Way, Way]) -> None:
    fast, plain = both
    sent = (ANSWERED_AT_ONCE[name], CLOSE)
    reply = same((await fast.raw(*sent), await plain.raw(*sent)))
    assert fast.answered == 1
    assert reply.count(b"HTTP/1.1 ") == 2


@pytest.mark.parametrize("name", LEFT_TO_ASGI)
async def test_what_the_fast_path_does_not_know_for_certain_it_leaves_to_asgi(
    name: str, both: tuple[Way, Way]
) -> None:
    fast, plain = both
    sent = (LEFT_TO_ASGI[name],) if name in ("http 1.0", "close") else (LEFT_TO_ASGI[name], CLOSE)
    fast_reply, plain_reply = await fast.raw(*sent), await plain.raw(*sent)
    assert _without_request_id(fast_reply) == _without_request_id(plain_reply)
    assert fast_reply.startswith(b"HTTP/1.")
    assert fast.answered == 0


def _without_request_id(reply: bytes) -> bytes:
    """404 pages carry one, different each time."""
    return reply if b"x-request-id" not in reply else reply.split(b"\r\n")[0]


async def test_pipelined_checks_are_answered_in_order(both: tuple[Way, Way]) -> None:
    fast, plain = both
    burst = request(SESSION_COOKIE) + request(*NAVIGATE) + request(STRANGER) + CLOSE
    reply = same((await fast.raw(burst), await plain.raw(burst)))
    assert re.findall(rb"HTTP/1.1 (\d+) ", reply) == [b"200", b"302", b"403", b"200"]


async def test_a_check_pipelined_behind_a_page_waits_for_the_page(both: tuple[Way, Way]) -> None:
    fast, plain = both
    burst = request(path=b"/auth/healthz") + request(SESSION_COOKIE) + CLOSE
    reply = same((await fast.raw(burst), await plain.raw(burst)))
    assert reply.index(b'"ok"') < reply.index(b"x-user-did")


async def test_a_check_after_a_page_on_the_same_connection_is_answered_at_once(both: tuple[Way, Way]) -> None:
    fast, plain = both
    sent = (request(path=b"/auth/healthz"), request(SESSION_COOKIE), request(path=b"/auth/healthz"), CLOSE)
    same((await fast.raw(*sent), await plain.raw(*sent)))
    assert fast.answered == 1


async def test_a_check_that_arrives_byte_by_byte_is_answered(both: tuple[Way, Way]) -> None:
    fast, plain = both
    head = request(SESSION_COOKIE)
    chunks = [head[at : at + 40] for at in range(0, len(head), 40)]
    same((await fast.raw(*chunks, CLOSE), await plain.raw(*chunks, CLOSE)))
    assert fast.answered == 1


async def test_a_client_that_closes_its_half_gets_its_answer(both: tuple[Way, Way]) -> None:
    fast, _ = both
    assert (await fast.raw(request(SESSION_COOKIE), half_close=True)).startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize(
    "junk", [b"\x00\x01\x02\r\n\r\n", b"GET\r\n\r\n", b"GET /auth/check HTTP/9.9\r\n\r\n"]
)
async def test_what_is_no_http_gets_the_same_refusal(junk: bytes, both: tuple[Way, Way]) -> None:
    fast, plain = both
    assert same((await fast.raw(junk), await plain.raw(junk))).startswith(b"HTTP/1.1 400")


async def test_a_client_that_does_not_read_is_left_to_flow_control(both: tuple[Way, Way]) -> None:
    fast, _ = both
    reader, writer = await asyncio.open_connection("127.0.0.1", fast.port, limit=1024)
    total = 3000
    feeding = asyncio.create_task(_feed(writer, request(STRANGER, *NAVIGATE), total))
    await asyncio.sleep(0.3)  # the buffers fill while nobody reads
    count = 0
    while count < total:
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 403"), head
        length = next(
            int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"content-length")
        )
        await reader.readexactly(length)
        count += 1
    await feeding
    writer.close()


async def _feed(writer: asyncio.StreamWriter, data: bytes, times: int) -> None:
    for _ in range(times):
        writer.write(data)
        await writer.drain()


async def test_a_fault_in_the_check_is_a_500_and_never_an_allow(
    both: tuple[Way, Way], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> bool:
        raise RuntimeError("broken on purpose")

    for each in both:
        monkeypatch.setattr(each.sidecar.feed, "usable", broken)
    fast, plain = both
    sent = (request(SESSION_COOKIE), CLOSE)
    assert same((await fast.raw(*sent), await plain.raw(*sent))).startswith(b"HTTP/1.1 500")
    assert fast.answered == 0


async def test_an_address_that_is_not_trusted_gets_nothing_from_the_fast_path(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with way(fast=True) as fast:
        monkeypatch.setattr(fast.sidecar.gate, "may_connect", lambda _: False)
        assert (await fast.raw(request(SESSION_COOKIE), CLOSE)).startswith(b"HTTP/1.1 403")
        assert fast.answered == 0


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    headers=st.lists(
        st.sampled_from(
            [
                SESSION_COOKIE,
                STRANGER,
                AGED,
                *NAVIGATE,
                b"Sec-Fetch-Dest: iframe",
                b"Sec-Fetch-Mode: cors",
                b"Sec-Purpose: prefetch",
                b"Accept: text/html",
                b"Range: bytes=0-1",
                b"Cookie: sidecar_session=",
                b"Cookie: a=b",
                b"X-User-DID: did:plc:forged",
                b"Authorization: Basic eDp5",
                b"Connection: keep-alive",
                b"Content-Length: 0",
            ]
        ),
        max_size=6,
    ),
    uri=st.sampled_from(
        [b"/", b"/a%2Fb/../c//d;p=%41?x=1", b"//evil.net/", b"/" + b"x" * 5000, b"relative", b"/#"]
    ),
)
async def test_random_requests_get_the_same_reply_both_ways(
    both: tuple[Way, Way], headers: list[bytes], uri: bytes
) -> None:
    fast, plain = both
    sent = request(*headers, uri=uri) + CLOSE
    same((await fast.raw(sent), await plain.raw(sent)))


async def test_an_untested_uvicorn_switches_the_fast_path_off_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert fastpath.protocol(wanted=True, version="0.1.2") is not FastPath
    assert [record.event for record in caplog.records] == ["fast_path_off"]  # type: ignore[attr-defined] # set by extra


async def test_the_uvicorn_of_the_tests_is_a_tested_one() -> None:
    assert fastpath.protocol(wanted=True) is FastPath
    assert fastpath.protocol(wanted=False) is not FastPath
