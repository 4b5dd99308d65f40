"""The check's fast path: answers inside uvicorn's protocol, before a scope's task exists.

Owns: which requests may be answered there, and the bytes on the wire. What is answered is `Check.answer`,
the very function the ASGI way calls, so the two can't differ in what they decide.
Doesn't belong here: any decision about a visitor.

It leans on these internals of `uvicorn.protocols.http.httptools_impl.HttpToolsProtocol`, as of the versions
in TESTED: `on_message_begin` makes `url`, `headers` and `scope` and nothing else that matters to us;
`on_header` fills `headers` with names in lower case; `cycle` is None before the first ASGI request of a
connection; `flow.write_paused`; `timeout_keep_alive`, `timeout_keep_alive_handler`;
`server_state.default_headers` and `.total_requests`. Under any other version `protocol` says so once and the
plain way is used; `server.fast_path = false` does the same.

It falls through for all it doesn't know for certain: another path or method, HTTP/1.0, `Connection: close`,
a body, `Expect`, an upgrade, an answer still under way on the connection, a client that doesn't read, a
fault.
"""

import http
import logging
from asyncio import TimerHandle, Transport
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from sidecar.replies import Reply

log = logging.getLogger("sidecar")

TESTED = ("0.54",)
_ASGI_ONLY = frozenset((b"content-length", b"transfer-encoding", b"expect"))

Answer = Callable[[list[tuple[bytes, bytes]]], Reply]


def protocol(*, wanted: bool, version: str = uvicorn.__version__) -> type[HttpToolsProtocol]:
    """The protocol class for uvicorn's `http` setting."""
    if not wanted:
        return HttpToolsProtocol
    if ".".join(version.split(".")[:2]) not in TESTED:
        log.warning(
            "fast path off: not tested with this uvicorn",
            extra={"event": "fast_path_off", "uvicorn": version, "tested": ", ".join(TESTED)},
        )
        return HttpToolsProtocol
    return FastPath


class FastPath(HttpToolsProtocol):
    """uvicorn's protocol, with checks answered as soon as their headers are read."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._answer: Answer | None = None
        self._urls: frozenset[bytes] = frozenset()
        self._answered = False
        self._active_at = 0.0
        self._idle_timer: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override] # as uvicorn has it
        super().connection_made(transport)
        gate = getattr(self.app, "gate", None)  # None where uvicorn wrapped the app (log level trace)
        if gate is not None and gate.may_connect(self.client):
            self._answer = gate.check.answer
            path = gate.check_path.encode()
            self._urls = frozenset((path, path + b"?"))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """As uvicorn's, but for the scope, which only the ASGI way needs."""
        self.url = b""
        self.headers = []
        self.expect_100_continue = False

    def on_headers_complete(self) -> None:
        reply = self._reply()
        if reply is None:
            url, headers, expect = self.url, self.headers, self.expect_100_continue
            super().on_message_begin()
            self.url, self.expect_100_continue = url, expect
            self.headers += headers
            super().on_headers_complete()
            return
        self._answered = True
        self._send(reply)

    def on_body(self, body: bytes) -> None:
        if not self._answered:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if not self._answered:
            super().on_message_complete()
            return
        self._answered = False
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

    def _reply(self) -> Reply | None:
        """The answer, where this request may be answered here."""
        if self.url not in self._urls or self._answer is None or not self._is_plain():
            return None
        try:
            return self._answer(self.headers)
        except Exception:  # noqa: BLE001 # the ASGI way meets the same fault, logs it and answers 500
            return None

    def _is_plain(self) -> bool:
        parser = self.parser
        return (
            self._is_idle()
            and _ASGI_ONLY.isdisjoint(dict(self.headers))
            and parser.get_method() == b"GET"
            and parser.should_keep_alive()
            and not parser.should_upgrade()
            and parser.get_http_version() == "1.1"
            and not self.flow.write_paused
        )

    def _send(self, reply: Reply) -> None:
        self.transport.write(reply.wire or self._wire(reply))

    def _wire(self, reply: Reply) -> bytes:
        """The reply's bytes, kept with it for the next time unless they carry a date."""
        parts = [_status_line(reply.status)]
        for name, value in (*self.server_state.default_headers, *reply.headers):
            parts += (name, b": ", value, b"\r\n")
        parts += (b"\r\n", reply.body)
        wire = b"".join(parts)
        if not self.server_state.default_headers:
            reply.wire = wire
        return wire


@lru_cache
def _status_line(status: int) -> bytes:
    return f"HTTP/1.1 {status} {http.HTTPStatus(status).phrase}\r\n".encode()
