"""3. Whether a check stays as cheap when there is more of everything: rules, apps, sign-outs, sessions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import revocations, subject
from bench.cpu import resident_megabytes
from bench.figures import amount, estimate, ratio
from bench.measure import Target, Walked
from bench.plan import Bench
from bench.programs import Programs
from bench.request import check
from bench.results import Bar, Cell, Lines, Section, Table
from bench.rounds import Samples
from bench.subject import ALICE, EVERYONE, Sections, Subject
from bench.wire import Expected

_LIMIT = 1.10
_MEMORY_LIMIT = 150.0  # MB
_BASE = "base"
_KINDS = {
    "dids": "DIDs in an app's rule",
    "apps": "apps",
    "revocations": "revocations",
    "sessions": "distinct sessions",
}


@dataclass(frozen=True, slots=True)
class Step:
    """One sidecar with so many of one kind; of the kind _BASE, the one that the others start from."""

    kind: str
    count: int
    sidecar: Subject
    target: Target


_FIRST = {"dids": "one", "apps": "one", "revocations": "none"}


def measure(bench: Bench) -> Section:
    with Programs() as programs:
        base = _step(bench, programs, _BASE, 1, {})
        steps = [base, *_rules(bench, programs), *_revoked(bench, programs), *_sessions(bench, programs)]
        taken = bench.take_turns([step.target for step in steps])
        memory = {step.target.name: resident_megabytes(step.sidecar.program.pid) for step in steps}
    return Section(
        "Growth",
        [_table(kind, steps, taken, memory) for kind in _KINDS],
        _bars(steps, taken, memory),
        _charts(steps, taken, memory),
        [_ABOUT],
    )


_ABOUT = (
    "CPU µs of one allowed check. Revocations end over 30 days, one in twenty during the run. Sessions are "
    "walked one after the other, so those beyond the cache of 50,000 cookies are cold each time. Memory: "
    "resident, of the process, after the rounds. Ready: from the start until it answers checks, all "
    "revocations loaded."
)


def _rules(bench: Bench, programs: Programs) -> list[Step]:
    steps = []
    for count in bench.plan.did_steps:
        others = [subject.numbered_did(n) for n in range(count - 1)]
        changes = {"apps.notes": {"allow": [*others, ALICE]}}
        steps.append(_step(bench, programs, "dids", count, changes))
    for count in bench.plan.app_steps:
        apps = {
            f"apps.app{n}": {"hosts": [f"app{n}.bench.internal"], "allow": [ALICE]} for n in range(count - 1)
        }
        steps.append(_step(bench, programs, "apps", count, apps))
    return steps


def _revoked(bench: Bench, programs: Programs) -> list[Step]:
    steps = []
    for count in bench.plan.revocation_steps:
        bench.tell(f"{count:,} revocations")
        steps.append(_step(bench, programs, "revocations", count, {}))
    return steps


def _step(bench: Bench, programs: Programs, kind: str, count: int, changes: Sections) -> Step:
    name = f"{count:,} {_KINDS[kind]}" if kind != _BASE else "one DID, one app, no revocation"
    folder = bench.folder / f"{kind}-{count}"
    settings = subject.configure(folder, changes={"apps.everyone": None, **changes})
    if kind == "revocations":
        revocations.write(settings.store.path, count)
    sidecar = subject.start(settings, folder, programs, name=name)
    return Step(kind, count, sidecar, sidecar.warm(bench.plan.seconds))


def _sessions(bench: Bench, programs: Programs) -> list[Step]:
    steps = []
    folder = bench.folder / "sessions"
    folder.mkdir()
    most = max(bench.plan.session_steps)
    bench.tell(f"{most:,} sessions")
    made: list[str] = []
    for count in bench.plan.session_steps:
        settings = subject.configure(folder / str(count))
        made = made or subject.cookies(settings, [subject.numbered_did(n) for n in range(most)])
        file = folder / f"{count}.cookies"
        file.write_text("\n".join(made[:count]))
        name = f"{count:,} {_KINDS['sessions']}"
        sidecar = subject.start(settings, folder / str(count), programs, name=name)
        steps.append(Step("sessions", count, sidecar, _walk(bench, sidecar, file, made[0], count)))
    return steps


def _walk(bench: Bench, sidecar: Subject, file: Path, cookie: str, count: int) -> Walked:
    """All sessions once, so that memory shows them; then so many a turn."""
    checks = [(cookie, Expected(200, {"x-user-did": subject.numbered_did(0)}))]
    walk = Walked(
        sidecar.name, sidecar.pids, sidecar.address, check(EVERYONE, cookie), cookie, file, checks, count
    )
    if count > 1:
        walk.run()
    walk.count = bench.plan.walk_requests
    return walk


def _of(kind: str, steps: Sequence[Step]) -> list[Step]:
    """The steps of one kind, from the first. Sessions are walked, so they have a first one of their own."""
    kinds = (kind,) if kind == "sessions" else (_BASE, kind)
    return [step for step in steps if step.kind in kinds]


def _table(kind: str, steps: Sequence[Step], taken: Samples, memory: Mapping[str, float]) -> Table:
    rows: list[list[Cell]] = []
    ours = _of(kind, steps)
    for step in ours:
        name = step.target.name
        against = ratio(_cpu(taken, step), _cpu(taken, ours[0]))
        rows.append([name, estimate(_cpu(taken, step)), against, memory[name], step.sidecar.ready_seconds])
    columns = (_KINDS[kind], "CPU µs", "against the first", "memory MB", "ready s")
    return Table(_KINDS[kind][0].upper() + _KINDS[kind][1:], columns, rows)


def _bars(steps: Sequence[Step], taken: Samples, memory: Mapping[str, float]) -> list[Bar]:
    bars = []
    for kind in ("dids", "apps", "revocations"):
        first, *_, last = _of(kind, steps)
        found = ratio(_cpu(taken, last), _cpu(taken, first))
        bars.append(Bar(f"{last.target.name}, CPU per check, against {_FIRST[kind]}", found, _LIMIT))
    worker = _of("revocations", steps)[-1].target.name
    bars.append(Bar(f"{worker}, memory of the worker", amount(memory[worker]), _MEMORY_LIMIT, unit="MB"))
    return bars


def _charts(steps: Sequence[Step], taken: Samples, memory: Mapping[str, float]) -> list[Lines]:
    costs: dict[str, list[tuple[float, float]]] = {}
    sizes: dict[str, list[tuple[float, float]]] = {}
    for kind, name in _KINDS.items():
        for step in _of(kind, steps):
            costs.setdefault(name, []).append((step.count, estimate(_cpu(taken, step)).median))
            sizes.setdefault(name, []).append((step.count, memory[step.target.name]))
    return [
        Lines("Cost of a check as things grow", "how many", "CPU µs", costs),
        Lines("Memory as things grow", "how many", "MB", sizes),
    ]


def _cpu(taken: Samples, step: Step) -> list[float]:
    return [sample.cpu_us for sample in taken[step.target.name]]
