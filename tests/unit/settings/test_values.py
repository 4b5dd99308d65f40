"""How single values of the configuration are read, from TOML and from the environment's text."""

from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.settings import addresses, values

DID = "did:plc:ewvi7nxzyoun6zhxrhs64oiz"
ANY_VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3),
)
PARSERS = [
    values.text,
    values.line,
    values.boolean,
    values.integer(1, 64),
    values.choice("a", "b"),
    values.duration,
    values.file_mode,
    values.path,
    values.optional_path,
    values.texts,
    values.secrets,
    addresses.networks,
    addresses.nameservers,
    addresses.hosts,
    addresses.rules,
    addresses.members,
    addresses.listen,
    addresses.http_origin,
    addresses.optional_http_origin,
    addresses.https_url,
    addresses.cookie_domain,
    addresses.prefix,
    addresses.id_path,
    addresses.providers,
]


@pytest.mark.parametrize(
    ("parse", "given_value", "expected"),
    [
        (values.text, " x ", "x"),
        (values.line, "My wiki", "My wiki"),
        (values.boolean, True, True),
        (values.boolean, "False", False),
        (values.integer(1, 64), 64, 64),
        (values.integer(1, 64), " 7 ", 7),
        (values.choice("inline", "uri"), "uri", "uri"),
        (values.duration, 90, 90.0),
        (values.duration, "90", 90.0),
        (values.duration, "1.5h", 5400.0),
        (values.duration, "7d", 604800.0),
        (values.file_mode, "660", 0o660),
        (values.file_mode, "0600", 0o600),
        (values.file_mode, "0o640", 0o640),
        (values.path, "a/b", Path("a/b")),
        (values.optional_path, "", None),
        (values.texts, "a, b,,c", ("a", "b", "c")),
        (values.secrets, ["s" * 32], ("s" * 32,)),
        (
            addresses.networks,
            ["127.0.0.1", "10.0.0.0/8"],
            (ip_network("127.0.0.1/32"), ip_network("10.0.0.0/8")),
        ),
        (addresses.nameservers, "9.9.9.9", ("9.9.9.9",)),
        (addresses.nameservers, ["9.9.9.9:5353", "2620:fe::fe"], ("9.9.9.9:5353", "2620:fe::fe")),
        (addresses.nameservers, ["[2620:fe::fe]:53", "[::1]"], ("[2620:fe::fe]:53", "::1")),
        (addresses.hosts, ["Wiki.Example.net.", "*.x.net:8443"], ("wiki.example.net", "*.x.net:8443")),
        (addresses.hosts, "bücher.example", ("xn--bcher-kva.example",)),
        (addresses.rules, ["*", "@editors", DID], ("*", "@editors", DID)),
        (addresses.rules, "Alice.Example.com,*.Example.org", ("alice.example.com", "*.example.org")),
        (addresses.members, [DID], (DID,)),
        (addresses.listen, "127.0.0.1:9180", "127.0.0.1:9180"),
        (addresses.listen, "[::1]:9180", "[::1]:9180"),
        (addresses.listen, "unix:/run/s.sock", "unix:/run/s.sock"),
        (addresses.http_origin, "HTTPS://Auth.Example.com:443/", "https://auth.example.com"),
        (addresses.http_origin, "http://[::1]:8080", "http://[::1]:8080"),
        (addresses.optional_http_origin, "", ""),
        (addresses.https_url, "https://example.com/logo.png?a=1", "https://example.com/logo.png?a=1"),
        (addresses.https_url, "", ""),
        (addresses.cookie_domain, ".Example.com", "example.com"),
        (addresses.cookie_domain, "", ""),
        (addresses.prefix, "/auth", "/auth"),
        (addresses.prefix, "/a/b-c", "/a/b-c"),
        (addresses.id_path, "", ""),
        (addresses.id_path, " /oauth-client-metadata.json ", "/oauth-client-metadata.json"),
        (addresses.id_path, "/.well-known/client", "/.well-known/client"),
        (
            addresses.providers,
            [{"name": "A", "url": "https://a.example"}],
            (values.Provider("A", "https://a.example"),),
        ),
        (addresses.providers, "A=https://a.example", (values.Provider("A", "https://a.example"),)),
        (addresses.providers, [], ()),
    ],
)
def test_a_value_is_read_in_its_canonical_spelling(
    parse: Callable[[Any], Any], given_value: Any, expected: Any
) -> None:
    assert parse(given_value) == expected


