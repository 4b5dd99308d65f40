"""4. What those who are signed in notice of what others do: stuck sign-ins, forged cookies, a storm of
sign-outs."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from bench import hanging, subject
from bench.figures import Estimate, estimate, ratio
from bench.load import task, walking
from bench.measure import Sample, Walked, verify
from bench.plan import Bench
from bench.programs import LOAD_CPUS, Programs, spawn
from bench.request import check, plain
from bench.results import Bar, Cell, Section, Table
from bench.rounds import Samples
from bench.subject import EVERYONE, HOST, PUBLIC_HOST, SENT_TO_SIGN_IN, Sections, Subject
from bench.wire import Expected, read_reply

_IDLE, _HANGING, _FLOOD, _STORM = "nothing else", "sign-ins that hang", "forged cookies", "sign-outs written"
_BEFORE, _AFTER = "warm checks, before a flood", "warm checks, right after it"
_SESSIONS = 1000  # signed in, and checked one after the other
_CACHE = 2500  # verified cookies remembered, so that a flood would push the warm ones out if it could
_RATE = 500.0  # checks a second while latency is looked at
_FLOOD_RATE = 2000.0
_LEAD = 1.0  # seconds that a flood runs longer than the look at latency, whose client has to start
_P99_LIMIT, _WARM_LIMIT = 2.0, 1.10


@dataclass(slots=True)
class Disturbed:
    """A look at checks while something else goes on, or right `after` it."""

    name: str
    probe: Walked
    disturbance: Callable[[], AbstractContextManager[None]]
    after: bool = False

    def verify(self, samples: int) -> None:
        self.probe.verify(samples)

    def run(self) -> Sample:
        with self.disturbance():
            if not self.after:
                return self.probe.run()
        return self.probe.run()


def measure(bench: Bench) -> Section:
    plan = bench.plan
    with Programs() as programs:
        sidecar = _sidecar(bench, programs)
        paced, flat_out = _probes(bench, sidecar)
        flood = _flood(bench, sidecar, plan.probe_seconds + _LEAD)
        stuck = _probe_cookie(sidecar)
        targets = [
            Disturbed(_IDLE, paced, nullcontext),
            Disturbed(_HANGING, paced, lambda: hanging.sign_ins(sidecar, stuck, plan.hanging)),
            Disturbed(_FLOOD, paced, flood),
            Disturbed(_STORM, paced, lambda: _storm(sidecar.settings.store.path)),
            Disturbed(_BEFORE, flat_out, nullcontext),
            Disturbed(_AFTER, flat_out, flood, after=True),
        ]
        taken = bench.take_turns(targets)
    return Section("Neighbours", [_table(bench, taken)], _bars(bench, taken), notes=[_ABOUT])


_ABOUT = (
    f"{_RATE:.0f} checks a second for {_SESSIONS} people who are signed in. Every stuck sign-in holds a "
    "connection to a server of its own which never answers; that all are open at once is proved before and "
    f"after each look. Forged cookies: {_FLOOD_RATE:.0f} a second, each another one. Sign-outs: as many as "
    "the disk takes, by another process. Right after a flood: as fast as replies come, in a cache of "
    f"{_CACHE:,} cookies, smaller than the flood."
)


def _sidecar(bench: Bench, programs: Programs) -> Subject:
    folder = bench.folder / "neighbours"
    changes: Sections = {
        "identity": {"development_servers": True, "fetch_timeout": "300s"},
        "limits": {
            "concurrent_sign_ins": bench.plan.hanging + 100,
            "attempts_per_address": 1_000_000,
            "cached_cookies": _CACHE,
        },
    }
    settings = subject.configure(folder, changes=changes)
    return subject.start(settings, folder, programs, name="the sidecar")


def _probes(bench: Bench, sidecar: Subject) -> tuple[Walked, Walked]:
    """Checks of people signed in: so many a second, and as fast as the replies come."""
    dids = [subject.numbered_did(n) for n in range(_SESSIONS)]
    made = subject.cookies(sidecar.settings, dids)
    file = bench.folder / "neighbours" / "sessions"
    file.write_text("\n".join(made))
    checks = [(cookie, Expected(200, {"x-user-did": did})) for cookie, did in zip(made, dids, strict=True)]
    asked = check(EVERYONE, made[0])

    def walked(name: str, count: int, connections: int, rate: float) -> Walked:
        return Walked(
            name,
            sidecar.pids,
            sidecar.address,
            asked,
            made[0],
            file,
            checks,
            count,
            connections=connections,
            rate=rate,
        )

    looked = int(_RATE * bench.plan.probe_seconds)
    return walked("paced", looked, 8, _RATE), walked(
        "flat out", max(_SESSIONS, bench.plan.walk_requests), 64, 0
    )


def _flood(bench: Bench, sidecar: Subject, seconds: float) -> Callable[[], AbstractContextManager[None]]:
    count = int(_FLOOD_RATE * seconds)
    dids = [subject.numbered_did(n) for n in range(count)]
    made = subject.cookies(sidecar.settings, dids, forged=True)
    file = bench.folder / "neighbours" / "forged"
    file.write_text("\n".join(made))
    request = check(HOST, made[0])
    verify(sidecar.address, [(request.raw(), SENT_TO_SIGN_IN)], 1)
    work = task(
        sidecar.address,
        request,
        place=made[0],
        cookies=file,
        count=count,
        connections=16,
        status=SENT_TO_SIGN_IN.status,
        rate=_FLOOD_RATE,
    )

    @contextmanager
    def flood() -> Iterator[None]:
        with walking(work) as walk:
            walk.go()
            yield
            walk.result()

    return flood


@contextmanager
def _storm(database: Path) -> Iterator[None]:
    process = spawn(
        [sys.executable, "-m", "bench.storm", str(database)], cpus=LOAD_CPUS, errors=subprocess.PIPE
    )
    try:
        yield
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=30)
        if not output.strip().isdigit() or int(output) == 0:
            raise ChildProcessError(f"no storm: {errors.decode()[-1000:]}")
    finally:
        process.kill()
        process.wait()


def _probe_cookie(sidecar: Subject) -> str:
    """The cookie by which the sign-in page learns that the browser keeps cookies."""
    with sidecar.address.connect() as connection:
        connection.sendall(plain(PUBLIC_HOST, path="/auth/login").raw())
        return read_reply(connection).cookies[0]


def _table(bench: Bench, taken: Samples) -> Table:
    rows: list[list[Cell]] = []
    for name, samples in taken.items():
        base = _BEFORE if name in (_BEFORE, _AFTER) else _IDLE
        shown = f"{bench.plan.hanging} {name}" if name == _HANGING else name
        p50, p99 = estimate([s.p50_us for s in samples]), estimate([s.p99_us for s in samples])
        rows.append([shown, p50, p99, _p99(taken, name, base), estimate([s.cpu_us for s in samples])])
    columns = ("meanwhile", "p50 µs", "p99 µs", "p99 against nothing else", "CPU µs a check, all included")
    return Table("Checks, and what goes on beside them", columns, rows)


def _bars(bench: Bench, taken: Samples) -> list[Bar]:
    warm = ratio([s.cpu_us for s in taken[_AFTER]], [s.cpu_us for s in taken[_BEFORE]])
    return [
        Bar(
            f"p99 during {bench.plan.hanging} hanging sign-ins, against idle",
            _p99(taken, _HANGING, _IDLE),
            _P99_LIMIT,
        ),
        Bar("p99 during a flood of forged cookies, against idle", _p99(taken, _FLOOD, _IDLE), _P99_LIMIT),
        Bar("warm check right after a flood, CPU, against before", warm, _WARM_LIMIT),
    ]


def _p99(taken: Samples, name: str, base: str) -> Estimate:
    return ratio([s.p99_us for s in taken[name]], [s.p99_us for s in taken[base]])
