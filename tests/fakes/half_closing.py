"""A TLS server on loopback that says goodbye in TLS only: close_notify, and no FIN (RFC 8446, section 6.1).

Real load balancers do that to connections they have kept long enough. `Farewell` says when.
"""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeVar

from tests.lab.certs import Certificates

T = TypeVar("T")


class Farewell(Enum):
    """When a connection is half-closed, and how."""

    WITH_THE_ANSWER = "in the same segment as the first answer"
    AFTER_THE_ANSWER = "a moment after the first answer"
    AT_THE_NEXT_REQUEST = "close_notify when the second request has come, which gets no answer"
    BREAK_AT_THE_NEXT_REQUEST = "the TCP connection ends when the second request has come"
    IN_THE_NEXT_ANSWER = "close_notify in the middle of the second answer's head"
    NEVER = "connections are kept"
    AT_EVERY_REQUEST = "close_notify when a request has come; none is ever answered"


@dataclass
class HalfClosing:
    """`requests`: the request lines as they came, each with the number of its connection."""

    farewell: Farewell
    port: int = 0
    connections: int = 0
    requests: list[tuple[int, str]] = field(default_factory=list)
    said: asyncio.Event = field(default_factory=asyncio.Event)  # a close_notify is on its way
    writers: set[asyncio.StreamWriter] = field(default_factory=set)


ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n{}"


class _Connection:
    def __init__(
        self, context: ssl.SSLContext, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._reader, self._writer = reader, writer

    async def drive(self, step: Callable[[], T]) -> T:
        while True:
            try:
                result = step()
            except ssl.SSLWantReadError:
                await self._flush()
                received = await self._reader.read(65536)
                if not received:
                    raise ConnectionError from None
                self._incoming.write(received)
            else:
                await self._flush()
                return result

    async def request(self) -> str:
        received = await self.drive(lambda: self._tls.read(65536))
        while not _whole(received):
            received += await self.drive(lambda: self._tls.read(65536))
        return received.decode("latin-1").split("\r\n")[0]

    async def answer(self, content: bytes, *, close_notify: bool) -> None:
        if content:
            self._tls.write(content)
        if close_notify:
            with suppress(ssl.SSLWantReadError):
                self._tls.unwrap()
        await self._flush()

    async def handshake(self) -> None:
        await self.drive(self._tls.do_handshake)

    async def _flush(self) -> None:
        self._writer.write(self._outgoing.read())
        await self._writer.drain()


def _whole(received: bytes) -> bool:
    head, end, body = received.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: ([0-9]+)", head)
    return bool(end) and len(body) >= int(length[1] if length else 0)


async def _serve(server: HalfClosing, link: _Connection, number: int) -> bool:
    """Until the connection ends; whether it is to be broken."""
    await link.handshake()
    answered = 0
    while True:
        line = await link.request()
        server.requests.append((number, line))
        again = answered > 0 and number == 1
        match server.farewell:
            case Farewell.BREAK_AT_THE_NEXT_REQUEST if again:
                return True
            case Farewell.AT_THE_NEXT_REQUEST if again:
                await link.answer(b"", close_notify=True)
            case Farewell.IN_THE_NEXT_ANSWER if again:
                await link.answer(ANSWER[:20], close_notify=True)
            case Farewell.AT_EVERY_REQUEST:
                await link.answer(b"", close_notify=True)
            case Farewell.WITH_THE_ANSWER:
                await link.answer(ANSWER, close_notify=True)
                server.said.set()
            case Farewell.AFTER_THE_ANSWER:
                await link.answer(ANSWER, close_notify=False)
                await asyncio.sleep(0.05)
                await link.answer(b"", close_notify=True)
                server.said.set()
            case _:
                await link.answer(ANSWER, close_notify=False)
        answered += 1


@asynccontextmanager
async def half_closing(certificates: Certificates, farewell: Farewell) -> AsyncIterator[HalfClosing]:
    server, over = HalfClosing(farewell), asyncio.Event()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.leaf, certificates.key)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        server.writers.add(writer)
        with suppress(ConnectionError, ssl.SSLError):
            if await _serve(server, _Connection(context, reader, writer), server.connections):
                writer.transport.abort()
                return
        await over.wait()  # the TCP connection stays open

    listening = await asyncio.start_server(connected, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        over.set()
        for writer in server.writers:
            writer.transport.abort()
        await asyncio.sleep(0.01)  # the last tasks end
