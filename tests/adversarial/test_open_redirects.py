"""Attack: lead a person through our sign-in page to a place of the attacker's, by `return_to`."""

import pytest

from sidecar.request.return_to import accept_return_to
from tests.fakes.browser_url import browser_origin

KNOWN = {"app.example.com", "example.com"}


def accept(text: str) -> str | None:
    return accept_return_to(
        text, scheme="https", known=KNOWN.__contains__, public_host="auth.example.com", prefix="/auth"
    )


@pytest.mark.parametrize(
    "text",
    [
        # another host
        "https://evil.example/",
        "https://evil.example/https://app.example.com/",
        "https://evil.example?https://app.example.com/",
        "https://evil.example#https://app.example.com/",
        "https://evil.example\\.app.example.com/",
        # look-alikes of a known host
        "https://app.example.com.evil.example/",
        "https://app.example.comevil.example/",
        "https://evilapp.example.com/",
        "https://notexample.com/",
        "https://app-example.com/",
        "https://sub.app.example.com/",
        "https://app.example.com../",
        "https://.app.example.com/",
        "https://\u0430pp.example.com/",  # Cyrillic a
        "https://app.example\u3002com/",
        "https://app.examp\u2113e.com/",
        "https://app.example.com\uff0fevil.example/",
        "https://app.example.com\u200b/",
        "https://xn--pp-6kc.example.com/",
        # user information
        "https://app.example.com@evil.example/",
        "https://app.example.com:443@evil.example/",
        "https://app.example.com%40evil.example/",
        "https://user@app.example.com/",
        "https://user:password@app.example.com/",
        "https://@app.example.com/",
        "https://evil.example\\@app.example.com/",
        "https://app.example.com\\@evil.example/",
        # slashes and backslashes
        "//evil.example/",
        "//app.example.com/",
        "///evil.example/",
        "/\\evil.example/",
        "\\\\evil.example/",
        "/",
        "/path",
        "https:evil.example/",
        "https:/evil.example/",
        "https:///evil.example/",
        "https:///app.example.com/",
        "https:\\\\evil.example/",
        "https:/\\evil.example/",
        "https://\\evil.example/",
        "https://app.example.com\\evil.example/",
        "https://app.example.com/\\evil.example/",
        "https://app.example.com/..\\..\\evil.example",
        # white space and control characters, plain and encoded
        " https://app.example.com/",
        "https://app.example.com/ ",
        "\thttps://app.example.com/",
        "https://app.example.com/\n",
        "https://app.example.com/\r\nSet-Cookie: a=b",
        "https://app.example.com\t/",
        "ht\ntps://evil.example/",
        "https:/\t/evil.example/",
        "https://app.example.com\x00.evil.example/",
        "https://app.example.com/\x00",
        "https://app.example.com/\x7f",
        "https://app.example.com/\u00a0",
        "https://app.example.com%20.evil.example/",
        "https://app.example.com%00.evil.example/",
        "https://app.example.com%09/",
        "https://app.example.com%2f.evil.example/",
        "https://app.example.com%252f@evil.example/",
        "https://%61pp.example.com/",
        "%2f%2fevil.example/",
        "https%3A%2F%2Fapp.example.com%2F",
        # fragments, queries and ports
        "https://app.example.com/#x",
        "https://app.example.com#@evil.example/",
        "https://app.example.com/x#",
        "https://app.example.com?@evil.example/",
        "https://app.example.com:/",
        "https://app.example.com:0/",
        "https://app.example.com:80/",
        "https://app.example.com:65979/",  # 443 + 65536
        "https://app.example.com:4294967739/",
        "https://app.example.com:443443443443/",
        "https://app.example.com:443:443/",
        "https://app.example.com:-443/",
        "https://app.example.com:\u0664\u0664\u0663/",
        "https://app.example.com:443evil.example/",
        # other schemes
        "http://app.example.com/",
        "javascript:alert(1)",
        "javascript://app.example.com/%0aalert(1)",
        "data:text/html,x",
        "ftp://app.example.com/",
        "wss://app.example.com/",
        "https+x://app.example.com/",
        "://app.example.com/",
        # addresses
        "https://[::1]/",
        "https://[app.example.com]/",
        "https://[::ffff:app.example.com]/",
        "https://2130706433/",
        "https://127.0.0.1/",
    ],
)
def test_an_address_that_is_not_exactly_one_of_ours_is_refused(text: str) -> None:
    assert accept(text) is None


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("HTTPS://APP.EXAMPLE.COM/", "https://app.example.com/"),
        ("https://app.example.com./", "https://app.example.com/"),
        ("https://app.example.com:0443/", "https://app.example.com/"),
        ("https://app.example.com//evil.example", "https://app.example.com//evil.example"),
        ("https://app.example.com/@evil.example", "https://app.example.com/@evil.example"),
        (
            "https://app.example.com/?next=https://evil.example",
            "https://app.example.com/?next=https://evil.example",
        ),
        ("https://app.example.com/?\\\\evil.example", "https://app.example.com/?\\\\evil.example"),
    ],
)
def test_an_odd_spelling_of_one_of_ours_is_built_anew_and_stays_there(text: str, canonical: str) -> None:
    assert accept(text) == canonical
    assert browser_origin(canonical) == ("https", "app.example.com")
