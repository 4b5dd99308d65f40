"""1. What one check costs the server that answers it, beside servers that do less and more."""

from pathlib import Path

from bench import peers, subject
from bench.figures import estimate, ratio
from bench.measure import Repeated, Target, Walked
from bench.peers import TRANSPORTS, Transport
from bench.plan import Bench
from bench.programs import Programs
from bench.request import check
from bench.results import Bar, Cell, Columns, Section, Table
from bench.rounds import LEAST, Samples
from bench.subject import ALLOWED, EVERYONE, FORBIDDEN, HOST, SENT_TO_SIGN_IN, Subject
from bench.wire import Expected

ASGI, ASGI_WALK, NGINX = "asgi", "asgi, another cookie each", "nginx"
WARM, BESIDE, COLD, NONE, FORBID, FORGED, REVOKED = (
    "sidecar, allowed (warm)",
    "sidecar, allowed (warm, but the cookies beside it change each time)",
    "sidecar, allowed (cold)",
    "sidecar, no session",
    "sidecar, forbidden",
    "sidecar, forged cookie",
    "sidecar, revoked",
)
# What is compared with what, and the most it may cost of it.
_BARS = (
    ("warm allowed check, CPU, against uvicorn raw ASGI", WARM, ASGI, 0.6),
    ("warm allowed check, CPU, against static nginx", WARM, NGINX, 2.5),
    ("no session, CPU, against uvicorn raw ASGI", NONE, ASGI, 1.0),
    ("forbidden, CPU, against uvicorn raw ASGI", FORBID, ASGI, 1.0),
    ("cold allowed check, CPU, against uvicorn raw ASGI", COLD, ASGI_WALK, 2.0),
    ("forged cookie, CPU, against uvicorn raw ASGI", FORGED, ASGI_WALK, 2.0),
)


def measure(bench: Bench) -> Section:
    tables: list[Table] = []
    bars: list[Bar] = []
    charts: list[Columns] = []
    with Programs() as programs:
        started = {transport: _targets(bench, transport, programs) for transport in TRANSPORTS}
        everything = [target for targets in started.values() for target in targets]
        taken = bench.take_turns(everything)
        for transport in TRANSPORTS:
            found = _named(taken, transport)
            tables.append(_table(bench, transport, found))
            bars += _bars(transport, found)
            costs = {name: estimate(_cpu(found, name)) for name in found}
            charts.append(Columns(f"One check over {transport}", "CPU µs", costs))
    return Section("One check", tables, bars, charts, [_ABOUT])


_ABOUT = (
    "CPU µs per request, of the server's whole process tree, by the kernel's clock; 64 keep-alive "
    "connections. Cold: every cookie valid, distinct and used once, the cache at its default of 50,000. Cold "
    "and forged come from our own client, so the server they are held against is measured under the same "
    "client too."
)


def _targets(bench: Bench, transport: Transport, programs: Programs) -> list[Target]:
    folder = bench.folder / "one-check"
    settings = subject.configure(folder / f"sidecar-{transport}", transport=transport)
    sidecar = subject.start(settings, folder / f"sidecar-{transport}", programs, name="the sidecar")
    targets = [*_beside(bench, transport, programs, folder, sidecar), *_sidecar(bench, sidecar, folder)]
    for target in targets:
        target.name = f"{transport}: {target.name}"
    return list(targets)


def _beside(
    bench: Bench, transport: Transport, programs: Programs, folder: Path, sidecar: Subject
) -> list[Repeated | Walked]:
    """The peers that are there and can speak over this transport."""
    found: list[Repeated | Walked] = []
    for peer in bench.installed():
        if transport not in peer.listen:
            continue
        running = peers.start(peer, transport, programs, folder)
        cookie = sidecar.cookie()
        request, pids = peer.request(HOST, cookie), (running.program.pid,)
        found.append(Repeated(peer.key, pids, running.address, request, peer.expect, bench.plan.seconds))
        if peer.key == ASGI:
            one = folder / f"one-cookie-{transport}"
            one.write_text(cookie)
            checks = [(cookie, peer.expect)]
            count = bench.plan.walk_requests
            found.append(Walked(ASGI_WALK, pids, running.address, request, cookie, one, checks, count))
    return found


