"""One server under one kind of request: load on it, and what it used meanwhile.

Owns: `Target`, what a round measures; its two kinds. Every answer is verified (load.py), and a sample of
them word by word (`Target.verify`). Doesn't belong here: whose turn it is (rounds.py)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from bench.cpu import cpu_seconds
from bench.load import Load, WrongAnswersError, repeat, task, walking
from bench.request import Request
from bench.wire import Address, Expected, read_reply

CONNECTIONS = 64
_TRIAL = 500  # requests to learn how many fit into a turn
_MOST = 200_000


@dataclass(frozen=True, slots=True)
class Sample:
    """One turn: CPU µs per request of all the servers watched, latencies in µs, requests answered a
    second."""

    cpu_us: float
    p50_us: float
    p99_us: float
    per_second: float


class Target(Protocol):
    """What takes turns. `name`: unique among those it takes turns with."""

    @property
    def name(self) -> str: ...

    def verify(self, samples: int) -> None:
        """Ask so many times and look at every reply. Raises WrongAnswersError."""

    def run(self) -> Sample:
        """One turn. Raises WrongAnswersError."""


@dataclass(slots=True)
class Repeated:
    """The same request again and again, by h2load. `pids`: whose CPU time counts, each with its children."""

    name: str
    pids: Sequence[int]
    address: Address
    request: Request
    expected: Expected
    seconds: float
    connections: int = CONNECTIONS
    _count: int = 0
    _length: int = 0

    def verify(self, samples: int) -> None:
        self._length = verify(self.address, [(self.request.raw(), self.expected)], samples)

    def run(self) -> Sample:
        if not self._count:
            trial = self._repeat(_TRIAL)
            self._count = min(_MOST, max(_TRIAL, int(self.seconds * _TRIAL / max(trial.seconds, 1e-6))))
        return self.run_exactly(self._count)

    def run_exactly(self, count: int) -> Sample:
        """A turn of so many requests, after a `verify`. Raises WrongAnswersError."""
        before = used(self.pids)
        load = self._repeat(count)
        return _sample(load, used(self.pids) - before)

    def _repeat(self, count: int) -> Load:
        return repeat(
            self.address,
            self.request,
            count,
            connections=self.connections,
            status=self.expected.status,
            length=self._length,
        )


@dataclass(slots=True)
class Walked:
    """Another cookie in every request, by our own client. `cookies`: a file, one a line, walked on from
    turn to turn; `place`: the cookie in `request` that they replace; `checks`: cookies the verifying asks
    with, and the answers."""

    name: str
    pids: Sequence[int]
    address: Address
    request: Request
    place: str
    cookies: Path
    checks: Sequence[tuple[str, Expected]]
    count: int
    connections: int = CONNECTIONS
    rate: float = 0.0
    _next: int = field(default=0)

    def verify(self, samples: int) -> None:
        text = self.request.raw().decode("ascii")
        asked = [(text.replace(self.place, cookie).encode(), right) for cookie, right in self.checks]
        verify(self.address, asked, samples)

    def run(self) -> Sample:
        work = task(
            self.address,
            self.request,
            place=self.place,
            cookies=self.cookies,
            count=self.count,
            first=self._next,
            connections=self.connections,
            status=self.checks[0][1].status,
            rate=self.rate,
        )
        self._next += self.count
        with walking(work) as walk:
            before = used(self.pids)
            walk.go()
            load = walk.result()
            return _sample(load, used(self.pids) - before)


def verify(address: Address, asked: Sequence[tuple[bytes, Expected]], samples: int) -> int:
    """Ask `samples` times, one after the other and round again; the length of the last reply.
    WrongAnswersError."""
    length = 0
    with address.connect() as connection:
        for n in range(samples):
            request, expected = asked[n % len(asked)]
            connection.sendall(request)
            reply = read_reply(connection)
            if fault := expected.fault(reply):
                raise WrongAnswersError(f"{address}: {fault}; the reply: {reply}")
            length = reply.length
    return length


def ask(address: Address, request: Request) -> Callable[[], int]:
    """A probe: the status of one reply, 0 if there is none."""

    def probe() -> int:
        try:
            with address.connect() as connection:
                connection.sendall(request.raw())
                return read_reply(connection).status
        except (OSError, ValueError, IndexError):
            return 0

    return probe


def used(pids: Sequence[int]) -> float:
    """CPU seconds of these processes and their children so far."""
    return sum(cpu_seconds(pid) for pid in pids)


def _sample(load: Load, seconds: float) -> Sample:
    return Sample(seconds / load.requests * 1e6, load.p50 * 1e6, load.p99 * 1e6, load.requests / load.seconds)
