"""The check's fast path: answers inside uvicorn's protocol, before a scope's task exists.

Owns: which requests may be answered there, and the bytes on the wire. What is answered is `Check.answer`,
the very function the ASGI way calls, so the two can't differ in what they decide.
Doesn't belong here: any decision about a visitor.

It leans on these internals of `uvicorn.protocols.http.httptools_impl.HttpToolsProtocol`, as of the versions
in TESTED: `url`, `headers` and `parser` while a request is read; `cycle` (None before the first ASGI request
of a connection), `flow.write_paused`, `_unset_keepalive_if_required` called on data;
`timeout_keep_alive_task` and `timeout_keep_alive_handler` for idle connections;
`server_state.default_headers` and `.total_requests`. Under any other version `protocol` says so once and the
plain way is used; `server.fast_path = false` does the same.

It falls through for all it doesn't know for certain: another path or method, HTTP/1.0, `Connection: close`,
a body, `Expect`, an upgrade, an answer still under way on the connection, a client that doesn't read, a
fault.
"""

import http
import logging
from asyncio import Transport
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
        self._path = b""
        self._answered = False

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override] # as uvicorn has it
        super().connection_made(transport)
        gate = getattr(self.app, "gate", None)  # None where uvicorn wrapped the app (log level trace)
        if gate is not None and gate.may_connect(self.client):
            self._answer = gate.check.answer
            self._path = gate.check_path.encode()

    def on_headers_complete(self) -> None:
        reply = self._reply()
        if reply is None:
            super().on_headers_complete()
            return
        self._answered = True
        self.transport.write(self._wire(reply))

    def on_body(self, body: bytes) -> None:
        if not self._answered:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if not self._answered:
            super().on_message_complete()
            return
        self._answered = False
        self.server_state.total_requests += 1
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )

    def _reply(self) -> Reply | None:
        """The answer, where this request may be answered here."""
        if self._answer is None or not self._is_check() or not self._is_plain():
            return None
        try:
            return self._answer(self.headers)
        except Exception:  # noqa: BLE001 # the ASGI way meets the same fault, logs it and answers 500
            return None

    def _is_check(self) -> bool:
        url, path = self.url, self._path
        return url == path or (url.startswith(path) and url[len(path)] == 0x3F)  # "?"

    def _is_plain(self) -> bool:
        parser = self.parser
        cycle: RequestResponseCycle | None = self.cycle  # uvicorn's annotation leaves the None out
        return (
            (cycle is None or cycle.response_complete)
            and not self.flow.write_paused
            and parser.get_method() == b"GET"
            and parser.get_http_version() == "1.1"
            and parser.should_keep_alive()
            and not parser.should_upgrade()
            and not any(name in _ASGI_ONLY for name, _ in self.headers)
        )

    def _wire(self, reply: Reply) -> bytes:
        parts = [_status_line(reply.status)]
        for name, value in (*self.server_state.default_headers, *reply.headers):
            parts += (name, b": ", value, b"\r\n")
        parts += (b"\r\n", reply.body)
        return b"".join(parts)


@lru_cache
def _status_line(status: int) -> bytes:
    return f"HTTP/1.1 {status} {http.HTTPStatus(status).phrase}\r\n".encode()
