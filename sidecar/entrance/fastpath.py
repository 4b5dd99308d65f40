"""The check's fast path: answers inside uvicorn's protocol, before a scope's task exists.

Owns: which requests may be answered there, and the bytes on the wire. What is answered is `Check.answer`,
the very function the ASGI way calls, so the two can't differ in what they decide.
Doesn't belong here: any decision about a visitor.

A request that differs from an earlier one only in its cookies and its URI isn't parsed again (repeats.py).
The check answers it like any other.

The replies of one turn of the event loop are sent together at its end. The reader on another core is
then woken once, and waking somebody costs more than a check. If only one connection replied in a turn, its
next reply is sent at once: to wait for the end of the turn would cost another look at every socket.

It leans on these internals of `uvicorn.protocols.http.httptools_impl.HttpToolsProtocol`, as of the versions
in TESTED: a request is made of nothing but `on_message_begin`, `on_url`, `on_header` and
`on_headers_complete`, which can be called late; `cycle` is None before the first ASGI request of a
connection; `flow.write_paused`; `timeout_keep_alive`, `timeout_keep_alive_handler`;
`server_state.default_headers` and `.total_requests`. Under any other version `protocol` says so once and the
plain way is used; `server.fast_path = false` does the same.

The plain way is used for everything else: another path or method, HTTP/1.0, `Connection: close`, a body,
`Expect`, an upgrade, an answer still under way on the connection, a client that doesn't read, a fault.
"""

import http
import logging
from asyncio import AbstractEventLoop, TimerHandle, Transport
from functools import lru_cache
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from sidecar.entrance.connection import Connection
from sidecar.entrance.gate import DOOR, MAX_HEADERS, Door, size
from sidecar.entrance.repeats import Around, Repeats, apart
from sidecar.replies.reply import Reply
from sidecar.request import forwarded
from sidecar.request.forwarded import Target, Unreadable

log = logging.getLogger("sidecar")

TESTED = ("0.54",)
_ASGI_ONLY = frozenset((b"content-length", b"transfer-encoding", b"expect"))

SHARED = "fastpath"  # where the lifespan state holds `Shared`

_IN_A_COOKIE = bytes(range(0x20, 0x7F))  # nothing that ends a header or that a parser refuses
_MOST_UNSENT = (
    65536  # bytes; past this many a connection's replies are written at once, not at the end of the turn
)


def protocol(*, wanted: bool, version: str = uvicorn.__version__) -> type[Connection]:
    """The protocol class for uvicorn's `http` setting."""
    if not wanted:
        return Connection
    if ".".join(version.split(".")[:2]) not in TESTED:
        log.warning(
            "fast path off: not tested with this uvicorn",
            extra={"event": "fast_path_off", "uvicorn": version, "tested": ", ".join(TESTED)},
        )
        return Connection
    return FastPath


