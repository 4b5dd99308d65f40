"""Our own load generator, against a server that answers as it is told."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench import load
from bench.load import WrongAnswersError, walking
from bench.request import check
from bench.wire import Address, Expected, Reply, parse_address, read_reply

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
REFUSED = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno"
PLACE = "session=0"


@contextmanager
def server(path: Path, wrong: str = "") -> Iterator[set[str]]:
    """Answers every request on a unix socket; refuses who sends the cookie `wrong`. The cookies it saw."""
    seen: set[str] = set()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=serve, args=(listener, wrong, seen), daemon=True)
        thread.start()
        yield seen


def serve(listener: socket.socket, wrong: str, seen: set[str]) -> None:
    """Each connection in a thread of its own; the client closes them."""
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=answer, args=(connection, wrong, seen), daemon=True).start()


def answer(connection: socket.socket, wrong: str, seen: set[str]) -> None:
    with connection:
        while data := connection.recv(65536):
            cookie = data.decode().partition("theme=dark; ")[2].partition(";")[0]
            seen.add(cookie)
            connection.sendall(REFUSED if cookie == wrong else OK)


def walk(path: Path, cookies: list[str], count: int, *, rate: float = 0.0) -> load.Load:
    file = path.with_name("cookies")
    file.write_text("\n".join(cookies))
    work = load.task(
        Address(path=path),
        check("notes.bench.internal", PLACE),
        place=PLACE,
        cookies=file,
        count=count,
        connections=3,
        status=200,
        rate=rate,
    )
    with walking(work) as started:
        started.go()
        return started.result()


@pytest.mark.parametrize("rate", [0.0, 2000.0])
def test_every_request_carries_another_cookie(tmp_path: Path, rate: float) -> None:
    cookies = [f"session={number}" for number in range(9)]
    with server(tmp_path / "s") as seen:
        found = walk(tmp_path / "s", cookies, 9, rate=rate)
    assert seen == set(cookies)
    assert (found.requests, found.wrong, found.reply_length) == (9, 0, len(OK))
    assert 0 < found.p50 <= found.p99


def test_one_wrong_answer_spoils_the_walk(tmp_path: Path) -> None:
    cookies = [f"session={number}" for number in range(9)]
    with server(tmp_path / "s", wrong="session=7"), pytest.raises(WrongAnswersError, match="1 of 9"):
        walk(tmp_path / "s", cookies, 9)


def test_few_cookies_are_walked_again(tmp_path: Path) -> None:
    with server(tmp_path / "s") as seen:
        assert walk(tmp_path / "s", ["session=1", "session=2"], 30).requests == 30
    assert seen == {"session=1", "session=2"}


def test_a_server_that_is_not_there_fails_the_walk(tmp_path: Path) -> None:
    with pytest.raises(WrongAnswersError, match="No such file"):
        walk(tmp_path / "s", ["session=1"], 1)


def test_a_reply_is_read_with_every_cookie_it_sets() -> None:
    here, there = socket.socketpair()
    with here, there:
        sent = there.send(
            b"HTTP/1.1 303 See Other\r\nSet-Cookie: a=1; Path=/\r\nLocation: /x\r\nSet-Cookie: b=2\r\n"
            b"Content-Length: 3\r\n\r\nabc"
        )
        reply = read_reply(here)
    assert (reply.status, reply.headers["location"], reply.cookies) == (303, "/x", ["a=1", "b=2"])
    assert (reply.body, reply.length) == (b"abc", sent)


def test_a_reply_that_breaks_off_is_none() -> None:
    here, there = socket.socketpair()
    with here:
        with there:
            there.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\na")
        with pytest.raises(ConnectionError):
            read_reply(here)


@pytest.mark.parametrize(
    ("expected", "fault"),
    [
        (Expected(200, {"x-user-did": "did:plc:a"}, b"page"), ""),
        (Expected(403), "status 200, not 403"),
        (Expected(200, {"x-user-did": "did:plc:b"}), "x-user-did: 'did:plc:a', not 'did:plc:b'"),
        (Expected(200, {"x-user-handle": "b"}), "x-user-handle: None, not 'b'"),
        (Expected(200, body=b"other"), "no b'other' in the body"),
        (Expected(200, begins={"x-user-did": "did:plc:"}), ""),
        (
            Expected(200, begins={"x-user-did": "did:web:"}),
            "x-user-did: 'did:plc:a' doesn't begin with 'did:web:'",
        ),
    ],
)
def test_a_reply_is_held_to_what_is_expected(expected: Expected, fault: str) -> None:
    assert expected.fault(Reply(200, {"x-user-did": "did:plc:a"}, [], b"a page", 90)) == fault


@pytest.mark.parametrize("address", [Address(port=8080), Address(path=Path("/run/s"))])
def test_an_address_survives_being_text(address: Address) -> None:
    assert parse_address(str(address)) == address
