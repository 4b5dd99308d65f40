"""The Cookie line that the app gets: none of ours in any server's reading, all of its own unchanged."""

import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sidecar.sessions.cookie import cookie_name
from sidecar.sessions.cookie_line import for_app
from tests.fakes.cookie_readers import READERS, go, node, old_php, php, starlette, werkzeug

SESSION = b"__Host-sidecar_session=1~abc~did:plc:x.sig"
OURS = re.compile(r"(?:__Host-|__Secure-)?sidecar_")
OUR_NAMES = [
    prefix + base
    for prefix in ("", "__Host-", "__Secure-")
    for base in ("sidecar_session", "sidecar_attempt_0123456789abcdef", "sidecar_signed_out", "sidecar_probe")
]


@pytest.mark.parametrize(
    ("cookies", "left"),
    [
        ([], b""),
        ([b""], b""),
        ([SESSION], b""),
        ([SESSION + b";"], b""),
        ([SESSION + b"; ; "], b""),
        ([SESSION + b"; own=1"], b"own=1"),
        ([b"own=1; " + SESSION], b"own=1"),
        ([b"a=1; " + SESSION + b"; b=2"], b"a=1; b=2"),
        ([b"a=1;" + SESSION + b";b=2"], b"a=1;b=2"),
        ([SESSION + b"; sidecar_session=x; __Secure-sidecar_probe=y; sidecar_attempt_0aF=z; b=2"], b"b=2"),
        ([b"a=1; " + SESSION + b"; b=2; sidecar_returns=y;  c=3"], b"a=1; b=2;  c=3"),
        (
            [SESSION + b"; notsidecar_x=1; sidecars_own=2; my-sidecar_y=3; sidecar=4; sidecar-theme=5"],
            b"notsidecar_x=1; sidecars_own=2; my-sidecar_y=3; sidecar=4; sidecar-theme=5",
        ),
        (
            [b'a="x y"; ' + SESSION + b'; b=sidecar_session=1; c="a, b"; d={"e":1}'],
            b'a="x y"; b=sidecar_session=1; c="a, b"; d={"e":1}',
        ),
        ([b"own=1; " + SESSION, b"__Secure-sidecar_x=y; other=2", b"sidecar_y=1"], b"own=1; other=2"),
        ([b"a=\xc3\xbc\xff; " + SESSION], b"a=\xc3\xbc\xff"),
    ],
)
def test_the_apps_own_cookies_stay_as_they_came_and_ours_go(cookies: list[bytes], left: bytes) -> None:
    assert for_app(cookies) == left
    assert for_app(cookies, SESSION) == left


@pytest.mark.parametrize(
    "spelt",
    [
        b"sidecar_session =x", b"sidecar_session\t=x", b"sidecar_session", b" sidecar_session=x",
        b"\tsidecar_session=x", b"\xa0sidecar_session=x", b"sidecar_session\xa0=x", b"\x85sidecar_session=x",
        b"\xc2\xa0sidecar_session=x", b"\xe2\x80\x83sidecar_session\xe3\x80\x80=x",
        b"\xef\xbb\xbfsidecar_session=x",
        b"sidecar.session=x", b"sidecar session=x", b"sidecar[session=x", b"sidecar_session[]=x",
        b"sidecar_session[a]=x", b"..Host-sidecar_session=x", b"_.Secure-sidecar.session=x",
        b"__Host-sidecar[session=x", b"%73idecar_session=x", b"sidecar%5Fsession=x", b"sidecar+session=x",
        b"+sidecar_session=x", b"%5f%5fHost-sidecar_session=x", b"__%48ost-sidecar%2esession=x",
        b"SIDECAR_SESSION=x", b"__host-sidecar_session=x", b'"sidecar_session"=x', b'sidecar_session="x"',
        b"sidecar_session==x",
    ],
)  # fmt: skip
def test_every_spelling_that_some_server_reads_as_ours_goes(spelt: bytes) -> None:
    assert for_app([b"a=1; " + spelt + b"; b=2"]) == b"a=1; b=2"
    assert for_app([spelt]) == b""


def test_the_models_read_the_spellings_that_their_servers_were_seen_to_read() -> None:
    """Else the properties below would prove nothing."""
    for reader in (go, node, werkzeug, starlette):
        assert reader([b"a=1; sidecar_session =x"]) == ["a", "sidecar_session"]
    for spelt in (b"sidecar.session=x", b"sidecar session=x", b"sidecar[session=x", b"sidecar_session[a]=x"):
        assert php([spelt]) == ["sidecar_session"]
    assert starlette([b"\xa0sidecar_session=x"]) == node([b"\xa0sidecar_session=x"]) == ["sidecar_session"]
    assert werkzeug(["\u2003sidecar_session=x".encode()]) == ["sidecar_session"]
    assert old_php([b"sidecar%5Fsession=x"]) == ["sidecar_session"]
    assert php([b"sidecar%5Fsession=x"]) == ["sidecar%5Fsession"]


