"""The fast path and the plain ASGI way, side by side: the same bytes in, the same bytes out."""

import asyncio
import io
import logging
import re
import socket
import struct
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, field

import pytest
import pytest_asyncio
import uvicorn
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from uvicorn.server import ServerState

from sidecar import logs
from sidecar.app import Sidecar
from sidecar.entrance import fastpath
from sidecar.entrance.connection import Connection
from sidecar.entrance.fastpath import FastPath
from sidecar.entrance.gate import DOOR, MAX_HEADERS
from sidecar.replies.reply import Reply
from sidecar.request import forwarded
from sidecar.sessions.cookie import Session
from sidecar.settings import App, Log, Server, Settings, StoreSettings
from sidecar.settings import Session as SessionSettings
from sidecar.store import Revocation
from sidecar.store.memory import MemoryStore
from tests.fakes.both_ways import Wire

NOW = 1_800_000_000.0
HOST = b"127.0.0.1:8080"
DID = "did:plc:ewvi7nxzyoun6zhxrhs64oiz"
OTHER = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"
SETTINGS = Settings(
    public_url="http://127.0.0.1:8080",
    server=Server(listen="127.0.0.1:0"),
    session=SessionSettings(cookie_secrets=("s" * 40,)),
    store=StoreSettings(kind="memory"),
    apps={
        "app": App(hosts=("127.0.0.1:8080",), allow=(DID,)),
        "open": App(hosts=("127.0.0.1:8081",), allow=("*",)),
    },
)


