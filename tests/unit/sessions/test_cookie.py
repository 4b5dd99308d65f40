"""The session cookie: what it says, who may read it, how long it is good for."""

import hashlib
from http.cookies import SimpleCookie
from secrets import token_hex
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from itsdangerous import Signer

from sidecar.errors import DuplicateCookies
from sidecar.sessions.cookie import Session, Sessions, newest_handle, principal
from sidecar.settings import Session as SessionSettings
from sidecar.settings import Settings
from sidecar.store import HandleFact

NOW = 1_800_000_000.0
DID = "did:plc:ewvi7nxzyoun6zhxrhs64oiz"


def make(public_url: str = "https://auth.wiki.net", **session: object) -> Sessions:
    values: dict[str, Any] = {"cookie_secrets": ("a" * 32,), **session}
    return Sessions(
        Settings(
            public_url=public_url,
            session=SessionSettings(**values),
        )
    )


def value_of(set_cookie: str) -> bytes:
    return set_cookie.partition(";")[0].partition("=")[2].encode()


def test_a_cookie_says_what_the_session_says() -> None:
    sessions = make()
    session = sessions.start(DID, "alice.wiki.net", NOW)
    assert sessions.verify(value_of(sessions.cookie(session, NOW))) == session


def test_every_session_has_an_id_of_its_own() -> None:
    sessions = make()
    assert len({sessions.start(DID, None, NOW).id for _ in range(100)}) == 100


@pytest.mark.parametrize(
    ("public_url", "domain", "name"),
    [
        ("https://wiki.net", "", "__Host-sidecar_session"),
        ("https://auth.wiki.net", "wiki.net", "__Secure-sidecar_session"),
        ("http://127.0.0.1:8080", "", "sidecar_session"),
    ],
)
def test_the_name_carries_the_strongest_prefix_that_fits(public_url: str, domain: str, name: str) -> None:
    sessions = make(public_url, cookie_domain=domain)
    cookie = sessions.cookie(sessions.start(DID, None, NOW), NOW)
    assert cookie.startswith(name + "=")
    parts = cookie.split("; ")
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(parts)
    assert ("Secure" in parts) == public_url.startswith("https")
    assert ("Domain=wiki.net" in parts) == bool(domain)


def test_a_cookie_signed_with_an_older_secret_is_still_read() -> None:
    before = make(cookie_secrets=("o" * 32,))
    cookie = value_of(before.cookie(before.start(DID, None, NOW), NOW))
    assert make(cookie_secrets=("n" * 32, "o" * 32)).verify(cookie) is not None
    assert make(cookie_secrets=("n" * 32,)).verify(cookie) is None


def test_the_first_secret_signs() -> None:
    rotated = make(cookie_secrets=("n" * 32, "o" * 32))
    cookie = value_of(rotated.cookie(rotated.start(DID, None, NOW), NOW))
    assert make(cookie_secrets=("n" * 32,)).verify(cookie) is not None


