"""One request and one reply as bytes: where to send it, what comes back, whether it is the right one.

Doesn't belong here: sending many (load.py, client.py), what to ask (request.py).
"""

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Address:
    """A TCP port on loopback, or a unix socket."""

    port: int = 0
    path: Path | None = None

    def connect(self, timeout: float = 30.0) -> socket.socket:
        """A connected socket. OSError if nobody listens."""
        if self.path is None:
            return socket.create_connection(("127.0.0.1", self.port), timeout)
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(timeout)
        try:
            connection.connect(str(self.path))
        except OSError:
            connection.close()
            raise
        return connection

    def answers(self) -> bool:
        """Whether something accepts connections."""
        try:
            self.connect().close()
        except OSError:
            return False
        return True

    def __str__(self) -> str:
        return f"127.0.0.1:{self.port}" if self.path is None else f"unix:{self.path}"


def parse_address(text: str) -> Address:
    """The reverse of `str`."""
    kind, _, rest = text.rpartition(":")
    return Address(path=Path(rest)) if kind == "unix" else Address(port=int(rest))


@dataclass(frozen=True, slots=True)
class Reply:
    """`headers`: names in lower case, the last value of each. `cookies`: every `name=value` that was set.
    `length`: bytes of the whole on the wire."""

    status: int
    headers: Mapping[str, str]
    cookies: Sequence[str]
    body: bytes
    length: int


@dataclass(frozen=True, slots=True)
class Expected:
    """What the right answer looks like: its status, some headers, words its body must hold.

    `begins`: the headers whose value only begins so, since the time of the check follows.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    begins: Mapping[str, str] = field(default_factory=dict)

    def fault(self, reply: Reply) -> str:
        """What is wrong with the reply; empty if it is right."""
        if reply.status != self.status:
            return f"status {reply.status}, not {self.status}"
        for name, value in self.headers.items():
            if reply.headers.get(name) != value:
                return f"{name}: {reply.headers.get(name)!r}, not {value!r}"
        for name, value in self.begins.items():
            if not reply.headers.get(name, "").startswith(value):
                return f"{name}: {reply.headers.get(name)!r} doesn't begin with {value!r}"
        return "" if self.body in reply.body else f"no {self.body!r} in the body"


def read_reply(connection: socket.socket) -> Reply:
    """One reply with a Content-Length. ConnectionError if it doesn't come whole."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _more(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    status_line, *lines = head.decode("latin-1").split("\r\n")
    pairs = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    headers = dict(pairs)
    wanted = int(headers.get("content-length", "0"))
    while len(body) < wanted:
        body += _more(connection)
    cookies = [value.partition(";")[0] for name, value in pairs if name == "set-cookie"]
    return Reply(int(status_line.split()[1]), headers, cookies, body, len(head) + 4 + len(body))


def _more(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise ConnectionError("the connection was closed in the middle of a reply")
    return data
