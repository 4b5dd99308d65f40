"""What is sent back, ready for the wire: status, headers, body.

Owns: `Reply`, and how each kind of it is put together.
Doesn't belong here: the words (words.py), pages and their security headers (pages.py).
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

Header = tuple[bytes, bytes]


@dataclass(slots=True)
class Reply:
    """A whole answer, ready to send. `headers`: names in lower case, as ASGI wants them.

    `wire`: its bytes, once the fast path has sent it. `base`: an empty reply that lacks only the last header.
    """

    status: int
    headers: list[Header]
    body: bytes
    wire: bytes = b""
    base: "Reply | None" = None

    def with_header(self, name: bytes, value: bytes) -> "Reply":
        """The same with one header more. Only for a reply without a body."""
        return Reply(self.status, [*self.headers, (name, value)], b"", base=self)


_PLAIN: tuple[Header, ...] = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))


def html(status: int, body: bytes, headers: Iterable[Header] = ()) -> Reply:
    """A page. `headers`: the security headers that suit it, and its own."""
    return _reply(status, b"text/html; charset=utf-8", body, headers)


def text(status: int, words: str, headers: Iterable[Header] = ()) -> Reply:
    """A line of text for programs: a misdirected proxy, a monitor."""
    return _reply(status, b"text/plain; charset=utf-8", words.encode() + b"\n", headers)


def json_reply(status: int, document: Mapping[str, object], headers: Iterable[Header] = ()) -> Reply:
    """A JSON object."""
    return _reply(status, b"application/json", json.dumps(document).encode(), headers)


def redirect(status: int, location: str, headers: Iterable[Header] = ()) -> Reply:
    """A redirect that nothing may remember."""
    to = (b"location", location.encode("ascii"))
    return Reply(status, [to, *_PLAIN, (b"content-length", b"0"), *headers], b"")


def _reply(status: int, kind: bytes, body: bytes, headers: Iterable[Header]) -> Reply:
    length = str(len(body)).encode()
    return Reply(status, [(b"content-type", kind), *_PLAIN, (b"content-length", length), *headers], body)