_SPACES = st.sampled_from([b"", b" ", b"\t", b"  ", b"\xa0", b"\x85", "\u2003".encode(), b'"', b"+", b"%20"])


@st.composite
def ours_somehow_spelt(draw: st.DrawFn) -> bytes:
    letters = []
    for letter in draw(st.sampled_from(OUR_NAMES)).encode():
        byte = bytes([letter])
        forms = [byte, byte, byte, b"%%%02x" % letter, b"%%%02X" % letter]
        forms += [b".", b"[", b" ", b"+"] if byte == b"_" else [byte.swapcase()]
        letters.append(draw(st.sampled_from(forms)))
    name = (
        draw(_SPACES)
        + b"".join(letters)
        + draw(st.sampled_from([b"", b"", b"[", b"[]", b"[x]"]))
        + draw(_SPACES)
    )
    return name + draw(st.sampled_from([b"=x", b"", b"=", b"= x", b'="x"', b"==x"]))


_VALUES = st.binary(max_size=12).map(
    lambda value: bytes(set(range(0x20, 0x7F)) & set(value)).replace(b";", b"")
)
_NAMES = st.from_regex(re.compile(rb"[!#$&'*.^_`|~0-9A-Za-z-]{1,12}"), fullmatch=True)
_OWN = st.builds(lambda name, value: name + b"=" + value, _NAMES, _VALUES).filter(
    lambda part: (
        not any(map(OURS.match, (name for reader in READERS for name in reader([part]))))
        and not part.lower().lstrip(b"_.").startswith((b"sidecar", b"host-sidecar", b"secure-sidecar"))
    )
)
_JUNK = st.binary(max_size=20).map(lambda part: part.translate(None, b";\r\n\0"))


@given(st.lists(st.lists(ours_somehow_spelt() | _OWN | _JUNK, max_size=6), max_size=3))
@example([[b"sidecar_session =x"]])
def test_no_server_finds_a_cookie_of_ours_in_what_is_left(lines: list[list[bytes]]) -> None:
    line = for_app([b"; ".join(parts) for parts in lines])
    for reader in READERS:
        assert [name for name in reader([line]) if OURS.match(name)] == []


@given(
    st.lists(
        _OWN.map(lambda part: (part, True)) | ours_somehow_spelt().map(lambda part: (part, False)), max_size=8
    )
)
def test_every_cookie_of_the_apps_survives_byte_for_byte_and_in_order(
    parts: list[tuple[bytes, bool]],
) -> None:
    line = for_app([b"; ".join(part for part, _ in parts)])
    assert line == b"; ".join(part for part, own in parts if own).strip(b" \t")


@given(
    st.lists(
        st.sampled_from([b"__Host-sidecar_session=", b"v", b"=", b"; ", b";", b" ", b"a", b"x=", b"%"]),
        max_size=12,
    ).map(b"".join),
    st.booleans(),
)
def test_knowing_the_session_cookie_changes_nothing_that_is_left(line: bytes, twice: bool) -> None:
    lines = [line, line] if twice else [line]
    assert for_app(lines, b"__Host-sidecar_session=v") == for_app(lines)


@given(st.lists(_OWN, min_size=1, max_size=8))
def test_a_line_without_a_cookie_of_ours_stays_as_it_is(parts: list[bytes]) -> None:
    line = b";".join(parts)
    assert for_app([line]) == for_app([b" \t" + line + b" "]) == line.strip(b" \t")


@given(st.lists(st.binary(max_size=40), max_size=4))
def test_nothing_that_is_left_could_end_a_header(lines: list[bytes]) -> None:
    assert not set(for_app(lines)) & {*range(0x09), *range(0x0A, 0x20), 0x7F}


def test_every_cookie_of_ours_has_a_name_that_is_taken_out() -> None:
    with pytest.raises(ValueError, match="sidecar_"):
        cookie_name("attempt", secure=False)
    source = "".join(path.read_text() for path in (Path(__file__).parents[3] / "sidecar").rglob("*.py"))
    for base in re.findall(r'cookie_name\(\s*"(\w+)"', source):
        for name in (
            cookie_name(base, secure=True),
            cookie_name(base, secure=False),
            cookie_name(base, secure=True, domain="x.net"),
        ):
            assert for_app([f"{name}=v".encode()]) == b""
