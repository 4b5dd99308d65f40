"""5. The process itself: how soon it is ready, what it holds in memory, and a second worker."""

from collections.abc import Mapping
from pathlib import Path

from bench import signing_in, subject
from bench.cpu import resident_megabytes, tree
from bench.figures import Estimate, amount, estimate, ratio
from bench.plan import Bench
from bench.ports import free_port
from bench.programs import Programs
from bench.results import Bar, Cell, Section, Table
from bench.rounds import Samples
from bench.subject import Subject

_MEMORY_LIMIT = 60.0  # MB
_PUBLIC = "another, after a first sign-in that asked DNS and HTTPS for the handle"
_TWO_WORKERS_LIMIT = 1.15


def measure(bench: Bench) -> Section:
    memory, memory_bar = _memory(bench)
    workers, workers_bar = _workers(bench)
    return Section("Process", [memory, *workers], [memory_bar, workers_bar], notes=[_ABOUT])


_ABOUT = (
    "Ready: from the start of `sidecar serve` until /auth/readyz says 200. Memory: resident, of one worker, "
    "in MB of 1,000,000 bytes. The bar is for the network of this benchmark, which speaks http and resolves "
    "handles itself; the last row has what DNS and TLS add, once. "
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


def _throughput(taken: Samples, name: str) -> Estimate:
    return estimate([sample.per_second for sample in taken[name]])


def _megabytes(sidecar: Subject) -> float:
    return resident_megabytes(sidecar.program.pid)


def _largest(pid: int) -> float:
    return max(resident_megabytes(each) for each in tree(pid))


def _cpu(taken: Samples, name: str) -> list[float]:
    return [sample.cpu_us for sample in taken[name]]
