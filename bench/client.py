"""A load generator whose every request carries another cookie: `python -m bench.client`, started by load.py.

h2load repeats one request; a cold or a forged cookie must be a new one each time. This one writes prepared
bytes on keep-alive connections, checks every reply's status and length, and knows unix sockets. Two ways:
as fast as the replies come (`rate` 0), or paced, so many requests a second, to see what others have to
wait.

It says "ready" when all is prepared, begins at a line on stdin, and ends with one JSON object (load.Load).
"""

import json
import select
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench.figures import percentile
from bench.wire import parse_address, read_reply


@dataclass(frozen=True, slots=True)
class Task:
    """`head` and `tail`: the request around the cookie; `cookies`: a file, one a line, walked from line
    `first` and round again. `rate`: requests a second, 0 for as many as go. The first reply is the pattern
    of all."""

    address: str
    head: str
    tail: str
    cookies: str
    first: int
    count: int
    connections: int
    rate: float
    status: int


@dataclass(slots=True)
class Run:
    """What is under way: the requests still to send, since when each connection waits, and what came back."""

    requests: Iterator[bytes]
    pattern: tuple[bytes, int]  # how every reply begins, and its length
    poller: select.epoll = field(default_factory=select.epoll)
    waiting: dict[int, float] = field(default_factory=dict)
    pieces: dict[int, bytes] = field(default_factory=dict)
    took: list[float] = field(default_factory=list)
    wrong: int = 0

    def send(self, connection: socket.socket) -> None:
        self.waiting[connection.fileno()] = time.perf_counter()
        connection.sendall(next(self.requests))

    def receive(self, connection: socket.socket) -> bool:
        """Read what is there; True if the reply is whole."""
        handle = connection.fileno()
        data = connection.recv(65536)
        if not data:
            raise ConnectionError("the server closed a connection")
        data = self.pieces.pop(handle, b"") + data
        begins, length = self.pattern
        if len(data) < length and data.startswith(begins):
            self.pieces[handle] = data
            return False
        self.took.append(time.perf_counter() - self.waiting.pop(handle))
        self.wrong += len(data) != length or not data.startswith(begins)
        return True


def flat_out(run: Run, connections: dict[int, socket.socket], count: int) -> None:
    """Every connection sends its next request when its reply is there."""
    sent = 0
    for connection in connections.values():
        if sent < count:
            run.send(connection)
            sent += 1
    while len(run.took) < count:
        for handle, _ in run.poller.poll():
            connection = connections[handle]
            if run.receive(connection) and sent < count:
                run.send(connection)
                sent += 1


def paced(run: Run, connections: dict[int, socket.socket], count: int, rate: float) -> None:
    """One request every 1/rate seconds on a free connection; if none is free, the wait for one counts."""
    idle = list(connections.values())
    begun, sent = time.perf_counter(), 0
    while len(run.took) < count:
        due = begun + sent / rate
        left = due - time.perf_counter()
        if sent < count and left <= 0 and idle:
            late = -left if len(idle) == 1 else 0.0  # it had to wait for the last free connection
            connection = idle.pop()
            run.send(connection)
            run.waiting[connection.fileno()] -= late
            sent += 1
            continue
        can_send = sent < count and bool(idle)
        for handle, _ in run.poller.poll(max(0.0, left) if can_send else None):
            if run.receive(connections[handle]):
                idle.append(connections[handle])


def prepared(task: Task) -> list[bytes]:
    """The requests in order; few cookies make few, to be repeated."""
    lines = Path(task.cookies).read_bytes().splitlines()
    head, tail = task.head.encode("ascii"), task.tail.encode("ascii")
    wanted = min(task.count, len(lines))
    return [head + lines[(task.first + n) % len(lines)] + tail for n in range(wanted)]


def repeated(requests: list[bytes]) -> Iterator[bytes]:
    while True:
        yield from requests


def perform(task: Task) -> dict[str, object]:
    address = parse_address(task.address)
    requests = prepared(task)
    connections = {c.fileno(): c for c in (address.connect() for _ in range(task.connections))}
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    first = next(iter(connections.values()))
    first.sendall(requests[0])
    reply = read_reply(first)
    requests = requests[1:] + requests[:1]
    begins = f"HTTP/1.1 {task.status} ".encode("ascii")
    run = Run(repeated(requests), (begins, reply.length))
    run.wrong += reply.status != task.status
    for connection in connections.values():
        connection.settimeout(0)
        run.poller.register(connection, select.EPOLLIN)
    start = time.perf_counter()
    if task.rate:
        paced(run, connections, task.count - 1, task.rate)
    else:
        flat_out(run, connections, task.count - 1)
    seconds = time.perf_counter() - start
    ordered = sorted(run.took)
    return {
        "requests": task.count,
        "wrong": run.wrong,
        "reply_length": reply.length,
        "seconds": seconds,
        "p50": percentile(ordered, 0.50),
        "p99": percentile(ordered, 0.99),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(perform(Task(**json.loads(sys.argv[1])))) + "\n")
