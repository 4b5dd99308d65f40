"""Whose turn it is."""

import time
from dataclasses import dataclass, field

import pytest

from bench.load import WrongAnswersError
from bench.measure import Sample
from bench.rounds import take_turns


@dataclass
class Told:
    """A target that only notes what it is told to do."""

    name: str
    log: list[str]
    wrong: bool = False
    verified: int = field(default=0)

    def verify(self, samples: int) -> None:
        if self.wrong and self.verified:
            raise WrongAnswersError(self.name)
        self.verified += samples

    def run(self) -> Sample:
        self.log.append(self.name)
        return Sample(len(self.log), 1.0, 2.0, 3.0)


def turns(targets: list[Told], rounds: int, until: float) -> dict[str, list[float]]:
    taken = take_turns(targets, rounds=rounds, samples=10, until=until, tell=lambda _: None)
    return {name: [sample.cpu_us for sample in samples] for name, samples in taken.items()}


def test_the_order_is_reversed_on_alternate_rounds() -> None:
    log: list[str] = []
    taken = turns([Told("a", log), Told("b", log)], 3, time.monotonic() + 60)
    assert log == ["a", "b", "b", "a", "a", "b"]
    assert taken == {"a": [1, 4, 5], "b": [2, 3, 6]}


def test_every_target_is_verified_before_and_after_each_round() -> None:
    target = Told("a", [])
    turns([target], 5, time.monotonic() + 60)
    assert target.verified == 60


def test_late_rounds_are_left_out_but_seven() -> None:
    log: list[str] = []
    turns([Told("a", log)], 9, time.monotonic() - 1)
    assert len(log) == 7


def test_a_wrong_answer_ends_the_run() -> None:
    with pytest.raises(WrongAnswersError):
        turns([Told("a", []), Told("b", [], wrong=True)], 3, time.monotonic() + 60)
