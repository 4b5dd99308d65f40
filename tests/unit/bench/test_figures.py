"""What rounds say together."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.figures import amount, estimate, percentile, ratio

positive = st.floats(min_value=1e-3, max_value=1e6)


def test_an_interval_is_students_t_over_the_logarithms() -> None:
    found = estimate([1.0, 2.0, 4.0])
    half = 4.303 * math.log(2) / math.sqrt(3)  # the logarithms deviate by log 2
    assert found.low == pytest.approx(2.0 * math.exp(-half))
    assert found.high == pytest.approx(2.0 * math.exp(half))
    assert (found.median, found.least, found.most, found.rounds) == (2.0, 1.0, 4.0, 3)


@given(st.lists(positive, min_size=2, max_size=40))
def test_an_interval_holds_the_geometric_mean(values: list[float]) -> None:
    found = estimate(values)
    mean = math.exp(math.fsum(map(math.log, values)) / len(values))
    assert found.low <= mean * (1 + 1e-9)
    assert found.high >= mean * (1 - 1e-9)


def test_ratios_are_taken_round_by_round() -> None:
    found = ratio([10.0, 200.0, 30.0], [5.0, 100.0, 15.0])
    assert found.low == pytest.approx(2.0)
    assert found.high == pytest.approx(2.0)


def test_rounds_that_do_not_pair_up_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        ratio([1.0, 2.0], [1.0])


@pytest.mark.parametrize("values", [[], [1.0, 0.0], [-1.0]])
def test_nothing_and_what_is_not_positive_has_no_estimate(values: list[float]) -> None:
    with pytest.raises(ValueError, match="above zero"):
        estimate(values)


@pytest.mark.parametrize(("bar", "verdict"), [(4.0, "met"), (0.5, "not met"), (2.0, "undecided")])
def test_a_bar_inside_the_interval_is_undecided(bar: float, verdict: str) -> None:
    assert estimate([1.9, 2.0, 2.1]).verdict(bar) == verdict


def test_one_round_alone_decides_nothing() -> None:
    assert estimate([1.0]).verdict(100.0) == "undecided"


def test_an_amount_is_held_to_its_bar_as_it_is() -> None:
    assert amount(60.0).verdict(60.0) == "met"
    assert amount(60.1).verdict(60.0) == "not met"


@pytest.mark.parametrize(("share", "found"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.001, 1)])
def test_a_percentile_is_by_nearest_rank(share: float, found: int) -> None:
    assert percentile(list(range(1, 101)), share) == found