def _sidecar(bench: Bench, sidecar: Subject, folder: Path) -> list[Repeated | Walked]:
    seconds = bench.plan.seconds

    def repeated(name: str, cookie: str, expected: Expected) -> Repeated:
        return Repeated(name, sidecar.pids, sidecar.address, check(HOST, cookie), expected, seconds)

    return [
        repeated(WARM, sidecar.cookie(), ALLOWED),
        _beside_others(bench, sidecar, folder),
        _walked(bench, sidecar, folder, COLD),
        repeated(NONE, "", SENT_TO_SIGN_IN),
        repeated(FORBID, sidecar.cookie(subject.BOB), FORBIDDEN),
        _walked(bench, sidecar, folder, FORGED),
        repeated(REVOKED, sidecar.revoked_cookie(), SENT_TO_SIGN_IN),
    ]


def _beside_others(bench: Bench, sidecar: Subject, folder: Path) -> Walked:
    """One session, and always another cookie after it, as scripts on a page leave them."""
    cookie, count = sidecar.cookie(), bench.plan.walk_requests
    file = folder / f"beside-{sidecar.address.port}"
    file.write_text("\n".join(f"{cookie}; seen={n:07}" for n in range(count * bench.plan.rounds)))
    request, checks = check(HOST, cookie), [(cookie, ALLOWED)]
    return Walked(BESIDE, sidecar.pids, sidecar.address, request, cookie, file, checks, count)


def _walked(bench: Bench, sidecar: Subject, folder: Path, name: str) -> Walked:
    """Another cookie each time: valid ones of as many accounts, or forged ones."""
    forged = name == FORGED
    count = bench.plan.walk_requests if forged else bench.plan.cold_cookies // min(LEAST, bench.plan.rounds)
    wanted = count * bench.plan.rounds
    host = HOST if forged else EVERYONE
    dids = [subject.numbered_did(n) for n in range(wanted + _CHECKS)]
    made = subject.cookies(sidecar.settings, dids, forged=forged)
    file = folder / f"{name}-{sidecar.address.port}".replace(" ", "-")
    file.write_text("\n".join(made[:wanted]))
    rest = zip(made[wanted:], dids[wanted:], strict=True)
    checks = [(c, SENT_TO_SIGN_IN if forged else Expected(200, {"x-user-did": d})) for c, d in rest]
    return Walked(name, sidecar.pids, sidecar.address, check(host, made[0]), made[0], file, checks, count)


_CHECKS = 1000  # cookies kept apart for the verifying, so that it warms none of those measured


def _named(taken: Samples, transport: str) -> Samples:
    prefix = f"{transport}: "
    return {name.removeprefix(prefix): took for name, took in taken.items() if name.startswith(prefix)}


def _cpu(found: Samples, name: str) -> list[float]:
    return [sample.cpu_us for sample in found[name]]


def _bars(transport: str, found: Samples) -> list[Bar]:
    return [
        Bar(f"{figure} ({transport})", ratio(_cpu(found, of), _cpu(found, to)), limit)
        for figure, of, to, limit in _BARS
        if to in found
    ]


def _table(bench: Bench, transport: str, found: Samples) -> Table:
    names = {peer.key: peer.name for peer in bench.peers}
    rows: list[list[Cell]] = []
    for name in found:
        against = ratio(_cpu(found, name), _cpu(found, ASGI)) if ASGI in found else None
        rows.append([names.get(name, name), estimate(_cpu(found, name)), against])
    rows += [[peer.name, "not there", None] for peer in bench.peers if peer.program is None]
    return Table(f"Over {transport}", ("server", "CPU µs", "against raw ASGI"), rows)
