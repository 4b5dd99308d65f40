"""Sending many requests: h2load for one request repeated, our own client where each carries another cookie.

Owns: starting both, reading what they report, and that every answer they counted is the right one.
Doesn't belong here: what the server used meanwhile (measure.py).
"""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.client import Task
from bench.figures import percentile
from bench.programs import LOAD_CPUS, spawn
from bench.request import Request
from bench.wire import Address

_LIMIT = 120.0  # seconds a load may take
_SUMMARY = re.compile(r"^requests: \d+ total, \d+ started, (?P<done>\d+) done", re.MULTILINE)
_CODES = re.compile(
    r"^status codes: (?P<s2>\d+) 2xx, (?P<s3>\d+) 3xx, (?P<s4>\d+) 4xx, (?P<s5>\d+) 5xx", re.MULTILINE
)
_TRAFFIC = re.compile(r"^traffic: \S+ \((?P<bytes>\d+)\) total", re.MULTILINE)
_FINISHED = re.compile(r"^finished in (?P<number>[0-9.]+)(?P<unit>us|ms|s|m|h)", re.MULTILINE)
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


class WrongAnswersError(Exception):
    """Not every answer that was counted is the right one; nothing measured so is worth anything."""


@dataclass(frozen=True, slots=True)
class Load:
    """What a load generator reports. Times in seconds; `reply_length`: bytes of each reply."""

    requests: int
    wrong: int
    reply_length: int
    seconds: float
    p50: float
    p99: float


def repeat(
    address: Address, request: Request, count: int, *, connections: int, status: int, length: int
) -> Load:
    """`count` times the same request by h2load. `status` and `length`: of every right reply.
    WrongAnswersError.

    h2load writes header names in lower case; else the bytes are the request's own.
    """
    with tempfile.NamedTemporaryFile(suffix=".log") as log:
        text = _h2load(address, request, count, connections, Path(log.name))
        took = _times(Path(log.name), status)
    _verify(text, count, status, length)
    if len(took) != count:
        raise WrongAnswersError(f"{count - len(took)} of {count} answers without status {status}")
    return Load(count, 0, length, _seconds(text), percentile(took, 0.50), percentile(took, 0.99))


def _h2load(address: Address, request: Request, count: int, connections: int, log: Path) -> str:
    argv = ["h2load", "--h1", "-t", "1", "-n", str(count), "-c", str(connections), f"--log-file={log}"]
    argv += ["-H", f":authority: {request.host}"]
    for name, value in request.headers:
        argv += ["-H", f"{name}: {value}"]
    origin = f"http://{request.host}" if address.path else f"http://{address}"
    argv += ["--base-uri", str(address)] if address.path else []
    argv.append(origin + request.path)
    process = spawn(argv, cpus=LOAD_CPUS)
    try:
        output, _ = process.communicate(timeout=_LIMIT)
    finally:
        process.kill()
    return output.decode()


def _verify(text: str, count: int, status: int, length: int) -> None:
    summary, codes, traffic = _SUMMARY.search(text), _CODES.search(text), _TRAFFIC.search(text)
    if summary is None or codes is None or traffic is None:
        raise WrongAnswersError(f"h2load said:\n{text}")
    right = int(codes[f"s{status // 100}"])
    if int(summary["done"]) != count or right != count:
        raise WrongAnswersError(f"{count} requests, {right} answers in the {status // 100}xx:\n{text}")
    if int(traffic["bytes"]) != count * length:
        raise WrongAnswersError(f"{traffic['bytes']} bytes for {count} replies of {length}")


def _times(log: Path, status: int) -> list[float]:
    """Seconds each reply with that status took, rising. A line: start in µs, status, time in µs."""
    rows = (line.split() for line in log.read_text().splitlines())
    return sorted(int(row[2]) / 1e6 for row in rows if len(row) == 3 and row[1] == str(status))


def _seconds(text: str) -> float:
    match = _FINISHED.search(text)
    return float(match["number"]) * _UNITS[match["unit"]] if match else 0.0


class Walk:
    """Our own client, prepared and waiting. `go` starts it, `result` awaits its report."""

    def __init__(self, task: Task) -> None:
        argv = [sys.executable, "-m", "bench.client", json.dumps(asdict(task))]
        self._process = spawn(argv, cpus=LOAD_CPUS, stdin=subprocess.PIPE, errors=subprocess.PIPE)
        self._task = task
        if self._process.stdout is None or self._process.stdout.readline() != b"ready\n":
            raise WrongAnswersError(f"our client failed: {self._last_words()}")

    def go(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.write(b"go\n")
            self._process.stdin.flush()

    def result(self) -> Load:
        """Raises WrongAnswersError unless every reply had the right status and the first one's length."""
        output, errors = self._process.communicate(timeout=_LIMIT)
        if self._process.returncode != 0:
            raise WrongAnswersError(f"our client failed: {errors.decode()[-2000:]}")
        load = Load(**json.loads(output))
        if load.wrong:
            raise WrongAnswersError(f"{load.wrong} of {load.requests} answers to our client were wrong")
        return load

    def stop(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _last_words(self) -> str:
        return self._process.communicate()[1].decode()[-2000:]


@contextmanager
def walking(task: Task) -> Iterator[Walk]:
    """A `Walk` that is sure to end."""
    walk = Walk(task)
    try:
        yield walk
    finally:
        walk.stop()


def task(
    address: Address,
    request: Request,
    *,
    place: str,
    cookies: Path,
    count: int,
    first: int = 0,
    connections: int,
    status: int,
    rate: float = 0.0,
) -> Task:
    """The request, with the cookie `place` in it replaced by one line of `cookies` after the other."""
    head, _, tail = request.raw().decode("ascii").partition(place)
    return Task(str(address), head, tail, str(cookies), first, count, connections, rate, status)
