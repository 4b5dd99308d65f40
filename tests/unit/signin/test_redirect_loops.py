"""Loops are counted in the visitor's own cookie."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.errors import LoopDetected
from sidecar.signin import redirect_loops


def test_the_third_return_within_thirty_seconds_is_a_loop() -> None:
    first = redirect_loops.count("", 1000.0)
    second = redirect_loops.count(first, 1010.0)
    with pytest.raises(LoopDetected):
        redirect_loops.count(second, 1029.0)


def test_returns_with_time_between_are_no_loop() -> None:
    cookie = ""
    for minute in range(20):
        cookie = redirect_loops.count(cookie, minute * 16.0)


def test_returns_from_the_future_do_not_count() -> None:
    assert redirect_loops.count("5000.5001", 1000.0) == "1000"


@given(st.text(), st.floats(0, 2e9))
def test_any_cookie_is_read_or_ends_in_the_page(cookie: str, now: float) -> None:
    try:
        counted = redirect_loops.count(cookie, now)
    except LoopDetected:
        return
    assert len(counted) <= 3 * 16


@pytest.mark.parametrize(
    ("checked", "counted"),
    [
        ("1000", True),
        ("1001", True),
        ("999", False),
        ("", False),
        ("1e9", False),
        ("-1", False),
        ("²", False),
        ("9" * 15, True),
        ("9" * 16, False),
    ],
)
def test_only_a_check_that_looked_after_the_sign_in_counts(checked: str, counted: bool) -> None:
    assert redirect_loops.counts(checked, 1000) is counted
