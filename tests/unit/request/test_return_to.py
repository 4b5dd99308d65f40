import string
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sidecar.request.forwarded import Target
from sidecar.request.return_to import MAX_RETURN_TO, accept_return_to, return_to
from tests.fakes.browser_url import browser_origin

APPS = {
    "app.example.com",
    "app.example.com:8443",
    "wiki.example.com",
    "auth.example.com",
    "xn--bcher-kva.example",
}
PUBLIC = "auth.example.com"
VISIBLE = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) != "#")


def accept(text: str | None, *, scheme: str = "https", prefix: str = "/auth") -> str | None:
    return accept_return_to(text, scheme=scheme, known=APPS.__contains__, public_host=PUBLIC, prefix=prefix)


def target(uri: str, host: str = "app.example.com") -> Target:
    return Target(host, uri, [])


def back_to(uri: str, host: str = "app.example.com", *, scheme: str = "https") -> tuple[str, bool]:
    return return_to(target(uri, host), scheme=scheme, prefix="/auth", public_host=PUBLIC)


# building it


def test_the_way_back_is_the_whole_original_address() -> None:
    uri = "/wiki/a%2Fb/../c//d;p=%41?x=1&y=%20&z=a\\b"
    assert back_to(uri) == (f"https://app.example.com{uri}", False)
    assert back_to("/", "app.example.com:8443") == ("https://app.example.com:8443/", False)


def test_the_scheme_is_the_configurations_not_the_forwarded_one() -> None:
    assert back_to("/x", scheme="http") == ("http://app.example.com/x", False)


def test_over_4_kilobytes_it_is_the_apps_root_and_says_so() -> None:
    origin = "https://app.example.com"
    longest = "/" + "a" * (MAX_RETURN_TO - len(origin) - 1)
    assert back_to(longest) == (origin + longest, False)
    assert back_to(longest + "a") == (origin + "/", True)


def test_a_backslash_in_the_path_is_spelt_so_that_no_reader_takes_it_for_a_slash() -> None:
    assert back_to("/\\evil.example?a\\b") == ("https://app.example.com/%5Cevil.example?a\\b", False)


@pytest.mark.parametrize(
    "uri", ["/auth", "/auth/", "/auth/login?return_to=x", "/AUTH/logout", "/x/../auth/callback?code=1"]
)
def test_under_the_prefix_of_the_public_host_it_is_the_profile(uri: str) -> None:
    assert back_to(uri, PUBLIC) == ("https://auth.example.com/auth/", False)


def test_beside_the_prefix_and_on_other_hosts_it_is_the_address_asked_for() -> None:
    assert back_to("/authors?x", PUBLIC) == ("https://auth.example.com/authors?x", False)
    assert back_to("/auth/login", "app.example.com") == ("https://app.example.com/auth/login", False)


# believing it


@pytest.mark.parametrize(
    ("text", "accepted"),
    [
        ("https://app.example.com/", "https://app.example.com/"),
        ("https://app.example.com", "https://app.example.com/"),
        (
            "https://app.example.com/a%2Fb/../c?x=1&y=#".rstrip("#"),
            "https://app.example.com/a%2Fb/../c?x=1&y=",
        ),
        ("HTTPS://APP.Example.COM./X", "https://app.example.com/X"),
        ("https://app.example.com:443/x", "https://app.example.com/x"),
        ("https://app.example.com:8443/x", "https://app.example.com:8443/x"),
        ("https://app.example.com//evil.example/x", "https://app.example.com//evil.example/x"),
        ("https://xn--bcher-kva.example/", "https://xn--bcher-kva.example/"),
        ("https://auth.example.com/authors", "https://auth.example.com/authors"),
        ("https://auth.example.com/auth/", "https://auth.example.com/auth/"),
        ("https://auth.example.com/auth/?x", "https://auth.example.com/auth/"),
    ],
)
def test_addresses_of_ours_are_accepted_in_their_canonical_form(text: str, accepted: str) -> None:
    assert accept(text) == accepted
    assert accept(accepted) == accepted


@pytest.mark.parametrize("text", [None, "", "/", "/x", "app.example.com", "app.example.com/x", "x" * 100_000])
def test_what_is_no_absolute_address_is_refused(text: str | None) -> None:
    assert accept(text) is None


