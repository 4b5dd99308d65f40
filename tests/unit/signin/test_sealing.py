"""What rests in the store is encrypted, and opens only where it was put."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.signin.sealing import Sealer

SECRETS = ["n" * 32, "o" * 32]


@given(plaintext=st.binary(max_size=500), associated=st.binary(max_size=64))
def test_what_is_sealed_opens_with_the_same_associated_data(plaintext: bytes, associated: bytes) -> None:
    sealer = Sealer(SECRETS, "test")
    assert sealer.open(sealer.seal(plaintext, associated), associated) == plaintext


@given(st.binary(max_size=200))
def test_nothing_else_opens_and_nothing_raises(sealed: bytes) -> None:
    assert Sealer(SECRETS, "test").open(sealed, b"") is None


@given(position=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_a_changed_bit_is_noticed(position: int, bit: int) -> None:
    sealer = Sealer(SECRETS, "test")
    sealed = bytearray(sealer.seal(b"plaintext", b"key"))
    sealed[position % len(sealed)] ^= 1 << bit
    assert sealer.open(bytes(sealed), b"key") is None


def test_a_row_moved_under_another_key_does_not_open() -> None:
    sealer = Sealer(SECRETS, "test")
    assert sealer.open(sealer.seal(b"plaintext", b"one"), b"two") is None


def test_another_purpose_has_another_key() -> None:
    assert Sealer(SECRETS, "other").open(Sealer(SECRETS, "test").seal(b"plaintext", b""), b"") is None


def test_a_rotated_secret_still_opens_and_the_first_one_seals() -> None:
    before = Sealer(["o" * 32], "test").seal(b"plaintext", b"")
    assert Sealer(SECRETS, "test").open(before, b"") == b"plaintext"
    assert (
        Sealer(["n" * 32], "test").open(Sealer(SECRETS, "test").seal(b"plaintext", b""), b"") == b"plaintext"
    )


def test_the_same_text_is_sealed_differently_each_time() -> None:
    sealer = Sealer(SECRETS, "test")
    assert len({sealer.seal(b"plaintext", b"") for _ in range(100)}) == 100


def test_sealing_without_a_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="secret"):
        Sealer([], "test")
