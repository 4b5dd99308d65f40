"""Counts and durations in plain numbers, cheap enough to count always.

Owns: the names of all figures, what each means, adding up those of several processes.
Doesn't belong here: their text form (process/metrics.py).

Labels come from the configuration and from this code only, never from a visitor or a server: an app's name,
an outcome's code, a step.
"""

import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Literal, NamedTuple

BOUNDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)  # seconds


class Figure(NamedTuple):
    """`how`: whether the values of several workers are added, or the largest counts."""

    kind: Literal["counter", "gauge", "histogram"]
    about: str
    labels: tuple[str, ...] = ()
    how: Literal["sum", "max"] = "sum"


FIGURES: Mapping[str, Figure] = {
    "checks": Figure("counter", "Checks, by app and outcome.", ("app", "outcome")),
    "sign_ins": Figure("counter", "Sign-ins, by step and outcome.", ("step", "outcome")),
    "sign_in_seconds": Figure("histogram", "How long a step of a sign-in took.", ("step",)),
    "questions": Figure("counter", "Questions to other servers, by kind and result.", ("kind", "result")),
    "question_seconds": Figure("histogram", "How long a question to other servers took.", ("kind",)),
    "cookies_remembered": Figure("gauge", "Verified session cookies in memory."),
    "ended_sessions": Figure("gauge", "Sign-outs that are remembered.", how="max"),
    "ended_accounts": Figure("gauge", "Accounts whose earlier sessions have ended.", how="max"),
    "feed_age_seconds": Figure("gauge", "Since the store last answered; -1: it never has.", how="max"),
    "feed_read_seconds": Figure("gauge", "How long the store took to answer last.", how="max"),
    "people_seen": Figure("gauge", "People whose handle and account will be verified again."),
    "people_waiting": Figure("gauge", "Of these, those whose server failed and is asked later."),
    "log_lines_dropped": Figure("counter", "Log lines that nobody read in time."),
    "workers": Figure("gauge", "Workers that serve."),
}

Values = dict[tuple[str, ...], float]
Snapshot = dict[str, Values]  # of a histogram, the labels end with an upper bound, "+Inf" or "sum"


class Counters:
    """Of one process. `count` and `took` may be called from any thread, though a count may get lost then."""

    def __init__(self) -> None:
        self._values: defaultdict[str, Values] = defaultdict(dict)

    def count(self, name: str, *labels: str) -> None:
        values = self._values[name]
        values[labels] = values.get(labels, 0) + 1

    def took(self, name: str, seconds: float, *labels: str) -> None:
        values = self._values[name]
        bound = bisect_left(BOUNDS, seconds)
        for each in (*map(str, BOUNDS[bound:]), "+Inf"):
            values[(*labels, each)] = values.get((*labels, each), 0) + 1
        values[(*labels, "sum")] = values.get((*labels, "sum"), 0) + seconds

    @contextmanager
    def timed(self, name: str, *labels: str) -> Iterator[None]:
        """How long the block takes, however it ends."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.took(name, time.perf_counter() - began, *labels)

    def snapshot(self) -> Snapshot:
        return {name: dict(values) for name, values in self._values.items()}


def counted(snapshot: Snapshot) -> Snapshot:
    """What goes on counting after the process has ended: no gauges."""
    return {name: values for name, values in snapshot.items() if FIGURES[name].kind != "gauge"}


def together(snapshots: Iterable[Snapshot]) -> Snapshot:
    """Those of several processes as one."""
    found: Snapshot = {}
    for snapshot in snapshots:
        for name, values in snapshot.items():
            into = found.setdefault(name, {})
            for labels, value in values.items():
                before = into.get(labels)
                largest = FIGURES[name].how == "max"
                into[labels] = value if before is None else max(before, value) if largest else before + value
    return found
