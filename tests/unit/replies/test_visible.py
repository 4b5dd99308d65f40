import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.replies.visible import visible

JOINERS = "\u200c\u200d"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Alice", "Alice"),
        ("  Alice \n", "Alice"),
        ("\u202eecilA\u202c", "ecilA"),
        ("Al\u200bi\u00adce\ufeff", "Alice"),
        ("\u2066Alice\u2069", "Alice"),
        ("A\x00l\x1bice", "Alice"),
        ("half \ud800 a pair", "half  a pair"),
        ("\u0627\u0644\u0633", "\u0627\u0644\u0633"),
        ("\U0001f469\u200d\U0001f4bb", "\U0001f469\u200d\U0001f4bb"),  # one emoji of two
        (
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        ),
        ("\u200d\u200c \u200d", ""),
        ("", ""),
    ],
)
def test_what_is_left_of_a_text_from_outside(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_a_long_text_is_cut_with_a_mark() -> None:
    assert visible("x" * 11, 10) == "x" * 9 + "…"
    assert visible("x" * 10, 10) == "x" * 10
    assert visible("\u202e" * 1_000_000 + "x", 10) == ""  # what is read is bounded too


@settings(deadline=None)  # no time limits: machines are busy
@given(st.text(), st.integers(1, 20))
def test_nothing_invisible_or_too_long_is_left(text: str, most: int) -> None:
    shown = visible(text, most)
    assert len(shown) <= most
    assert not [c for c in shown if unicodedata.category(c)[0] == "C" and c not in JOINERS]
    assert shown == shown.strip()
    shown.encode()  # no half of a surrogate pair