@dataclass
class Way:
    """One running server, how many answers its fast path gave, and the most bytes that waited to be sent."""

    port: int
    sidecar: Sidecar
    answered: int = 0
    waiting: int = 0
    connections: set[Connection] = field(default_factory=set)

    async def raw(self, *chunks: bytes, half_close: bool = False) -> bytes:
        """Everything the server says to these bytes on one connection, until it closes it."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        received: list[bytes] = []
        reading = asyncio.create_task(_collect(reader, received))
        with suppress(ConnectionError):  # after a refusal it listens no more
            for chunk in chunks:
                writer.write(chunk)
                await writer.drain()
                await asyncio.sleep(0.02)  # so that each arrives by itself
            if half_close:
                writer.write_eof()
        await reading
        writer.close()
        return b"".join(received)


async def _collect(reader: asyncio.StreamReader, received: list[bytes]) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            received.append(data)


@asynccontextmanager
async def way(*, fast: bool) -> AsyncIterator[Way]:
    sidecar = Sidecar(SETTINGS, store=MemoryStore(now=lambda: NOW, max_records=100), now=lambda: NOW)
    started = Way(0, sidecar)

    class Listed(Connection):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # uvicorn's
            started.connections.add(self)
            super().connection_made(transport)

    class Counting(FastPath, Listed):
        def finish(self, reply: Reply) -> None:
            started.answered += 1
            super().finish(reply)
            started.waiting = max(started.waiting, self.transport.get_write_buffer_size())

    config = uvicorn.Config(
        sidecar,
        port=0,
        http=Counting if fast else Listed,
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
        each.connections.clear()
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
        b"X-Forwarded-Host: " + host,
        b"X-Forwarded-Uri: " + uri,
        b"X-Forwarded-Method: GET",
        b"X-Forwarded-Proto: http",
        b"X-Forwarded-For: 203.0.113.9",
        *headers,
    ]
    lines.sort(key=lambda line: line.partition(b":")[0])  # as Caddy sends them
    return b"\r\n".join([method + b" " + path + b" HTTP/" + version, b"Host: " + host, *lines]) + b"\r\n\r\n"


CLOSE = request(b"Connection: close", path=b"/auth/healthz")
NAVIGATE = (b"Sec-Fetch-Mode: navigate", b"Sec-Fetch-Dest: document")
SESSION = (
    Sidecar(SETTINGS, store=MemoryStore(now=lambda: NOW, max_records=10))
    .sessions.start(DID, None, NOW)
    ._replace(id="ab" * 16)
)
SESSION_COOKIE = b"Cookie: x=1; " + cookie(Sidecar(SETTINGS), SESSION) + b"; y=2"
STRANGER = b"Cookie: " + cookie(Sidecar(SETTINGS), SESSION._replace(did=OTHER))
FORGED = b"Cookie: sidecar_session=forged"
AGED = b"Cookie: " + cookie(Sidecar(SETTINGS), SESSION._replace(issued_at=int(NOW) - 2 * 86400))

ANSWERED_AT_ONCE = {
    "allowed": request(SESSION_COOKIE),
    "allowed, as the snippet asks": request(SESSION_COOKIE, path=b"/auth/check?"),
    "allowed, header names in odd case": request(SESSION_COOKIE.replace(b"Cookie", b"cOOkIE")),
    "no session, navigation": request(*NAVIGATE),
    "no session, fetch": request(b"Sec-Fetch-Mode: cors"),
    "forbidden page": request(STRANGER, *NAVIGATE),
    "forbidden json": request(STRANGER),
    "forged": request(FORGED),
    "two session cookies": request(SESSION_COOKIE, SESSION_COOKIE, *NAVIGATE),
    "unknown host": request(SESSION_COOKIE, host=b"evil.net"),
    "renewal": request(AGED, *NAVIGATE),
}
LEFT_TO_ASGI = {
    "repeated header": request(b"X-Forwarded-Uri: /other", SESSION_COOKIE),
    "twin header": request(b"X_Forwarded_Uri: /other", SESSION_COOKIE),
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


@pytest.mark.parametrize("fast", [True, False], ids=["fast", "plain"])
async def test_a_websockets_check_is_no_line_in_the_log(fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    logs.configure(Log(), stream)
    async with way(fast=fast) as one:
        assert b" 200 OK" in await one.raw(LEFT_TO_ASGI["websocket"], CLOSE)
    assert "WARNING" not in stream.getvalue()
    assert "Started server process" in stream.getvalue()


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


@pytest.mark.parametrize("cookies", [[SESSION_COOKIE], [SESSION_COOKIE, STRANGER, FORGED], []])
async def test_a_request_in_the_same_bytes_but_for_cookies_and_uri_is_answered_without_the_parser(
    cookies: list[bytes], both: tuple[Way, Way], monkeypatch: pytest.MonkeyPatch
) -> None:
    fast, plain = both
    uris = (b"/first", b"/second", b"/third?x=%41", b"/")
    given = zip(uris, [[each] for each in cookies * 4] or [[]] * 4, strict=False)
    sent = (*(request(*cookie, b"Via: %d" % len(cookies), uri=uri) for uri, cookie in given), CLOSE)
    read: list[object] = []
    original = forwarded.read

    def noted(headers: Iterable[tuple[bytes, bytes]]) -> forwarded.Target:
        read.append(headers)
        return original(headers)

    monkeypatch.setattr(forwarded, "read", noted)
    fast_reply = await fast.raw(*sent)
    assert (fast.answered, len(read)) == (4, 2)
    assert fast_reply == await plain.raw(*sent)


async def test_everybody_is_who_their_own_cookie_says(both: tuple[Way, Way]) -> None:
    """Two people behind one address, with the same browser, differ in nothing else."""
    fast, plain = both
    people = [(f"did:plc:{letter * 24}", letter) for letter in "abcdefgh"]
    cookies = [b"Cookie: " + cookie(fast.sidecar, did=did) for did, _ in people]
    sent = [request(each, host=b"127.0.0.1:8081") for each in cookies * 2]
    reply = same((await fast.raw(*sent, CLOSE), await plain.raw(*sent, CLOSE)))
    assert re.findall(rb"x-user-did: did:plc:(\w)", reply) == [letter.encode() for _, letter in people * 2]


async def test_the_page_for_the_refused_is_for_the_uri_that_was_asked_for(both: tuple[Way, Way]) -> None:
    fast, plain = both
    sent = (*(request(STRANGER, *NAVIGATE, uri=b"/%d" % number) for number in range(4)), CLOSE)
    reply = same((await fast.raw(*sent), await plain.raw(*sent)))
    assert [int(number) for number in re.findall(rb"8080/(\d)&amp;", reply)] == [0, 1, 2, 3]


async def test_only_the_uri_that_caddy_forwards_is_looked_past(both: tuple[Way, Way]) -> None:
    fast, plain = both
    sent = [request(STRANGER, b"X-Not-The-Uri: " + uri, *NAVIGATE) for uri in (b"/1", b"/2", b"/3")]
    reply = same((await fast.raw(*sent, CLOSE), await plain.raw(*sent, CLOSE)))
    assert reply.count(b"8080/page?x=1&amp;") == 3


async def test_pipelined_checks_are_each_answered_again(both: tuple[Way, Way]) -> None:
    fast, plain = both
    burst = request(SESSION_COOKIE) + request(SESSION_COOKIE, b"Via: burst")
    sent = (burst, burst, burst, CLOSE)
    assert same((await fast.raw(*sent), await plain.raw(*sent))).count(b"x-user-did") == 6


@pytest.mark.parametrize(
    "uri", [b"relative", b"/a b", b"/#", b"/\x80", b"/x\r\nX-Forwarded-Host: evil.net", b"/" + b"x" * 5000]
)
async def test_what_is_remembered_is_no_answer_to_an_odd_uri(uri: bytes, both: tuple[Way, Way]) -> None:
    fast, plain = both
    known = [request(SESSION_COOKIE)] * 3
    sent = (*known, request(SESSION_COOKIE, uri=uri), CLOSE)
    same((await fast.raw(*sent), await plain.raw(*sent)))


@pytest.mark.parametrize(
    "odd",
    [
        *(b"", b" " + SESSION_COOKIE[8:], SESSION_COOKIE[8:] + b" ", SESSION_COOKIE[8:] + b"\t"),
        *(b"\x00", b"a\x01", b"a\tb", b"a\x7f", b"a\x80", "é".encode(), b"a\r\n b", b"a\rb"),
        *(b"a\nX-Forwarded-Host: evil.net", b"a\r\nX-Forwarded-Uri: /other", b"a\r\n" + SESSION_COOKIE),
        *(SESSION_COOKIE[8:] + b"\r\n" + SESSION_COOKIE, b"a\r\n\r\n", b"x" * 5000),
        *(SESSION_COOKIE[8:] + b"; z=\x80", SESSION_COOKIE[8:] + b"; z=\x01"),
    ],
)
async def test_what_is_remembered_is_no_answer_to_an_odd_cookie(odd: bytes, both: tuple[Way, Way]) -> None:
    fast, plain = both
    known = [request(SESSION_COOKIE)] * 3
    sent = (*known, request(b"Cookie: " + odd), request(b"Cookie: " + odd), CLOSE)
    same((await fast.raw(*sent), await plain.raw(*sent)))


@pytest.mark.parametrize(
    "headers",
    [
        [b"A-Cookie: sidecar_session=x", SESSION_COOKIE],
        [b"A: Cookie: sidecar_session=x", SESSION_COOKIE],
        [b"c" + SESSION_COOKIE[1:]],
    ],
    ids=["another name's end", "a value", "lower case"],
)
async def test_only_the_cookie_header_is_looked_past(headers: list[bytes], both: tuple[Way, Way]) -> None:
    fast, plain = both
    sent = [request(*headers, *NAVIGATE)] * 3 + [
        request(*headers[:-1], STRANGER, *NAVIGATE),
        request(STRANGER),
        request(),
    ]
    reply = same((await fast.raw(*sent, CLOSE), await plain.raw(*sent, CLOSE)))
    statuses = [int(status) for status in re.findall(rb"HTTP/1.1 (\d+) ", reply)]
    assert statuses == [200, 200, 200, 403, 403, 401, 200]


async def test_two_session_cookies_stay_two_whatever_is_remembered(both: tuple[Way, Way]) -> None:
    fast, plain = both
    sent = [request(SESSION_COOKIE)] * 3 + [request(SESSION_COOKIE, STRANGER)] * 3 + [request(STRANGER)]
    reply = same((await fast.raw(*sent, CLOSE), await plain.raw(*sent, CLOSE)))
    statuses = [int(status) for status in re.findall(rb"HTTP/1.1 (\d+) ", reply)]
    assert statuses == [200, 200, 200, 400, 400, 400, 403, 200]


async def test_what_is_remembered_is_judged_anew(both: tuple[Way, Way]) -> None:
    fast, plain = both
    session = SESSION._replace(id="cd" * 16)
    check = request(b"Cookie: " + cookie(fast.sidecar, session))

    async def replies(way: Way) -> list[bytes]:
        reader, writer = await asyncio.open_connection("127.0.0.1", way.port)
        answers = []
        for _ in range(3):
            writer.write(check)
            answers.append(await reader.readuntil(b"\r\n\r\n"))
        way.sidecar.feed.apply(Revocation(1, session.id, NOW + 3600))
        writer.write(check)
        answers.append(await reader.readuntil(b"\r\n\r\n"))
        writer.close()
        return answers

    answers = await replies(fast)
    assert [answer.split()[1] for answer in answers] == [b"200", b"200", b"200", b"401"]
    assert fast.answered == 4
    assert answers == await replies(plain)


async def test_bytes_behind_an_unfinished_request_are_part_of_it(both: tuple[Way, Way]) -> None:
    fast, plain = both
    check = request(SESSION_COOKIE)
    begun = b"GET /auth/healthz HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nX-Rest: "
    for sent in (
        (check, begun, check, CLOSE),
        (check, b"\r\n", check, CLOSE),
        (check, check + b"G", b"ET /"),
    ):
        same((await fast.raw(*sent, half_close=True), await plain.raw(*sent, half_close=True)))


async def test_what_comes_once_or_is_long_is_not_remembered(both: tuple[Way, Way]) -> None:
    async with way(fast=True) as fast:
        once = [request(SESSION_COOKIE, b"User-Agent: %d" % number) for number in range(3)]
        long = request(b"X-Long: " + b"x" * 5000)
        await fast.raw(*once, long, long, CLOSE)
        assert fast.answered == 5
        known = next(iter(fast.connections)).app_state[fastpath.SHARED].repeats
        assert len(known) == 0
        await fast.raw(once[0], CLOSE)
        assert len(known) == 1


async def test_a_connection_that_is_alone_gets_its_reply_at_once_and_one_of_several_at_the_end_of_the_turn(
    both: tuple[Way, Way],
) -> None:
    fast, _ = both
    first, second = (connection(fast.sidecar) for _ in range(2))
    second[0].app_state = first[0].app_state
    for protocol, wire in (first, second):
        protocol.connection_made(wire)
    asked = request()
    assert written(*first, asked) == 0  # nobody knows yet whether others reply in this turn
    await asyncio.sleep(0)
    assert written(*first, asked) > 0
    assert written(*second, asked) == 0
    assert written(*first, asked) > 0
    await asyncio.sleep(0)
    assert written(*second, asked) > 0
    assert written(*first, asked) == 0


def connection(sidecar: Sidecar) -> tuple[FastPath, Wire]:
    """A connection without a socket."""
    config = uvicorn.Config(sidecar, http=FastPath, ws="none", lifespan="off", log_config=None)
    config.load()
    protocol = FastPath(config=config, server_state=ServerState(), app_state={DOOR: sidecar})
    return protocol, Wire()


def written(protocol: FastPath, wire: Wire, asked: bytes) -> int:
    """How many bytes come back before the turn of the loop ends."""
    before = len(wire.written)
    protocol.data_received(asked)
    return len(wire.written) - before


async def test_replies_of_one_turn_keep_their_order(both: tuple[Way, Way]) -> None:
    fast, plain = both
    check = request(SESSION_COOKIE)
    for burst in (check + LEFT_TO_ASGI["post"] + CLOSE, check * 2 + request(version=b"1.0")):
        reply = same((await fast.raw(burst), await plain.raw(burst)))
        assert reply.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("path", [b"/auth/check", b"/auth/healthz"])
async def test_nothing_is_kept_of_a_connection_that_was_reset(
    path: bytes, fast: bool, both: tuple[Way, Way]
) -> None:
    way = both[0] if fast else both[1]
    way.connections.clear()
    reader, writer = await asyncio.open_connection("127.0.0.1", way.port)
    writer.write(request(SESSION_COOKIE, path=path))
    await reader.readuntil(b"\r\n\r\n")
    (connection,) = way.connections
    timers = [vars(connection).get(name) for name in ("timeout_keep_alive_task", "_idle_timer")]
    running = [timer for timer in timers if timer is not None]
    assert len(running) == 1
    linger = struct.pack("ii", 1, 0)  # an RST instead of a FIN
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()
    while connection in connection.connections:
        await asyncio.sleep(0.01)
    assert running[0].cancelled()


@pytest.mark.parametrize("before", [b"", request(SESSION_COOKIE), request(SESSION_COOKIE) * 9])
@pytest.mark.parametrize(("over", "status"), [(0, b"200"), (1, b"413")])
async def test_the_limit_of_headers_is_one_wherever_the_request_begins(
    before: bytes, over: int, status: bytes, both: tuple[Way, Way]
) -> None:
    fast, plain = both
    lines = [line.split(b": ") for line in request(SESSION_COOKIE).split(b"\r\n")[1:-2]]
    room = MAX_HEADERS - sum(len(name) + len(value) for name, value in lines)
    large = request(SESSION_COOKIE, b"X-Filler: " + b"x" * (room - len("X-Filler") + over))
    reply = same((await fast.raw(before + large, CLOSE), await plain.raw(before + large, CLOSE)))
    found = re.findall(rb"HTTP/1.1 (\d+) ", reply)
    assert found == [b"200"] * before.count(b"GET /") + [status, b"200"]


async def test_what_is_no_http_takes_nothing_from_the_check_before_it(both: tuple[Way, Way]) -> None:
    fast, _ = both
    reply = await fast.raw(request(SESSION_COOKIE) + b"\x00\r\n\r\n")
    assert re.findall(rb"HTTP/1.1 (\d+) ", reply) == [b"200", b"400"]


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
    assert fast.waiting < 1_000_000


async def test_what_is_remembered_waits_for_a_client_that_does_not_read(both: tuple[Way, Way]) -> None:
    fast, _ = both
    reader, writer = await asyncio.open_connection("127.0.0.1", fast.port)
    for answered in (1, 2, 3):
        writer.write(request(SESSION_COOKIE))
        await reader.readuntil(b"\r\n\r\n")
        assert fast.answered == answered
    [connection] = fast.connections
    connection.flow.pause_writing()
    writer.write(request(SESSION_COOKIE))
    await asyncio.sleep(0.1)
    assert fast.answered == 3
    connection.flow.resume_writing()
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
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
    sent = (request(*headers, uri=uri), request(*headers, uri=b"/again"), request(*headers, uri=uri) + CLOSE)
    same((await fast.raw(*sent), await plain.raw(*sent)))


async def test_an_untested_uvicorn_switches_the_fast_path_off_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert fastpath.protocol(wanted=True, version="0.1.2") is not FastPath
    assert [record.event for record in caplog.records] == ["fast_path_off"]  # type: ignore[attr-defined] # set by extra


async def test_the_uvicorn_of_the_tests_is_a_tested_one() -> None:
    assert fastpath.protocol(wanted=True) is FastPath
    assert fastpath.protocol(wanted=False) is not FastPath


async def test_headers_larger_than_a_check_needs_are_the_gates_to_refuse(both: tuple[Way, Way]) -> None:
    fast, plain = both
    large = request(SESSION_COOKIE, b"X-Large: " + b"x" * 70_000)
    sent = (request(SESSION_COOKIE), large, request(SESSION_COOKIE), CLOSE)
    reply = same((await fast.raw(*sent), await plain.raw(*sent)))
    assert reply.count(b"HTTP/1.1 200 OK") == 3
    assert reply.count(b"HTTP/1.1 413 ") == 1
    assert fast.answered == 2
    many = (request(SESSION_COOKIE) * 200, CLOSE)  # large together, not each
    assert same((await fast.raw(*many), await plain.raw(*many))).count(b"x-user-did") == 200
    assert fast.answered == 202
