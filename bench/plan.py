"""How much is measured: the whole in under ten minutes, a quick look in under two, or the way through Caddy
alone in under forty.

Owns: the numbers of a run, and what every scenario is given.
Doesn't belong here: what a scenario does with them (scenarios/).
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.measure import Target
from bench.peers import Peer
from bench.rounds import Samples, take_turns


@dataclass(frozen=True, slots=True)
class Plan:
    """`rounds`: the most; if time is short, LEAST of them. `seconds`: of one turn. `samples`: replies
    verified word by word, per target, before and after each round."""

    name: str
    rounds: int
    seconds: float
    samples: int
    cold_cookies: int  # at least, each used once
    walk_requests: int  # a turn of our own client, where cookies may come again
    did_steps: Sequence[int]
    app_steps: Sequence[int]
    revocation_steps: Sequence[int]
    session_steps: Sequence[int]
    probe_seconds: float  # one look at latency
    hanging: int  # sign-ins at once
    checks: int  # that memory must not grow with
    more_starts: int
    sign_ins: int  # a round
    limit: float  # seconds for all sections together


FULL = Plan(
    name="latest",
    rounds=14,
    seconds=0.2,
    samples=1000,
    cold_cookies=105_000,
    walk_requests=3000,
    did_steps=(100, 10_000),
    app_steps=(30, 1000),
    revocation_steps=(10_000, 100_000, 1_000_000),
    session_steps=(1, 1000, 10_000, 100_000, 300_000),
    probe_seconds=1.5,
    hanging=200,
    checks=1_000_000,
    more_starts=2,
    sign_ins=20,
    limit=570.0,
)

QUICK = Plan(
    name="quick",
    rounds=2,
    seconds=0.05,
    samples=50,
    cold_cookies=3000,
    walk_requests=700,
    did_steps=(10_000,),
    app_steps=(1000,),
    revocation_steps=(20_000,),
    session_steps=(1, 3000),
    probe_seconds=0.5,
    hanging=200,
    checks=10_000,
    more_starts=0,
    sign_ins=3,
    limit=105.0,
)

END_TO_END = replace(FULL, name="end-to-end", rounds=60, seconds=0.8, limit=2300.0)


@dataclass(slots=True)
class Bench:
    """What a scenario is given. `folder`: for its files, gone after the run; `tell`: prints progress."""

    plan: Plan
    peers: Sequence[Peer]
    folder: Path
    tell: Callable[[str], None]
    until: float = field(default=0.0)  # on the monotonic clock: when this section should be over

    def take_turns(self, targets: Sequence[Target], *, rounds: int | None = None) -> Samples:
        """Under this run's plan; see rounds.take_turns."""
        return take_turns(
            targets,
            rounds=rounds or self.plan.rounds,
            samples=self.plan.samples,
            until=self.until or time.monotonic() + self.plan.limit,
            tell=self.tell,
        )

    def installed(self) -> list[Peer]:
        return [peer for peer in self.peers if peer.program is not None]