@pytest.mark.parametrize(
    ("parse", "given_value", "says"),
    [
        (values.text, 3, "quotes"),
        (values.line, "a\nb", "one line"),
        (values.line, "a" * 201, "200"),
        (values.boolean, "yes", "true or false"),
        (values.boolean, 1, "true or false"),
        (values.integer(1, 64), 65, "from 1 to 64"),
        (values.integer(1, 64), "0", "from 1 to 64"),
        (values.integer(0, 1), True, "whole number"),
        (values.integer(1, 64), "9" * 5000, "whole number"),
        (values.choice("inline", "uri"), "none", '"inline" or "uri"'),
        (values.duration, "0s", "above zero"),
        (values.duration, -5, "above zero"),
        (values.duration, "1 week", "7d"),
        (values.duration, True, "time"),
        (values.duration, float("nan"), "time"),
        (values.duration, float("inf"), "time"),
        (values.duration, "99999d", "time"),
        (values.file_mode, 660, "quotes"),
        (values.file_mode, "888", "octal"),
        (values.file_mode, "4755", "octal"),
        (values.path, "", "empty"),
        (values.path, "a\0b", "null"),
        (values.texts, [1], "list of texts"),
        (values.secrets, ["short"], "32"),
        (addresses.networks, ["10.0.0.1/8"], "host bits"),
        (addresses.nameservers, ["dns.example"], "names can't be used"),
        (addresses.nameservers, ["::1:99999x"], "address"),
        (addresses.nameservers, ["9.9.9.9:70000"], "address"),
        (addresses.hosts, [], "at least one"),
        (addresses.hosts, ["https://wiki.example"], "host:port"),
        (addresses.hosts, ["*.127.0.0.1"], "no subdomains"),
        (addresses.hosts, ["wiki.*.example"], "host"),
        (addresses.rules, ["@alice.example.com"], "without @"),
        (addresses.rules, ["alice"], "not a handle"),
        (addresses.rules, ["alice.example.com\n.x"], "not a host name"),
        (addresses.rules, ["did:key:zQ3sh"], "neither did:plc nor did:web"),
        (addresses.rules, ["did:plc:short"], "did:plc"),
        (addresses.rules, ["*.1.2.3.4"], "address"),
        (addresses.rules, ["*.example.com:80"], "port"),
        (addresses.members, ["@b"], "can't hold a group"),
        (addresses.listen, "localhost:9180", "address and a port"),
        (addresses.listen, "::1:9180", "address and a port"),
        (addresses.listen, "127.0.0.1:0", "address and a port"),
        (addresses.listen, "unix:relative.sock", "absolute"),
        (addresses.http_origin, "auth.example.com", "http or https"),
        (addresses.http_origin, "ftp://auth.example.com", "http or https"),
        (addresses.http_origin, "https://auth.example.com/path", "without a path"),
        (addresses.http_origin, "https://u:p@auth.example.com", "without a path"),
        (addresses.https_url, "http://example.com/logo.png", "https"),
        (addresses.https_url, "https://u:p@example.com/", "https"),
        (addresses.https_url, "https:///x", "https"),
        (addresses.cookie_domain, "https://example.com", "domain alone"),
        (addresses.cookie_domain, "127.0.0.1", "domain"),
        (addresses.cookie_domain, "example.com:8080", "domain"),
        (addresses.prefix, "auth", "slash"),
        (addresses.prefix, "/", "slash"),
        (addresses.prefix, "/auth/", "slash"),
        (addresses.prefix, "/a/../b", "slash"),
        (addresses.prefix, "/a?b", "slash"),
        (addresses.id_path, "client.json", "slash"),
        (addresses.id_path, "https://wiki.net/client.json", "slash"),
        (addresses.id_path, "/", "slash"),
        (addresses.id_path, "/a/", "slash"),
        (addresses.id_path, "/a//b", "slash"),
        (addresses.id_path, "/a/../b", "slash"),
        (addresses.id_path, "/a/.", "slash"),
        (addresses.id_path, "/a?b", "slash"),
        (addresses.id_path, "/a#b", "slash"),
        (addresses.id_path, "/a%20b", "slash"),
        (addresses.id_path, "/{path}", "slash"),
        (addresses.id_path, "/a\nb", "slash"),
        (addresses.id_path, "/" + "a" * 201, "200"),
        (addresses.providers, [{"name": "A"}], "name"),
        (addresses.providers, "Bluesky", "list of tables"),
        (addresses.providers, [{"name": "", "url": "https://a.example"}], "no name"),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused_with_a_way_out(
    parse: Callable[[Any], Any], given_value: Any, says: str
) -> None:
    with pytest.raises(ValueError, match=says.replace("*", r"\*")):
        parse(given_value)


@pytest.mark.parametrize("parse", PARSERS)
@given(value=ANY_VALUE)
def test_a_parser_returns_a_value_or_raises_value_error(parse: Callable[[Any], Any], value: Any) -> None:
    try:
        parse(value)
    except ValueError as error:
        assert str(error)  # noqa: PT017 - nothing else may come out, and it must say something


@pytest.mark.parametrize(
    ("parse", "entries", "rest"),
    [
        (addresses.networks, ["x", "127.0.0.1", "y"], ["127.0.0.1"]),
        (addresses.nameservers, ["x", "9.9.9.9", "y"], ["9.9.9.9"]),
        (addresses.hosts, ["a b", "wiki.net", "c d"], ["wiki.net"]),
        (addresses.rules, ["x", "@editors", "y"], ["@editors"]),
        (addresses.members, ["x", "alice.net", "@y"], ["alice.net"]),
        (addresses.providers, "A=x,B=https://b.net,C=y", "B=https://b.net"),
    ],
)
def test_a_faulty_entry_hides_neither_another_one_nor_what_can_be_read(
    parse: Callable[[Any], Any], entries: Any, rest: Any
) -> None:
    with pytest.raises(values.FaultyEntries) as caught:
        parse(entries)
    assert len(caught.value.texts) == 2
    assert caught.value.rest == parse(rest)


@given(text=st.text(min_size=1, max_size=31).filter(lambda t: "," not in t and t.strip()))
def test_the_fault_of_a_secret_never_quotes_it(text: str) -> None:
    with pytest.raises(ValueError, match="shorter") as caught:
        values.secrets([text])
    assert repr(text) not in str(caught.value)


@pytest.mark.parametrize("parse", PARSERS)
def test_every_kind_of_value_is_described_for_the_reference(parse: Callable[[Any], Any]) -> None:
    assert parse.__doc__
    assert "\n" not in parse.__doc__.strip()
