"""Counts and durations: what a snapshot has, and several of them together."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.figures.counters import BOUNDS, FIGURES, Counters, Snapshot, counted, together


def test_a_count_goes_up_by_one_for_its_labels() -> None:
    counters = Counters()
    for _ in range(3):
        counters.count("checks", "wiki", "denied")
    counters.count("checks", "wiki", "missing_cookie")
    assert counters.snapshot() == {"checks": {("wiki", "denied"): 3, ("wiki", "missing_cookie"): 1}}


@given(st.lists(st.floats(0, 100), min_size=1, max_size=20))
def test_every_duration_is_in_each_bucket_that_holds_it(seconds: list[float]) -> None:
    counters = Counters()
    for each in seconds:
        counters.took("sign_in_seconds", each, "start")
    values = counters.snapshot()["sign_in_seconds"]
    for bound in BOUNDS:
        assert values.get(("start", str(bound)), 0) == len([each for each in seconds if each <= bound])
    assert values["start", "+Inf"] == len(seconds)
    assert values["start", "sum"] == pytest.approx(sum(seconds))


def test_a_block_that_fails_is_timed_too() -> None:
    counters = Counters()
    with pytest.raises(ValueError, match="x"), counters.timed("sign_in_seconds", "start"):
        raise ValueError("x")
    assert counters.snapshot()["sign_in_seconds"]["start", "+Inf"] == 1


def test_of_several_processes_counts_are_added_and_of_ages_the_largest_counts() -> None:
    one: Snapshot = {
        "checks": {("a", "allowed"): 2.0},
        "feed_age_seconds": {(): 0.5},
        "cookies_remembered": {(): 3.0},
    }
    two: Snapshot = {
        "checks": {("a", "allowed"): 1.0, ("b", "denied"): 4.0},
        "feed_age_seconds": {(): 9.0},
        "cookies_remembered": {(): 4.0},
    }
    assert together([one, two]) == {
        "checks": {("a", "allowed"): 3.0, ("b", "denied"): 4.0},
        "feed_age_seconds": {(): 9.0},
        "cookies_remembered": {(): 7.0},
    }
    assert set(counted(together([one, two]))) == {"checks"}


def test_no_label_can_come_from_outside() -> None:
    assert {label for figure in FIGURES.values() for label in figure.labels} == {
        "app", "outcome", "step", "kind", "result"
    }  # fmt: skip
