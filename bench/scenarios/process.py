"""5. The process itself: how soon it is ready, what it holds in memory, and a second worker."""

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bench import peers, signing_in, subject
from bench.cpu import resident_megabytes, tree
from bench.figures import Estimate, amount, estimate, ratio
from bench.load import WrongAnswersError
from bench.measure import Repeated
from bench.peers import Peer
from bench.plan import Bench
from bench.ports import free_port
from bench.programs import Programs
from bench.results import Bar, Cell, Section, Table
from bench.rounds import Samples
from bench.subject import HOST, Subject

_MEMORY_LIMIT, _IDLE_LIMIT = 60.0, 48.0  # MB
_READY_LIMIT = 0.3  # seconds
_PUBLIC = "another, after a first sign-in that asked DNS and HTTPS for the handle"
_TWO_WORKERS_LIMIT = 1.15
_BESIDE = 20  # every server starts several times: a part of the checks shows what they hold


def measure(bench: Bench) -> Section:
    memory, memory_bar = _memory(bench)
    workers, workers_bar = _workers(bench)
    beside, beside_bars = _beside(bench)
    return Section(
        "Process", [memory, *workers, beside], [memory_bar, *beside_bars, workers_bar], notes=[_ABOUT]
    )


_ABOUT = (
    "Ready: from the start of `sidecar serve` until /auth/readyz says 200. Memory: resident, of one worker, "
    "in MB of 1,000,000 bytes. The bar is for the network of this benchmark, which speaks http and resolves "
    "handles itself; the last row has what DNS and TLS add, once. "
    "Beside others: every server gets the same request until its answer is right, and then as often as the "
    "table says. Memory is that of the largest process. "
    "With two workers neither they nor the load generator are kept to a core of their own."
)


def _memory(bench: Bench) -> tuple[Table, Bar]:
    folder = bench.folder / "process-memory"
    with Programs() as programs, signing_in.network(folder, programs) as network:
        settings = subject.configure(folder / "sidecar", changes=network.changes)
        sidecar = subject.start(settings, folder / "sidecar", programs, name="the sidecar")
        rows: list[list[Cell]] = [["idle", _megabytes(sidecar)]]
        network.sign_in(sidecar)
        after = _megabytes(sidecar)
        rows.append(["after the first sign-in", after])
        target = sidecar.warm(bench.plan.seconds)
        target.verify(bench.plan.samples)
        target.run_exactly(bench.plan.checks)
        rows.append([f"after {bench.plan.checks:,} checks", _megabytes(sidecar)])
        rows.append([_PUBLIC, _after_asking_in_public(network, folder / "public", programs)])
    bar = Bar("memory of a worker after the first sign-in", amount(after), _MEMORY_LIMIT, unit="MB")
    return Table("Memory of one worker", ("when", "MB"), rows), bar


def _after_asking_in_public(network: signing_in.Network, folder: Path, programs: Programs) -> float:
    """A nameserver that is silent is asked as any other is: all that it takes is loaded."""
    changes = network.changes_without_resolver(f"127.0.0.1:{free_port()}")
    settings = subject.configure(folder, changes=changes)
    sidecar = subject.start(settings, folder, programs, name="the sidecar, which asks in public")
    network.sign_in(sidecar, by_did=True)
    return _megabytes(sidecar)


def _workers(bench: Bench) -> tuple[list[Table], Bar]:
    with Programs() as programs:
        sidecars = {workers: _start(bench, programs, workers) for workers in (1, 2)}
        targets = [sidecar.warm(bench.plan.seconds) for sidecar in sidecars.values()]
        taken = bench.take_turns(targets)
        memory = [_largest(sidecar.program.pid) for sidecar in sidecars.values()]
    one, two = (_cpu(taken, target.name) for target in targets)
    rows: list[list[Cell]] = [
        [target.name, estimate(_cpu(taken, target.name)), _throughput(taken, target.name), megabytes]
        for target, megabytes in zip(targets, memory, strict=True)
    ]
    columns = ("workers", "CPU µs", "checks a second", "MB of the larger worker")
    bar = Bar("CPU per check with two workers, against one", ratio(two, one), _TWO_WORKERS_LIMIT)
    return [Table("Workers", columns, rows), _ready(bench, sidecars)], bar


