import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.hosts import HostTable, canonical_host, canonical_pattern

LABELS = st.from_regex(r"[a-z]([a-z0-9]{0,10}[a-z0-9])?", fullmatch=True)
NAMES = st.lists(LABELS, min_size=1, max_size=5).map(".".join)
SCHEMES = st.sampled_from(["http", "https"])
LONG_LABEL = "a" * 63
LONGEST_NAME = ".".join([LONG_LABEL] * 3 + ["a" * 61])


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("example.com", "example.com"),
        ("localhost", "localhost"),
        ("App.Example.COM", "app.example.com"),
        ("example.com.", "example.com"),
        ("example.com.:8443", "example.com:8443"),
        ("example.com:443", "example.com"),
        ("example.com:80", "example.com:80"),
        ("example.com:08443", "example.com:8443"),
        ("example.com:00443", "example.com"),
        ("r3---sn-4g5e.example.com", "r3---sn-4g5e.example.com"),
        ("127.0.0.1:8080", "127.0.0.1:8080"),
        ("127.0.0.1.", "127.0.0.1"),
        ("[::1]", "[::1]"),
        ("[::1]:443", "[::1]"),
        ("[2001:DB8:0:0::1]:8443", "[2001:db8::1]:8443"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("XN--bcher-KVA.example", "xn--bcher-kva.example"),
        ("faß.example", "xn--fa-hia.example"),
        ("bücher。example", "xn--bcher-kva.example"),
        (LONGEST_NAME, LONGEST_NAME),
        (LONGEST_NAME + ".", LONGEST_NAME),
    ],
)
def test_a_host_has_one_spelling(text: str, canonical: str) -> None:
    assert canonical_host(text, scheme="https") == canonical


def test_the_port_that_is_dropped_is_the_schemes_own() -> None:
    assert canonical_host("example.com:80", scheme="http") == "example.com"
    assert canonical_host("example.com:443", scheme="http") == "example.com:443"
    assert canonical_host("example.com:443", scheme="") == "example.com:443"


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        ".example.com",
        "example..com",
        "example.com..",
        "user@example.com",
        "user:password@example.com",
        "example.com/",
        "example.com/path",
        "example.com?x",
        "example.com#x",
        "example.com\\evil",
        "https://example.com",
        "//example.com",
        " example.com",
        "example.com ",
        "exam ple.com",
        "example.com\n",
        "example.com\t",
        "exam\rple.com",
        "example.com\x00",
        "example.com\x7f",
        "example%2ecom",
        "%65xample.com",
        "example.com%00",
        "example_com.example",
        "-example.com",
        "example-.com",
        "*.example.com",
        "example.com:",
        "example.com:0",
        "example.com:65536",
        "example.com:123456",
        "example.com:4294967739",
        "example.com:+443",
        "example.com:-1",
        "example.com: 443",
        "example.com:44 3",
        "example.com:٤٤٣",
        "example.com:\uff14\uff14\uff13",
        "example.com:443:443",
        "example.com,evil.example",
        "127.1",
        "2130706433",
        "0x7f.0.0.1",
        "0x7f000001",
        "0177.0.0.1",
        "127.0.0.256",
        "127.0.0.1.5",
        "example.123",
        "example.0x1f",
        "[::1",
        "::1",
        "[::1]x",
        "[::1%25eth0]",
        "[::1%eth0]",
        "[fe80::1::2]",
        "[127.0.0.1]",
        "[]",
        "[example.com]",
        "xn--.example",
        "xn--a.example",
        "xn--example-.com",
        "xn--" + "9" * 50 + ".example",
        "exa\u200bmple\u2044.com",
        "evil.com\uff0fexample.com",
        "evil.com\uff03.example.com",
        "a\u0301\u0301--\u202e.example",
        "\ud800.example",
        "a" * 64 + ".com",
        LONGEST_NAME + "a",
        "a" * 100_000,
        "ü" * 200,
    ],
)
def test_what_is_no_host_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        canonical_host(text, scheme="https")


