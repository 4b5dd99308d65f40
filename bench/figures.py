"""What many rounds say together: medians, intervals, and whether a bar is met. Pure.

Rounds are paired: what ran side by side in one round shared the machine's mood, so a ratio is taken within
the round and only then over the rounds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median, stdev
from typing import Literal

# Student's t, two-sided 95 %, by degrees of freedom.
_T = (
    12.706,
    4.303,
    3.182,
    2.776,
    2.571,
    2.447,
    2.365,
    2.306,
    2.262,
    2.228,
    2.201,
    2.179,
    2.160,
    2.145,
    2.131,
)
_T_LARGE = 2.131  # on the safe side for all beyond

Verdict = Literal["met", "not met", "undecided"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """The rounds' median, least and most, and the 95 % interval of their geometric mean."""

    median: float
    least: float
    most: float
    low: float
    high: float
    rounds: int

    def verdict(self, bar: float) -> Verdict:
        """Against an upper bar; a bar inside the interval decides nothing."""
        if self.high <= bar:
            return "met"
        return "not met" if self.low > bar else "undecided"


def estimate(values: Sequence[float]) -> Estimate:
    """The interval is Student's t over the logarithms: costs and ratios scatter by factors. ValueError if
    empty or not positive; one round alone has no interval (0 to infinity)."""
    if not values or min(values) <= 0:
        raise ValueError("an estimate needs at least one round, and values above zero")
    low, high = _interval([math.log(value) for value in values])
    return Estimate(median(values), min(values), max(values), math.exp(low), math.exp(high), len(values))


def amount(value: float) -> Estimate:
    """Something measured once, which has no interval."""
    return Estimate(value, value, value, value, value, 1)


def ratio(of: Sequence[float], to: Sequence[float]) -> Estimate:
    """Round by round. ValueError if the rounds don't pair up."""
    return estimate([a / b for a, b in zip(of, to, strict=True)])


def percentile(ordered: Sequence[float], share: float) -> float:
    """The least value that `share` of all don't exceed (nearest rank). `ordered`: rising."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def _interval(logs: Sequence[float]) -> tuple[float, float]:
    if len(logs) < 2:
        return -math.inf, math.inf
    freedom = len(logs) - 1
    t = _T[freedom - 1] if freedom <= len(_T) else _T_LARGE
    half = t * stdev(logs) / math.sqrt(len(logs))
    return fmean(logs) - half, fmean(logs) + half