@given(position=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_a_cookie_with_any_bit_changed_is_forged(position: int, bit: int) -> None:
    sessions = make()
    session = sessions.start(DID, "alice.wiki.net", NOW)
    cookie = bytearray(value_of(sessions.cookie(session, NOW)))
    cookie[position % len(cookie)] ^= 1 << bit
    assert sessions.verify(bytes(cookie)) is None


@pytest.mark.parametrize(
    "junk",
    [b"!", b"=", b"==", b"~", b" ", b'"', b"\n", b"A", b"AAAA", b".", b"\x00", b"\xff", b"%20", b"===="],
)
def test_junk_anywhere_beside_a_valid_signature_makes_another_cookie(junk: bytes) -> None:
    sessions = make()
    cookie = value_of(sessions.cookie(sessions.start(DID, "alice.wiki.net", NOW), NOW))
    signature = cookie.rindex(b".") + 1
    for at in (0, signature - 1, signature, signature + 1, len(cookie) - 1, len(cookie)):
        assert sessions.verify(cookie[:at] + junk + cookie[at:]) is None


@pytest.mark.parametrize("secrets", [("n" * 32,), ("n" * 32, "o" * 32)])
def test_a_session_has_one_spelling_whichever_secret_signed_it(secrets: tuple[str, ...]) -> None:
    """The last character of base64 has two spare bits, and Python skips what is not in its alphabet."""
    signed = make(cookie_secrets=secrets[-1:])
    cookie = value_of(signed.cookie(signed.start(DID, None, NOW), NOW))
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/="
    last = [cookie[:-1] + bytes([each]) for each in alphabet]
    assert [each for each in last if make(cookie_secrets=secrets).verify(each)] == [cookie]


@given(st.binary(max_size=5000))
def test_no_bytes_at_all_make_verify_fail_otherwise_than_by_none(value: bytes) -> None:
    assert make().verify(value) is None


def test_a_signed_value_of_another_purpose_is_no_session() -> None:
    other = Signer("a" * 32, salt=b"other", digest_method=hashlib.sha256, key_derivation="hmac")
    session = make().start(DID, None, NOW)
    payload = value_of(make().cookie(session, NOW)).rpartition(b".")[0]
    assert make().verify(make().signer.sign(payload)) == session
    assert make().verify(other.sign(payload)) is None


FIELDS = ["1", "a" * 32, DID, "", "0", "1", "2", "3"]


@pytest.mark.parametrize(
    "fields",
    [
        ["2", *FIELDS[1:]],
        FIELDS[:-1],
        [*FIELDS, "4"],
        [*FIELDS[:-1], ""],
        [*FIELDS[:-1], "soon"],
        [*FIELDS[:2], "did:web:é.net", *FIELDS[3:]],
        [""],
        ["1"],
    ],
)
def test_a_signed_value_of_another_shape_is_no_session(fields: list[str]) -> None:
    sessions = make()
    assert sessions.verify(sessions.signer.sign("~".join(FIELDS))) is not None
    assert sessions.verify(sessions.signer.sign("~".join(fields))) is None


@given(did=st.text(max_size=80), handle=st.none() | st.text(min_size=1, max_size=80))
def test_a_cookie_says_what_was_put_in_it_or_nothing(did: str, handle: str | None) -> None:
    """Whatever a DID or handle may be one day: no part of one is ever read as another field."""
    sessions = make()
    session = sessions.start(did, handle, NOW)
    assert sessions.verify(value_of(sessions.cookie(session, NOW))) in (None, session)


def test_a_cookie_longer_than_browsers_keep_is_refused_even_if_signed() -> None:
    sessions = make()
    session = sessions.start(DID, None, NOW)
    assert sessions.verify(value_of(sessions.cookie(session._replace(did=token_hex(100)), NOW))) is not None
    assert sessions.verify(value_of(sessions.cookie(session._replace(did=token_hex(4096)), NOW))) is None


def test_two_session_cookies_in_one_request_are_refused() -> None:
    sessions = make()
    with pytest.raises(DuplicateCookies):
        sessions.find([b"__Host-sidecar_session=a; other=1; __Host-sidecar_session=a"])
    with pytest.raises(DuplicateCookies):
        sessions.find([b"__Host-sidecar_session=a", b"__Host-sidecar_session=b"])


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ([], None),
        ([b""], None),
        ([b"x=1; y=2"], None),
        ([b"x__Host-sidecar_session=1"], None),
        ([b"__host-sidecar_session=1"], None),
        ([b"x=__Host-sidecar_session=1"], None),
        ([b"a=1; __Host-sidecar_session=v; b=2"], b"v"),
        ([b"a=1;__Host-sidecar_session= v "], b"v"),
        ([b"a=1", b"__Host-sidecar_session=v"], b"v"),
        ([b"a__Host-sidecar_session; a"], None),
        ([b"__Host-sidecar_session; a"], b""),
    ],
)
def test_the_session_cookie_is_found_by_its_exact_name(headers: list[bytes], found: bytes | None) -> None:
    assert make().find(headers) == found


_HEADERS = st.lists(
    st.sampled_from([b"__Host-sidecar_session", b"=", b"; ", b";", b" ", b"a", b"x="]), max_size=9
).map(b"".join)


@given(st.lists(_HEADERS, max_size=5))
def test_the_quick_way_finds_what_the_long_way_finds(headers: list[bytes]) -> None:
    sessions = make()
    for header in headers:
        [*found] = sessions.find_all([header])
        if len(found) > 1:
            with pytest.raises(DuplicateCookies):
                sessions.find([header])
        else:
            assert sessions.find([header]) == (found[0] if found else None)


def test_a_session_ends_when_unused_for_the_idle_time() -> None:
    sessions = make(idle=100.0, absolute=1000.0)
    session = sessions.start(DID, None, NOW)
    assert sessions.alive(session, NOW + 99)
    assert not sessions.alive(session, NOW + 100)