def _ready(bench: Bench, sidecars: Mapping[int, Subject]) -> Table:
    """How soon these were ready, and a few more that are stopped again."""
    rows: list[list[Cell]] = []
    for workers, sidecar in sidecars.items():
        took = [sidecar.ready_seconds]
        for number in range(bench.plan.more_starts):
            with Programs() as programs:
                took.append(_start(bench, programs, workers, f"-{number}").ready_seconds)
        rows.append([sidecar.name, estimate(took)])
    return Table("Ready", ("workers", "s"), rows)


def _start(bench: Bench, programs: Programs, workers: int, suffix: str = "") -> Subject:
    folder = bench.folder / f"workers-{workers}{suffix}"
    settings = subject.configure(folder, changes={"server": {"workers": workers}})
    name = f"{workers} worker{'s' if workers > 1 else ''}"
    return subject.start(settings, folder, programs, name=name, pinned=False)


def _beside(bench: Bench) -> tuple[Table, list[Bar]]:
    """How soon the sidecar and each peer give their first right answer, in turns, and what they hold then and
    after many checks."""
    starts = [_Start("the sidecar", lambda folder, programs: _sidecar_alone(bench, folder, programs))]
    starts += [_Start(peer.name, partial(_peer_alone, bench, peer)) for peer in bench.installed()]
    for number in range(bench.plan.more_starts + 1):
        for start in starts if number % 2 == 0 else reversed(starts):
            _one_start(bench, start, f"{number}")
    rows: list[list[Cell]] = [
        [start.name, estimate(start.ready), estimate(start.idle), estimate(start.after)] for start in starts
    ]
    after = f"MB after {bench.plan.checks // _BESIDE:,} checks"
    ours = starts[0]
    bars = [
        Bar(
            "memory of a worker that has served checks and no sign-in",
            estimate(ours.after),
            _IDLE_LIMIT,
            "MB",
        ),
        Bar("time to ready", estimate(ours.ready), _READY_LIMIT, "s"),
    ]
    return Table("Beside others", ("server", "ready s", "MB at first", after), rows), bars


@dataclass(slots=True)
class _Start:
    """One server, started again and again. `begin`: starts it, and says what to ask it."""

    name: str
    begin: Callable[[Path, Programs], Repeated]
    ready: list[float] = field(default_factory=list)
    idle: list[float] = field(default_factory=list)
    after: list[float] = field(default_factory=list)


def _one_start(bench: Bench, start: _Start, number: str) -> None:
    folder = bench.folder / f"beside-{re.sub(r'[^a-z0-9]+', '-', start.name.lower())}-{number}"
    with Programs() as programs:
        begun = time.monotonic()
        target = start.begin(folder, programs)
        start.ready.append(time.monotonic() - begun)
        start.idle.append(_largest(target.pids[0]))
        target.verify(bench.plan.samples)
        target.run_exactly(bench.plan.checks // _BESIDE)
        start.after.append(_largest(target.pids[0]))


def _sidecar_alone(bench: Bench, folder: Path, programs: Programs) -> Repeated:
    settings = subject.configure(folder)
    return subject.start(settings, folder, programs, name="the sidecar").warm(bench.plan.seconds)


def _peer_alone(bench: Bench, peer: Peer, folder: Path, programs: Programs) -> Repeated:
    running = peers.start(peer, "tcp" if "tcp" in peer.listen else "unix", programs, folder)
    request = peer.request(HOST, "none=1")
    target = Repeated(
        peer.name, (running.program.pid,), running.address, request, peer.expect, bench.plan.seconds
    )
    running.program.ready(lambda: _answers_right(target))
    return target


def _answers_right(target: Repeated) -> bool:
    try:
        target.verify(1)
    except (OSError, WrongAnswersError):
        return False
    return True


def _throughput(taken: Samples, name: str) -> Estimate:
    return estimate([sample.per_second for sample in taken[name]])


def _megabytes(sidecar: Subject) -> float:
    return resident_megabytes(sidecar.program.pid)


def _largest(pid: int) -> float:
    return max(resident_megabytes(each) for each in tree(pid))


def _cpu(taken: Samples, name: str) -> list[float]:
    return [sample.cpu_us for sample in taken[name]]
