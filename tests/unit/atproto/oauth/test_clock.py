"""How far our clock is from a server's, by its `Date`."""

import time
from collections.abc import Iterator
from contextlib import suppress
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.atproto.oauth.clock import seconds_ahead

TIME = 1_800_000_000.0  # by the server's clock, when it answers


@pytest.mark.parametrize("fraction", [0.0, 0.5, 0.999])
@pytest.mark.parametrize("took", [0.0, 0.5, 9.0])
@pytest.mark.parametrize("skew", [0.0, 30.0, 3600.0, -30.0, -3600.0])
def test_the_difference_is_never_more_than_it_is_and_less_by_the_answers_time_only(
    skew: float, took: float, fraction: float
) -> None:
    server = TIME + fraction
    date = formatdate(int(server), usegmt=True)
    ahead = seconds_ahead(date, asked=server + skew - took, answered=server + skew)
    assert abs(ahead) <= abs(skew)
    assert abs(ahead) >= abs(skew) - took - 1
    assert ahead == 0 or (ahead > 0) is (skew > 0)


@pytest.fixture
def _elsewhere() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "Pacific/Auckland")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("_elsewhere")
@pytest.mark.parametrize("date", ["Fri, 15 Jan 2027 08:00:00 GMT", "Fri, 15 Jan 2027 08:00:00 -0000"])
def test_a_date_is_in_utc_wherever_we_are(date: str) -> None:
    assert seconds_ahead(date, asked=TIME, answered=TIME) == 0


@given(
    st.text()
    | st.from_regex(r"[A-Z][a-z]{2}, [0-9]{1,9} [A-Z][a-z]{2} [0-9]{1,9} [0-9:]{1,9} [A-Z+0-9-]{0,9}")
)
def test_no_date_whatever_breaks_anything_but_itself(date: str) -> None:
    with suppress(ValueError):
        assert isinstance(seconds_ahead(date, asked=TIME, answered=TIME), float)
