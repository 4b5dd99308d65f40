"""5. The process itself: how soon it is ready, what it holds in memory, and a second worker."""

from bench import signing_in, subject
from bench.cpu import resident_megabytes, tree
from bench.figures import Estimate, amount, estimate, ratio
from bench.measure import Repeated
from bench.plan import Bench
from bench.programs import Programs
from bench.results import Bar, Cell, Section, Table
from bench.rounds import Samples
from bench.subject import Subject

_MEMORY_LIMIT = 60.0  # MB
_TWO_WORKERS_LIMIT = 1.15


def measure(bench: Bench) -> Section:
    memory, bar = _memory(bench)
    workers, workers_bar = _workers(bench)
    return Section("Process", [memory, _ready(bench), workers], [bar, workers_bar], notes=[_ABOUT])


_ABOUT = (
    "Ready: from the start of `sidecar serve` until /auth/readyz says 200. Memory: resident, of one worker. "
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
    bar = Bar("memory of a worker after the first sign-in", amount(after), _MEMORY_LIMIT, unit="MB")
    return Table("Memory of one worker", ("when", "MB"), rows), bar


def _ready(bench: Bench) -> Table:
    rows: list[list[Cell]] = []
    for workers in (1, 2):
        took = [
            _start(bench, f"ready-{workers}-{n}", workers).ready_seconds for n in range(bench.plan.starts)
        ]
        rows.append([f"{workers} worker{'s' if workers > 1 else ''}", estimate(took)])
    return Table("Ready", ("workers", "s"), rows)


def _start(bench: Bench, name: str, workers: int) -> Subject:
    """Started and stopped."""
    folder = bench.folder / name
    settings = subject.configure(folder, changes={"server": {"workers": workers}})
    with Programs() as programs:
        return subject.start(settings, folder, programs, name=name)


def _workers(bench: Bench) -> tuple[Table, Bar]:
    with Programs() as programs:
        targets = [_with_workers(bench, programs, workers) for workers in (1, 2)]
        taken = bench.take_turns(targets)
        memory = [_largest(target.pids[0]) for target in targets]
    one, two = (_cpu(taken, target.name) for target in targets)
    rows: list[list[Cell]] = [
        [target.name, estimate(_cpu(taken, target.name)), _throughput(taken, target.name), megabytes]
        for target, megabytes in zip(targets, memory, strict=True)
    ]
    columns = ("workers", "CPU µs", "checks a second", "MB of the larger worker")
    bar = Bar("CPU per check with two workers, against one", ratio(two, one), _TWO_WORKERS_LIMIT)
    return Table("Workers", columns, rows), bar


def _with_workers(bench: Bench, programs: Programs, workers: int) -> Repeated:
    folder = bench.folder / f"workers-{workers}"
    settings = subject.configure(folder, changes={"server": {"workers": workers}})
    name = f"{workers} worker{'s' if workers > 1 else ''}"
    sidecar = subject.start(settings, folder, programs, name=name, pinned=False)
    return sidecar.warm(bench.plan.seconds)


def _throughput(taken: Samples, name: str) -> Estimate:
    return estimate([sample.per_second for sample in taken[name]])


def _megabytes(sidecar: Subject) -> float:
    return resident_megabytes(sidecar.program.pid)


def _largest(pid: int) -> float:
    return max(resident_megabytes(each) for each in tree(pid))


def _cpu(taken: Samples, name: str) -> list[float]:
    return [sample.cpu_us for sample in taken[name]]
