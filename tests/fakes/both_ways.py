"""Every check that a test makes, made by the fast path too, and held against what ASGI answered.

Owns: putting one request to `FastPath` without a socket, as a first, a second and a remembered one.
What it doesn't answer itself it leaves to ASGI, which is what the test sees anyway.
"""

import asyncio
import copy
import logging
from types import SimpleNamespace
from typing import Any

import httpx
import uvicorn
from uvicorn.server import ServerState

from sidecar.app import Sidecar
from sidecar.check.check import Check
from sidecar.check.tally import Tally
from sidecar.entrance import fastpath
from sidecar.entrance.fastpath import FastPath
from sidecar.entrance.gate import DOOR

Answer = tuple[int, list[tuple[bytes, bytes]], bytes]


class Wire(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 1) if name in ("peername", "sockname") else default

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def is_closing(self) -> bool:
        return False


class Trial(FastPath):
    """The fast path alone: what it leaves to ASGI has no answer."""

    left = False

    def fall_through(self) -> None:
        self.left = True

    def on_body(self, body: bytes) -> None:
        pass

    def on_message_complete(self) -> None:
        if not self.left:
            super().on_message_complete()


def expect_the_same(sidecar: Sidecar, request: httpx.Request, before: Check, answer: httpx.Response) -> None:
    """Raises AssertionError. `before`: a `twin` of the check as it was when it gave this answer."""
    expected = answer.status_code, answer.headers.raw, answer.content
    shared = fastpath.Shared(asyncio.get_event_loop())
    for each in [twin(before) for _ in range(3)]:
        assert ask(sidecar, request, each, shared) in (None, expected)


def twin(check: Check) -> Check:
    """The same check once more, whose answers leave no trace in the first."""
    made = copy.copy(check)
    made.redirected = copy.deepcopy(check.redirected)
    made.offered = copy.deepcopy(check.offered)
    made.tally = Tally(logging.getLogger("twin"))
    made.seen = lambda _: None
    return made


def ask(sidecar: Sidecar, request: httpx.Request, check: Check, shared: fastpath.Shared) -> Answer | None:
    """The fast path's answer; None where it left the request to ASGI."""
    config = uvicorn.Config(sidecar, http=Trial, ws="none", lifespan="off", log_config=None)
    config.load()
    gate = sidecar.gate
    door = SimpleNamespace(check=check, check_path=gate.check_path, may_connect=gate.may_connect)
    state = {DOOR: SimpleNamespace(gate=door), fastpath.SHARED: shared}
    protocol, wire = Trial(config=config, server_state=ServerState(), app_state=state), Wire()
    protocol.connection_made(wire)
    protocol.data_received(_bytes(request))
    protocol.send()
    protocol.connection_lost(ConnectionError())
    return None if protocol.left else _read(wire.written)


def _bytes(request: httpx.Request) -> bytes:
    lines = [b"%b %b HTTP/1.1" % (request.method.encode(), request.url.raw_path)]
    lines += [name + b": " + value for name, value in request.headers.raw]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def _read(wire: bytes) -> Answer:
    head, _, body = wire.partition(b"\r\n\r\n")
    status, *lines = head.split(b"\r\n")
    headers = [(name, value) for name, _, value in (line.partition(b": ") for line in lines)]
    return int(status.split(b" ")[1]), headers, body
