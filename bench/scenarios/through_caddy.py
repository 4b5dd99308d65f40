"""2. What a page costs with the check in front of it: the real Caddy, and what answers behind it.

The check is the snippet of Caddyfile.example itself; the peers, which have paths of their own, are asked by
plain forward_auth. The page is one that Caddy makes, so no app's cost hides a difference. It says who is
signed in, so every answer proves that the check took place.
"""

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import peers, subject
from bench.figures import Estimate, estimate, ratio
from bench.measure import Repeated
from bench.peers import Peer, Transport, find_program
from bench.plan import Bench
from bench.ports import free_port
from bench.programs import ProgramFailedError, Programs
from bench.request import Request, plain
from bench.results import Bar, Cell, Columns, Section, Table
from bench.rounds import Samples
from bench.subject import ALICE, HOST
from bench.wire import Address, Expected

_ROOT = Path(__file__).parents[2]
_CONNECTIONS = (1, 8, 64)
_NO_AUTH, _FLOOR = "no auth", "forward_auth to static nginx, unix"
_UNIX, _TCP = "forward_auth to the sidecar, unix", "forward_auth to the sidecar, TCP"
_PAGE = Expected(200, body=ALICE.encode())
_LIMIT, _EACH_LIMIT = 1.10, 1.05  # at 64 connections in any run; at each number, CPU and latency

_CADDYFILE = """
import {root}/Caddyfile.example
http://:{port} {{
	route {{
		{check}
		respond "{page}"
	}}
}}
"""
_CHECKED = "{http.request.header.X-User-DID}"
_PLAIN_CHECK = """forward_auth {upstream} {{
			uri {path}?
			copy_headers X-User-DID
			transport http {{
				keepalive_idle_conns_per_host 256
			}}
		}}"""


def measure(bench: Bench) -> Section:
    if find_program("caddy") is None:
        return Section("End to end through Caddy", notes=["Caddy is not there: nothing was measured."])
    with Programs() as programs:
        targets = [
            Repeated(
                f"{stage.name}, {connections}",
                stage.pids,
                stage.address,
                _browser(stage.cookie),
                stage.page,
                bench.plan.seconds,
                connections,
            )
            for stage in _stages(bench, programs)
            for connections in _CONNECTIONS
        ]
        taken = bench.take_turns(targets)
    return Section(
        "End to end through Caddy",
        [_table(taken, connections) for connections in _CONNECTIONS],
        _bars(taken),
        [Columns("A page through Caddy, 64 connections", "CPU µs", _costs(taken))],
        ["CPU µs of Caddy and the server behind it together; latency as the client sees it."],
    )


@dataclass(frozen=True, slots=True)
class _Stage:
    """One arrangement. `pids`: whose CPU counts; `page`: the right answer through Caddy."""

    name: str
    pids: tuple[int, ...]
    address: Address
    cookie: str
    page: Expected = _PAGE


def _stages(bench: Bench, programs: Programs) -> list[_Stage]:
    folder = bench.folder / "through-caddy"
    found = []
    ways: tuple[tuple[str, Transport], ...] = ((_UNIX, "unix"), (_TCP, "tcp"))
    for name, transport in ways:
        settings = subject.configure(folder / f"sidecar-{transport}", transport=transport)
        sidecar = subject.start(settings, folder / f"sidecar-{transport}", programs, name=name)
        pid, address = _caddy(folder, programs, name, upstream=_upstream(sidecar.address))
        found.append(_Stage(name, (pid, *sidecar.pids), address, sidecar.cookie()))
    cookie = found[0].cookie
    for peer in bench.installed():
        make = _floor if peer.key == "nginx" else _beside
        found.append(make(peer, folder, programs, cookie))
    pid, address = _caddy(folder, programs, _NO_AUTH, upstream="")
    return [_Stage(_NO_AUTH, (pid,), address, cookie), *reversed(found)]


def _floor(nginx: Peer, folder: Path, programs: Programs, cookie: str) -> _Stage:
    running = peers.start(nginx, "unix", programs, folder)
    pid, address = _caddy(folder, programs, _FLOOR, upstream=_upstream(running.address))
    return _Stage(_FLOOR, (pid, running.program.pid), address, cookie)


