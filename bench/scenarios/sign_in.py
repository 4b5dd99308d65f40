"""6. What a finished sign-in costs us, the other servers' time left out."""

import time
from dataclasses import dataclass, field

from bench import signing_in, subject
from bench.figures import estimate, percentile
from bench.measure import Sample, used
from bench.plan import Bench
from bench.programs import Programs
from bench.results import Section, Table
from bench.subject import Subject

_AFTERMATH = 0.3  # seconds: tokens are revoked after the answer


@dataclass(slots=True)
class SignIns:
    """Takes turns like any other target: so many sign-ins, one after the other, each seen through to its
    check."""

    network: signing_in.Network
    sidecar: Subject
    count: int
    name: str = field(default="a finished sign-in")

    def verify(self, samples: int) -> None:
        """Every sign-in of a turn is verified."""

    def run(self) -> Sample:
        before = used(self.sidecar.pids)
        took = []
        for _ in range(self.count):
            begun = time.perf_counter()
            self.network.sign_in(self.sidecar)
            took.append((time.perf_counter() - begun) * 1e6)
        per_second = self.count / sum(took) * 1e6
        time.sleep(_AFTERMATH)
        cost = (used(self.sidecar.pids) - before) / self.count * 1e6
        took.sort()
        return Sample(cost, percentile(took, 0.5), percentile(took, 0.99), per_second)


def measure(bench: Bench) -> Section:
    folder = bench.folder / "sign-in"
    with Programs() as programs, signing_in.network(folder, programs) as network:
        settings = subject.configure(folder / "sidecar", changes=network.changes)
        sidecar = subject.start(settings, folder / "sidecar", programs, name="the sidecar")
        network.sign_in(sidecar)  # the first one loads modules: it is part of the process's section
        target = SignIns(network, sidecar, bench.plan.sign_ins)
        samples = bench.take_turns([target])[target.name]
    cost, took = estimate([s.cpu_us / 1000 for s in samples]), estimate([s.p50_us / 1000 for s in samples])
    table = Table("A finished sign-in", ("what", "CPU ms", "elapsed ms"), [["by handle", cost, took]])
    return Section("Sign-in", [table], notes=[_ABOUT])


_ABOUT = (
    "CPU ms of the sidecar alone: its page, the form, handle and DID resolved, metadata, PAR with a DPoP "
    "nonce, the callback, the token, the fresh resolution, revoking, one check. The servers asked are one "
    "process on another core that answers at once, so the elapsed time is the least that is possible."
)