def test_another_scheme_is_refused_both_ways() -> None:
    assert accept("http://app.example.com/") is None
    assert accept("https://app.example.com/", scheme="http") is None
    assert accept("http://app.example.com/", scheme="http") == "http://app.example.com/"


def test_an_address_over_4_kilobytes_is_refused() -> None:
    longest = "https://app.example.com/".ljust(MAX_RETURN_TO, "a")
    assert accept(longest) == longest
    assert accept(longest + "a") is None


@pytest.mark.parametrize(
    "path",
    [
        "/auth",
        "/auth/login",
        "/auth/login?return_to=https://app.example.com/",
        "/auth/logout",
        "/auth/callback?code=1&state=2",
        "//auth/login",
        "/./auth/login",
        "/x/../auth/login",
        "/x/%2e%2e/auth/login",
        "/x/.%2E/auth/login",
        "/x%2f..%2fauth/login",
        "/%61uth/login",
        "/Auth/login",
        "/AUTH/logout",
        "/auth//login",
        "/auth/%2e/login",
        "/auth/%5clogin",
        "/auth/..%2fauth/",
    ],
)
def test_of_the_public_hosts_own_pages_only_the_profile_is_a_place_to_go(path: str) -> None:
    assert accept(f"https://auth.example.com{path}") is None


def test_the_profile_is_accepted_on_a_public_host_without_apps() -> None:
    def nobody(host: str) -> bool:
        return False

    def ask(path: str) -> str | None:
        text = f"https://auth.example.com{path}"
        return accept_return_to(text, scheme="https", known=nobody, public_host=PUBLIC, prefix="/auth")

    assert ask("/auth/") == "https://auth.example.com/auth/"
    assert ask("/") is None


URIS = st.text(VISIBLE, max_size=60).map("/".__add__)


@given(URIS, st.sampled_from(sorted(APPS)), st.sampled_from(["http", "https"]))
@example("/\\evil.example", "app.example.com", "https")
@example("//evil.example", "app.example.com", "https")
@example("/@evil.example", "app.example.com", "https")
def test_every_way_back_is_believed_when_it_returns(uri: str, host: str, scheme: str) -> None:
    url, shortened = back_to(uri, host, scheme=scheme)
    assert not shortened
    assert accept(url, scheme=scheme) == url
    assert browser_origin(url) == (scheme, host)


@given(URIS.map(lambda uri: uri.ljust(MAX_RETURN_TO, "x")))
def test_a_shortened_way_back_is_believed_too(uri: str) -> None:
    url, shortened = back_to(uri)
    assert shortened
    assert accept(url) == url


ASCII_TRICKS = [
    "evil.example",
    "x",
    "@",
    ":",
    "?",
    "#",
    "%",
    ".",
    "%2f",
    "%5c",
    ":443",
    ":8443",
    "[",
    "]",
    "\x00",
    "\t",
    " ",
]
OTHER_TRICKS = ["\u3002", "\uff0f", "\u2044", "\u00a0", "\u200b", "\uff20"]
SLASHES = ["/", "//", "\\"]
TRICKS = st.sampled_from([*sorted(APPS), "https:", "http:", *SLASHES, *ASCII_TRICKS, *OTHER_TRICKS])


@st.composite
def tampered(draw: st.DrawFn) -> str:
    """An address of ours with a few tricks put in somewhere."""
    text = f"https://{draw(st.sampled_from(sorted(APPS)))}/{draw(st.sampled_from(['', 'x?y', '@x/']))}"
    for trick in draw(st.lists(TRICKS, max_size=2)):
        place = draw(st.integers(0, len(text)))
        text = text[:place] + trick + text[place:]
    return text


@given(tampered() | st.lists(TRICKS, max_size=10).map("".join))
@example("https://app.example.com\\@evil.example/")
@example("https://app.example.com:443@evil.example/")
def test_whatever_is_accepted_lies_on_a_known_host_in_every_reading(text: str) -> None:
    accepted = accept(text)
    if accepted is None:
        return
    parts = urlsplit(accepted)
    assert parts.scheme == "https"
    assert parts.netloc in APPS
    assert parts.fragment == ""
    assert browser_origin(accepted) == ("https", parts.netloc)
    assert set(accepted) <= set(string.printable) - set(string.whitespace)
    assert accept(accepted) == accepted
