import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.access.identity_headers import NAMES, identity_headers
from sidecar.access.policy import Principal
from sidecar.request import forwarded

ALICE = "did:plc:ewvi7nxzyoun6zhxrhs64oiz"


def test_the_did_and_the_handle_are_sent() -> None:
    assert identity_headers(Principal(ALICE, "alice.example.com")) == [
        (b"x-user-did", ALICE.encode()),
        (b"x-user-handle", b"alice.example.com"),
    ]


@pytest.mark.parametrize("handle", [None, ""])
def test_without_a_verified_handle_the_header_still_has_a_value(handle: str | None) -> None:
    assert dict(identity_headers(Principal(ALICE, handle)))[b"x-user-handle"] == b"handle.invalid"


@given(st.text(), st.none() | st.text())
def test_every_name_is_sent_exactly_once_and_never_empty_or_not_at_all(did: str, handle: str | None) -> None:
    try:
        headers = identity_headers(Principal(did, handle))
    except ValueError:
        return
    assert [name.decode() for name, _ in headers] == [name.lower() for name in NAMES]
    for _, value in headers:
        assert value
        assert all(0x21 <= byte <= 0x7E for byte in value)


@pytest.mark.parametrize(
    "did", ["", " ", "did:plc:a\r\nX-Admin: 1", "did:plc:a\n", "did:plc:a b", "did:plc:ä", "did:plc:a\x7f"]
)
def test_a_value_that_could_break_out_of_its_header_is_refused(did: str) -> None:
    with pytest.raises(ValueError, match="not fit"):
        identity_headers(Principal(did, None))


def test_twins_of_every_identity_header_are_refused_by_the_check() -> None:
    for name in NAMES:
        twin = name.lower().replace("-", "_").encode()
        with pytest.raises(forwarded.Unreadable, match="twin_of"):
            forwarded.read([(twin, b"did:plc:evil")])