def test_a_renewed_session_keeps_its_id_its_start_and_its_end() -> None:
    sessions = make(idle=100.0, absolute=150.0, renew_after=10.0)
    session = sessions.start(DID, "alice.wiki.net", NOW)
    renewed = sessions.renewed(session, None, NOW + 90)
    assert (renewed.id, renewed.signed_in_at, renewed.end) == (session.id, session.signed_in_at, session.end)
    assert sessions.alive(renewed, NOW + 149)
    assert not sessions.alive(renewed, NOW + 150)


def test_a_shorter_setting_shortens_old_sessions_and_a_longer_one_does_not_lengthen_them() -> None:
    session = make(absolute=1000.0).start(DID, None, NOW)
    assert make(absolute=500.0).ends(session) == NOW + 500
    assert make(absolute=5000.0).ends(session) == NOW + 1000


def test_renewal_is_due_past_its_age_and_only_while_it_buys_time() -> None:
    sessions = make(idle=100.0, absolute=150.0, renew_after=20.0)
    session = sessions.start(DID, None, NOW)
    assert not sessions.due(session, NOW + 19)
    assert sessions.due(session, NOW + 20)
    late = sessions.renewed(session, None, NOW + 60)
    assert not sessions.due(late, NOW + 90)


def test_the_cookie_lives_no_longer_than_the_session() -> None:
    sessions = make(idle=100.0, absolute=150.0)
    session = sessions.start(DID, None, NOW)
    assert "Max-Age=100" in sessions.cookie(session, NOW)
    assert "Max-Age=30" in sessions.cookie(sessions.renewed(session, None, NOW + 120), NOW + 120)
    assert "Max-Age=0" in sessions.cookie(session, NOW + 10_000)


def test_deletions_cover_the_host_only_and_the_domain_form_for_every_path_on_the_way() -> None:
    deletions = make(cookie_domain="wiki.net").deletions("/a/b?x=/c")
    parsed = [next(iter(SimpleCookie(each).values())) for each in deletions]
    forms = {(morsel["domain"], morsel["path"]) for morsel in parsed}
    paths = {"/", "/a", "/a/", "/a/b", "/a/b/"}
    assert forms == {(domain, path) for domain in ("", "wiki.net") for path in paths}
    assert all(morsel["max-age"] == "0" for morsel in parsed)


def test_a_path_cannot_smuggle_attributes_into_a_deletion() -> None:
    assert not any(
        "evil" in each for each in make(cookie_domain="wiki.net").deletions("/a;Domain=evil.net/b")
    )


def test_deletions_of_a_host_cookie_are_one() -> None:
    assert len(make().deletions("/a/b")) == 1


def fact(handle: str | None, verified_at: float) -> HandleFact:
    return HandleFact(seq=1, did=DID, handle=handle, verified_at=verified_at, expires=NOW * 2)


def session_with(handle: str | None, verified_at: int) -> Session:
    return make().start(DID, handle, NOW)._replace(handle_verified_at=verified_at)


def test_the_stores_word_on_a_handle_counts_where_it_is_as_new_as_the_cookies() -> None:
    session = session_with("old.wiki.net", 100)
    assert newest_handle(session, None) == ("old.wiki.net", 100)
    assert newest_handle(session, fact("new.wiki.net", 101)) == ("new.wiki.net", 101)
    assert newest_handle(session, fact(None, 100)) == (None, 100)
    assert newest_handle(session, fact("older.wiki.net", 99)) == ("old.wiki.net", 100)


def test_a_handle_verified_too_long_ago_opens_nothing() -> None:
    session = session_with("alice.wiki.net", 100)
    assert principal(session, None, now=149, max_age=50).handle == "alice.wiki.net"
    assert principal(session, None, now=150, max_age=50).handle is None
    assert principal(session, fact("alice.wiki.net", 120), now=150, max_age=50).handle == "alice.wiki.net"
    # verified by a clock ahead of ours
    assert principal(session, fact("alice.wiki.net", 210), now=150, max_age=50).handle == "alice.wiki.net"
    assert principal(session, fact("alice.wiki.net", 211), now=150, max_age=50).handle is None


_COOKIE = value_of(make().cookie(make().start(DID, "alice.wiki.net", NOW), NOW))


@given(st.integers(0, len(_COOKIE) - 1))
def test_a_cookie_cut_short_is_no_cookie(length: int) -> None:
    assert make().verify(_COOKIE) is not None
    assert make().verify(_COOKIE[:length]) is None