class Shared:
    """What the connections of one process have in common: the lifespan state keeps it."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        self.repeats = Repeats()
        self._loop = loop
        self._unsent: list[FastPath] = []
        self.alone: FastPath | None = None  # the only one that replied in the last turn

    def will_send(self, connection: "FastPath") -> None:
        """At the end of this turn of the event loop."""
        if not self._unsent:
            self._loop.call_soon(self._send)
        self._unsent.append(connection)

    def _send(self) -> None:
        unsent, self._unsent = self._unsent, []
        self.alone = unsent[0] if len(unsent) == 1 else None
        for connection in unsent:
            connection.send()


class FastPath(Connection):
    """uvicorn's protocol, with checks answered as soon as their headers are read."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._door: Door | None = None  # None: everything goes the ASGI way
        self._shared = Shared(self.loop)
        self._urls: frozenset[bytes] = frozenset()
        self._between = True  # whether all that was read so far was answered here
        self._begun = 0  # requests, in the bytes just read
        self._received = 0  # bytes that came last
        self._read_so_far = 0  # bytes since the last request ended, or more
        self._target: Target | None = None
        self._reply: Reply | None = None
        self._unsent = b""
        self._bodyless = True
        self._active_at = 0.0
        self._idle_timer: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override] # as uvicorn has it
        super().connection_made(transport)
        door: Door | None = self.app_state.get(DOOR)  # put there at startup (ASGI lifespan state)
        if door is not None and door.gate.may_connect(self.client):
            self._door = door
            self._shared = self.app_state.setdefault(SHARED, self._shared)
            path = door.gate.check_path.encode()
            self._urls = frozenset((path, path + b"?"))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None
        self._unsent = b""
        super().connection_lost(exc)

    def eof_received(self) -> None:
        self.send()
        super().eof_received()

    def shutdown(self) -> None:
        self.send()
        super().shutdown()

    def send_400_response(self, msg: str) -> None:
        self.send()
        super().send_400_response(msg)

    def data_received(self, data: bytes) -> None:
        parts = apart(data) if self._between else None
        if parts is not None and self._repeat(*parts):
            return
        self._begun = 0
        self._received = len(data)
        self._read_so_far += self._received
        super().data_received(data)
        alone = self._between and self._begun == 1
        if parts is not None and alone and self._target is not None and self._target.cookies == parts[1]:
            self._shared.repeats.note(parts[0], self._target)

    def _repeat(self, around: Around, cookies: list[bytes], uri: bytes) -> bool:
        """Answer a request that differs from an earlier one in its cookies and URI alone."""
        target = None if self.flow.write_paused else self._shared.repeats.known(around)
        if target is None or (cookies and not self._are_plain(cookies[0])):
            return False
        reply = self._reply_to(target.again(uri, cookies))
        if reply is None:
            return False
        self.finish(reply)
        return True

    def _are_plain(self, cookies: bytes) -> bool:
        """Whether a parser takes them: it has, or there is nothing in them that one could refuse."""
        seen = self._door is not None and self._door.gate.check.has_seen(cookies)
        return seen or not cookies.translate(None, _IN_A_COOKIE)

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers = []
        self._begun += 1
        self._between = False
        self._bodyless = True
        self._reply = None

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name in _ASGI_ONLY:
            self._bodyless = False
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._target = self._read()
        self._reply = self._reply_to(self._target) if self._target is not None else None
        if self._reply is None:
            self.fall_through()

    def fall_through(self) -> None:
        """Tell uvicorn what was kept from it so far."""
        self.send()
        url, headers = self.url, self.headers
        super().on_message_begin()
        super().on_url(url)
        for name, value in headers:
            super().on_header(name, value)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if self._reply is None:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._read_so_far = self._received  # the next may have begun in the same bytes
        if self._reply is None:
            super().on_message_complete()
            return
        self._between = True
        self.finish(self._reply)

    def send(self) -> None:
        """All replies that wait, now."""
        if self._unsent:
            unsent, self._unsent = self._unsent, b""
            self.transport.write(unsent)

    def finish(self, reply: Reply) -> None:
        wire = reply.wire or self._wired(reply)
        if self._unsent:
            self._unsent += wire
            if len(self._unsent) > _MOST_UNSENT:
                self.send()
        elif self._shared.alone is self:
            self.transport.write(wire)
        else:
            self._unsent = wire
            self._shared.will_send(self)
        self.server_state.total_requests += 1
        self._active_at = self.loop.time()
        if self._idle_timer is None:
            self._idle_timer = self.loop.call_later(self.timeout_keep_alive, self._close_if_idle)

    def _close_if_idle(self) -> None:
        """One timer for many answers, which looks when it fires instead of being set anew each time."""
        self._idle_timer = None
        idle = self.loop.time() - self._active_at
        if idle < self.timeout_keep_alive:
            self._idle_timer = self.loop.call_later(self.timeout_keep_alive - idle, self._close_if_idle)
        elif self._is_idle():
            self.timeout_keep_alive_handler()

    def _is_idle(self) -> bool:
        """Whether no answer is under way the ASGI way."""
        cycle: RequestResponseCycle | None = self.cycle  # uvicorn's annotation leaves the None out
        return cycle is None or cycle.response_complete

    def _read(self) -> Target | None:
        """What the check is about, or None if it can't be answered here."""
        if self.url not in self._urls or not self._is_plain():
            return None
        if self._read_so_far > MAX_HEADERS and size(self.headers) > MAX_HEADERS:
            return None
        try:
            return forwarded.read(self.headers)
        except Unreadable:
            return None

    def _reply_to(self, target: Target) -> Reply | None:
        if self._door is None:
            return None
        try:
            return self._door.gate.check.answer_for(target)
        except Exception:  # noqa: BLE001 # the ASGI way meets the same fault, logs it and answers 500
            return None

    def _is_plain(self) -> bool:
        parser = self.parser
        return (
            self._bodyless
            and self._is_idle()
            and parser.get_method() == b"GET"
            and parser.should_keep_alive()
            and not parser.should_upgrade()
            and parser.get_http_version() == "1.1"
            and not self.flow.write_paused
        )

    def _wired(self, reply: Reply) -> bytes:
        """The reply's bytes, kept with it for the next time unless they carry a date."""
        base = reply.base
        if base is None:
            wire = self._joined(reply)
        else:  # only one line is added to bytes that are there already
            wire = b"%b%b: %b\r\n\r\n" % ((base.wire or self._wired(base))[:-2], *reply.headers[-1])
        if not self.server_state.default_headers:
            reply.wire = wire
        return wire

    def _joined(self, reply: Reply) -> bytes:
        parts = [_status_line(reply.status)]
        for name, value in (*self.server_state.default_headers, *reply.headers):
            parts += (name, b": ", value, b"\r\n")
        parts += (b"\r\n", reply.body)
        return b"".join(parts)


@lru_cache
def _status_line(status: int) -> bytes:
    return f"HTTP/1.1 {status} {http.HTTPStatus(status).phrase}\r\n".encode()
