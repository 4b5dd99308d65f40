"""HTTP/1.1 by the byte: a client that sends what no library would, and a server that keeps what it got.

For what proxies do to odd requests. Everything else uses a real client and the real programs.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import h11

Headers = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Message:
    """A request (`start` is its target, as sent) or an answer (`start` is its status)."""

    start: str
    headers: Headers
    body: bytes = b""

    def all(self, name: str) -> list[str]:
        """Every value of a header, in order."""
        return [value for key, value in self.headers if key == name.lower()]

    @property
    def status(self) -> int:
        return int(self.start)


async def send(port: int, raw: str, *, tls: ssl.SSLContext | None = None, name: str | None = None) -> Message:
    """Send the text as it is (line ends become CRLF) and read one answer; over TLS, as `name`."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls, server_hostname=name)
    parser = h11.Connection(h11.CLIENT)
    method = "HEAD" if raw.startswith("HEAD ") else "GET"
    parser.send(h11.Request(method=method, target="/", headers=[("Host", "h11")]))  # its state only
    parser.send(h11.EndOfMessage())
    try:
        writer.write(raw.replace("\n", "\r\n").encode("latin-1"))
        return await _message(parser, reader)
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def _message(parser: h11.Connection, reader: asyncio.StreamReader) -> Message:
    head: h11.Request | h11.Response | None = None
    body = b""
    while True:
        match parser.next_event():
            case h11.NEED_DATA:
                parser.receive_data(await reader.read(65536))
            case h11.Request() | h11.Response() as head:
                pass
            case h11.Data(data=data):
                body += bytes(data)
            case h11.EndOfMessage() if head is not None:
                start = head.target.decode() if isinstance(head, h11.Request) else str(head.status_code)
                return Message(start, [(n.decode(), v.decode("latin-1")) for n, v in head.headers], body)
            case h11.ConnectionClosed() | h11.PAUSED:
                raise ConnectionError("closed before a whole message")


Answer = tuple[int, Headers, bytes]


@asynccontextmanager
async def recording(port: int, answer: Callable[[Message], Answer]) -> AsyncIterator[list[Message]]:
    """Serve on the port with `answer`; yields the requests as they came, but for names in lower case."""
    seen: list[Message] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        parser = h11.Connection(h11.SERVER)
        with suppress(ConnectionError, h11.RemoteProtocolError):
            while True:
                request = await _message(parser, reader)
                seen.append(request)
                status, headers, body = answer(request)
                headers = [*headers, ("Content-Length", str(len(body)))]
                sent = [(name.encode(), value.encode("latin-1")) for name, value in headers]
                head = h11.Response(status_code=status, headers=sent)
                for event in (head, h11.Data(body), h11.EndOfMessage()):
                    writer.write(parser.send(event) or b"")
                await writer.drain()
                parser.start_next_cycle()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    try:
        yield seen
    finally:
        server.close()
