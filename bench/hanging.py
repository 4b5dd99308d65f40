"""Sign-ins that get stuck: servers on loopback that accept and never answer, and the people who wait for
them."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from bench.signing_in import form
from bench.subject import Subject
from bench.wire import Address, read_reply

_PATIENCE = 30.0  # seconds for a sign-in to reach its server


class NotHangingError(Exception):
    """Fewer sign-ins are under way than should be."""


@contextmanager
def sign_ins(sidecar: Subject, probe_cookie: str, wanted: int) -> Iterator[None]:
    """So many sign-ins wait at once, each for a server of its own, for as long as the block runs.

    Proved twice: at the beginning every server holds a connection with a request on it; at the end nobody
    has got an answer, and no server has lost its connection. Raises NotHangingError."""
    with ExitStack() as stack:
        servers = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(wanted)]
        people = [stack.enter_context(_start(sidecar.address, each, probe_cookie)) for each in servers]
        held = [stack.enter_context(_accept(server, n)) for n, server in enumerate(servers)]
        yield
        still = sum(_silent(connection) for connection in held)
        waiting = sum(_silent(person) for person in people)
        if still != wanted or waiting != wanted:
            raise NotHangingError(f"of {wanted} sign-ins {still} still hung at their server, {waiting} here")
        for connection in held:
            connection.close()
        for person in people:
            read_reply(person)  # the form again, with what went wrong


def _start(address: Address, server: socket.socket, probe_cookie: str) -> socket.socket:
    """Somebody posts the form and waits."""
    request, body = form(f"http://127.0.0.1:{server.getsockname()[1]}", [probe_cookie])
    person = address.connect()
    person.sendall(request.raw() + body)
    return person


def _accept(server: socket.socket, before: int) -> socket.socket:
    """The connection that the sidecar makes, once its request is there."""
    server.settimeout(_PATIENCE)
    try:
        connection, _ = server.accept()
        connection.settimeout(_PATIENCE)
        begins = connection.recv(4)
    except TimeoutError as error:
        raise NotHangingError(f"only {before} sign-ins reached their servers") from error
    if begins != b"GET ":
        raise NotHangingError(f"a sign-in sent {begins!r}")
    return connection


def _silent(connection: socket.socket) -> bool:
    """Open, and nothing more has come. The rest of the request that is held may still lie there."""
    connection.settimeout(0)
    try:
        while data := connection.recv(65536):
            if data.startswith(b"HTTP/"):
                return False
    except BlockingIOError:
        return True
    finally:
        connection.settimeout(_PATIENCE)
    return False