def _beside(peer: Peer, folder: Path, programs: Programs, cookie: str) -> _Stage:
    """A peer, on a unix socket if it can. If it names somebody, the page must show that name."""
    transport: Transport = "unix" if "unix" in peer.listen else "tcp"
    name = f"forward_auth to {peer.name}, {'unix' if transport == 'unix' else 'TCP'}"
    running = peers.start(peer, transport, programs, folder)
    upstream = _upstream(running.address)
    check = _PLAIN_CHECK.format(upstream=upstream, path=peer.path)
    pid, address = _caddy(folder, programs, name, upstream=upstream, check=check)
    page = _PAGE if peer.expect.status == 200 else Expected(peer.expect.status)
    return _Stage(name, (pid, running.program.pid), address, peer.cookie or cookie, page)


def _caddy(
    folder: Path, programs: Programs, name: str, *, upstream: str, check: str = "import atproto-check"
) -> tuple[int, Address]:
    """A Caddy of its own; without an upstream it asks nobody."""
    folder = folder / re.sub(r"\W+", "-", name)
    folder.mkdir()
    address = Address(port=free_port())
    check, page = (check, _CHECKED) if upstream else ("", ALICE)
    file = folder / "Caddyfile"
    file.write_text(_CADDYFILE.format(root=_ROOT, port=address.port, check=check, page=page))
    command = find_program("caddy")
    if command is None:
        raise ProgramFailedError("Caddy is not there")
    env = {
        "SIDECAR_UPSTREAM": upstream or "127.0.0.1:1",
        "SIDECAR_SITE": f"http://127.0.0.1:{free_port()}",
        "XDG_DATA_HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder),
    }
    argv = [command, "run", "--config", str(file), "--adapter", "caddyfile"]
    program = programs.start(f"Caddy, {name}", argv, log=folder / "log", env={**os.environ, **env})
    program.ready(address.answers)
    return program.pid, address


def _upstream(address: Address) -> str:
    return f"unix/{address.path}" if address.path else str(address)


def _browser(cookie: str) -> Request:
    return plain(HOST, [("Cookie", f"theme=dark; {cookie}; visitor=1")], path="/notes/2026/november?page=2")


def _bars(taken: Samples) -> list[Bar]:
    if f"{_FLOOR}, 64" not in taken:
        return []
    figure = "end to end on a unix socket, {}, against static nginx"
    bars = [Bar(figure.format("total CPU"), _against_floor(taken, 64, _cpu), _LIMIT)]
    for connections in _CONNECTIONS:
        at = f" at {connections} connection{'' if connections == 1 else 's'}"
        for what, of in (("total CPU", _cpu), ("p50", _p50)):
            bars.append(Bar(figure.format(what + at), _against_floor(taken, connections, of), _EACH_LIMIT))
    return bars


def _against_floor(
    taken: Samples, connections: int, of: Callable[[Samples, str], Sequence[float]]
) -> Estimate:
    return ratio(of(taken, f"{_UNIX}, {connections}"), of(taken, f"{_FLOOR}, {connections}"))


def _table(taken: Samples, connections: int) -> Table:
    rows: list[list[Cell]] = []
    floor = f"{_FLOOR}, {connections}"
    for name, samples in taken.items():
        stage, _, number = name.rpartition(", ")
        if number != str(connections):
            continue
        against = ratio(_cpu(taken, name), _cpu(taken, floor)) if floor in taken else None
        p50, p99 = estimate([s.p50_us for s in samples]), estimate([s.p99_us for s in samples])
        rows.append([stage, estimate(_cpu(taken, name)), against, p50, p99])
    columns = ("arrangement", "CPU µs", "against the floor", "p50 µs", "p99 µs")
    plural = "" if connections == 1 else "s"
    return Table(f"{connections} connection{plural}", columns, rows)


def _costs(taken: Samples) -> dict[str, Estimate]:
    return {name.rpartition(", ")[0]: estimate(_cpu(taken, name)) for name in taken if name.endswith(", 64")}


def _cpu(taken: Samples, name: str) -> Sequence[float]:
    return [sample.cpu_us for sample in taken[name]]


def _p50(taken: Samples, name: str) -> Sequence[float]:
    return [sample.p50_us for sample in taken[name]]
