"""Taking turns: every target once a round, the order reversed on alternate rounds, verified between rounds.

Doesn't belong here: what a turn is (measure.py), what the turns say together (figures.py).
"""

import time
from collections.abc import Callable, Mapping, Sequence

from bench.measure import Sample, Target

LEAST = 7  # rounds, however late it is, if the plan has as many

Samples = Mapping[str, Sequence[Sample]]


def take_turns(
    targets: Sequence[Target],
    *,
    rounds: int,
    samples: int,
    until: float,
    tell: Callable[[str], None],
) -> Samples:
    """The samples of each target, by its name, in the order of rounds.

    `samples`: replies verified word by word per target, before and after each round. `until`: on the
    monotonic clock; past it no further round begins. Raises WrongAnswersError."""
    taken: dict[str, list[Sample]] = {target.name: [] for target in targets}
    _verify(targets, samples)
    for number in range(rounds):
        begun = time.monotonic()
        for target in targets if number % 2 == 0 else reversed(targets):
            taken[target.name].append(target.run())
        _verify(targets, samples)
        tell(f"round {number + 1} of {rounds}: {time.monotonic() - begun:.1f} s")
        if number + 1 >= min(LEAST, rounds) and time.monotonic() > until:
            break
    return taken


def _verify(targets: Sequence[Target], samples: int) -> None:
    for target in targets:
        target.verify(samples)
