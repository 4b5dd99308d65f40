"""A TLS (or plain) server on loopback that says whatever bytes a test wants, and the wires that lead to it.

`Wires` stand in for the two ends of the guarded transport that touch the network: names resolve to what the
test says, and connections to an address go to the server, however public the address looks. The guard
between is the real one.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpcore

from sidecar.atproto import transport
from tests.lab.certs import Certificates, issue

PUBLIC = "93.184.216.34"


@dataclass
class Request:
    line: str
    headers: dict[str, str]
    body: bytes
    connection: int

    @property
    def target(self) -> str:
        return self.line.split(" ")[1]


Answer = Callable[[Request, asyncio.StreamWriter], Awaitable[None]]


def says(status: int, body: bytes = b"", **headers: str) -> Answer:
    """A whole, well-formed answer; `content_type` and the like name headers."""

    async def answer(_: Request, writer: asyncio.StreamWriter) -> None:
        lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    return answer


async def flood(writer: asyncio.StreamWriter, piece: bytes) -> AsyncIterator[int]:
    """Send a piece over and over until the connection ends; says how many bytes it has been."""
    sent = 0
    while True:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0)  # drain() alone may never yield: a lost TLS connection takes all it is given
        sent += len(piece)
        yield sent


@dataclass
class RawServer:
    """`answers` by path; `requests` as they came; `connections` accepted; `names` asked for in handshakes."""

    port: int = 0
    answers: dict[str, Answer] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    names: list[str | None] = field(default_factory=list)
    closed: asyncio.Event = field(default_factory=asyncio.Event)  # a connection ended
    writers: set[asyncio.StreamWriter] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        connection = self.connections
        self.writers.add(writer)
        with suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                headers = {k.lower(): v.strip() for k, _, v in (h.partition(":") for h in head[1:] if h)}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                request = Request(head[0], headers, body, connection)
                self.requests.append(request)
                await self.answers.get(request.target, says(404))(request, writer)
                await writer.drain()
        writer.close()
        self.closed.set()


@asynccontextmanager
async def raw_server(certificates: Certificates | None = None) -> AsyncIterator[RawServer]:
    server, context = RawServer(), None
    if certificates:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates.leaf, certificates.key)
        context.sni_callback = lambda _socket, name, _context: server.names.append(name)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=context)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        for writer in server.writers:
            writer.transport.abort()
        await listening.wait_closed()


@dataclass
class Wires:
    """`addresses`: what each name resolves to; a list of lists answers one lookup after the other."""

    port: int
    addresses: dict[str, list[str] | list[list[str]]] = field(default_factory=dict)
    resolved: list[str] = field(default_factory=list)
    connected: list[tuple[str, int]] = field(default_factory=list)
    dead: set[str] = field(default_factory=set)
    silent: set[str] = field(default_factory=set)  # packets go there, and none comes back

    async def resolve(self, host: str, _port: int) -> Sequence[str]:
        self.resolved.append(host)
        found = self.addresses.get(host, [PUBLIC])
        if found and isinstance(found[0], list):
            return [str(address) for address in found.pop(0)]
        return [str(address) for address in found]

    async def connect(self, address: str, port: int) -> httpcore.AsyncNetworkStream:
        self.connected.append((address, port))
        if address in self.dead:
            raise httpcore.ConnectError("nobody there")
        if address in self.silent:
            await asyncio.Event().wait()
        return await transport.connect("127.0.0.1", self.port)


def certificates(folder: Path) -> Certificates:
    return issue(folder, ["*.example.com", "example.com", "*.example.org"])