@given(st.text(max_size=80) | st.from_regex(r"[A-Za-z0-9.:\[\]äßœ。-]{0,40}", fullmatch=True), SCHEMES)
def test_the_canonical_spelling_is_its_own_canonical_spelling(text: str, scheme: str) -> None:
    try:
        host = canonical_host(text, scheme=scheme)
    except ValueError:
        return
    assert canonical_host(host, scheme=scheme) == host
    assert host.isascii()
    assert host == host.lower()
    assert not set(host) & set("/\\?#@% \t\r\n*")


@given(NAMES, SCHEMES, st.none() | st.integers(1, 65535))
def test_case_and_trailing_dot_never_matter(name: str, scheme: str, port: int | None) -> None:
    suffix = "" if port is None else f":{port}"
    plain = canonical_host(name + suffix, scheme=scheme)
    assert canonical_host(name.upper() + suffix, scheme=scheme) == plain
    assert canonical_host(name + "." + suffix, scheme=scheme) == plain


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("*.Example.com.", "*.example.com"),
        ("*.example.com:443", "*.example.com"),
        ("*.example.com:8443", "*.example.com:8443"),
        ("*.bücher.example", "*.xn--bcher-kva.example"),
        ("*.test", "*.test"),
        ("Example.com", "example.com"),
    ],
)
def test_a_pattern_has_one_spelling(text: str, canonical: str) -> None:
    assert canonical_pattern(text, scheme="https") == canonical


@pytest.mark.parametrize(
    "text",
    ["*", "*.", "*example.com", "*.*.com", "a.*.com", "*.127.0.0.1", "*.127.0.0.1:80", "*.[::1]", "**.a.com"],
)
def test_what_is_no_pattern_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        canonical_pattern(text, scheme="https")


def table(*patterns: str) -> HostTable[str]:
    return HostTable([(pattern, pattern) for pattern in patterns], scheme="https")


def test_a_wildcard_matches_what_lies_under_its_domain_at_any_depth_but_not_the_domain() -> None:
    wild = table("*.example.com")
    assert wild.get("a.example.com") == "*.example.com"
    assert wild.get("a.b.example.com") == "*.example.com"
    assert wild.get("example.com") is None
    assert wild.get("aexample.com") is None
    assert wild.get("a.example.com.evil.test") is None
    assert wild.get("com") is None


def test_exact_hosts_come_before_wildcards_and_longer_wildcards_before_shorter() -> None:
    mixed = table("*.com", "*.example.com", "*.a.example.com", "x.a.example.com")
    assert mixed.get("x.a.example.com") == "x.a.example.com"
    assert mixed.get("y.a.example.com") == "*.a.example.com"
    assert mixed.get("a.example.com") == "*.example.com"
    assert mixed.get("example.com") == "*.com"


def test_a_port_counts_only_where_it_is_named_and_then_it_counts() -> None:
    ports = table("example.com", "example.com:8443", "*.example.com:8443", "x.example.com:443")
    assert ports.get("example.com") == "example.com"
    assert ports.get("example.com:8443") == "example.com:8443"
    assert ports.get("example.com:9000") is None
    assert ports.get("a.example.com:8443") == "*.example.com:8443"
    assert ports.get("a.example.com") is None
    assert ports.get("x.example.com") == "x.example.com:443"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("example.com", "EXAMPLE.com."),
        ("example.com", "example.com:443"),
        ("*.example.com", "*.Example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
    ],
)
def test_a_pattern_that_is_there_twice_is_refused(one: str, other: str) -> None:
    with pytest.raises(ValueError, match="there twice"):
        table(one, other)


def test_the_size_of_a_table_counts_both_kinds() -> None:
    assert len(table("example.com", "*.example.com")) == 2
    assert not table()


@given(
    st.lists(st.tuples(st.booleans(), NAMES), unique=True, max_size=12),
    st.lists(NAMES, min_size=1, max_size=8),
)
def test_a_table_agrees_with_a_plain_search(entries: list[tuple[bool, str]], hosts: list[str]) -> None:
    patterns = [f"*.{name}" if wild else name for wild, name in entries]
    compiled = table(*patterns)
    for host in [*hosts, *(f"x.{name}" for _, name in entries), *(name for _, name in entries)]:
        under = [pattern for pattern in patterns if pattern[0] == "*" and host.endswith(pattern[1:])]
        expected = host if host in patterns else max(under, key=len, default=None)
        assert compiled.get(host) == expected
