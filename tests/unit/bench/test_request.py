"""The request is the one that Caddy sends."""

from bench.request import HEADER_COUNT, SIZE, check
from sidecar.request import forwarded

COOKIE = "__Secure-sidecar_session=" + "a" * 230


def test_a_check_has_the_size_and_headers_that_were_measured() -> None:
    head, _, rest = check("notes.bench.internal", COOKIE).raw().partition(b"\r\n\r\n")
    assert (len(head) + 4, rest) == (SIZE, b"")
    assert len(head.split(b"\r\n")) == 1 + HEADER_COUNT


def test_the_session_cookie_stands_between_two_others() -> None:
    (cookies,) = (v for k, v in check("notes.bench.internal", COOKIE).headers if k == "Cookie")
    assert [pair.partition("=")[0] for pair in cookies.split("; ")] == [
        "theme",
        "__Secure-sidecar_session",
        "visitor",
    ]


def test_the_sidecar_reads_it_as_a_navigation() -> None:
    request = check("notes.bench.internal", COOKIE)
    pairs = [("host", request.host), *request.headers]
    target = forwarded.read([(name.lower().encode(), value.encode()) for name, value in pairs])
    assert (target.host, target.navigation) == ("notes.bench.internal", True)
