from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.access.foreign_headers import STRIPPED
from sidecar.request.forwarded import SENT, SINGLE, Unreadable, read
from tests.fakes.told import told

Headers = list[tuple[bytes, bytes]]

PLAIN: dict[str, str] = {
    "x-forwarded-host": "app.example.com",
    "x-forwarded-uri": "/wiki/Main_Page?action=view",
    "x-forwarded-method": "GET",
    "x-forwarded-proto": "https",
}
LOAD = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document", "sec-fetch-site": "none"}
HTML = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
UPGRADE = {"upgrade": "websocket", "connection": "Upgrade"}


def headers(*parts: dict[str, str], **changes: str | None) -> Headers:
    """The forwarded headers of a plain request, with parts added and changes made; None takes one out."""
    merged: dict[str, str | None] = dict(PLAIN)
    for part in parts:
        merged.update(part)
    merged.update({name.replace("_", "-"): value for name, value in changes.items()})
    return [(name.encode(), value.encode("latin-1")) for name, value in merged.items() if value is not None]


def reason(given_headers: Headers) -> str:
    with pytest.raises(Unreadable) as refused:
        read(given_headers)
    return refused.value.reason


def test_a_plain_request_is_read() -> None:
    target = read([*headers(x_forwarded_for="203.0.113.7"), (b"cookie", b"a=1; b=2")])
    assert (target.host, target.uri) == ("app.example.com", "/wiki/Main_Page?action=view")
    assert target.cookies == [b"a=1; b=2"]
    kinds = (target.navigation, target.page, target.renewable, target.websocket_origin)
    assert kinds == (False, False, False, None)


def test_the_same_request_for_another_uri_differs_in_nothing_else() -> None:
    first = read([*headers(LOAD), (b"cookie", b"a=1")])
    assert told(first.again(b"/other?x", [b"a=1"])) == {**told(first), "uri": "/other?x", "cookies": [b"a=1"]}
    assert first.uri == "/wiki/Main_Page?action=view"


def test_headers_may_come_from_an_iterator() -> None:
    assert read(iter(headers())).host == "app.example.com"


def test_every_cookie_header_is_kept_as_it_came() -> None:
    cookies = [(b"cookie", b"sidecar=1; \xff"), (b"cookie", b""), (b"cookie", b"sidecar=1")]
    assert read([*headers(), *cookies]).cookies == [value for _, value in cookies]
    assert read(headers()).cookies == []


@pytest.mark.parametrize("name", ["host", "uri", "method", "proto"])
def test_each_forwarded_header_is_required(name: str) -> None:
    assert reason(headers(**{f"x_forwarded_{name}": None})) == f"missing_x_forwarded_{name}"


@pytest.mark.parametrize("name", sorted(SINGLE))
def test_a_header_that_counts_may_be_there_once_only(name: bytes) -> None:
    others = [pair for pair in headers() if pair[0] != name]
    value = dict(headers()).get(name, b"x")
    read([*others, (name, value)])
    assert reason([*others, (name, value), (name, value)]) == f"repeated_{name.decode().replace('-', '_')}"


@pytest.mark.parametrize("name", sorted(name for name in SINGLE | SENT if b"-" in name))
@pytest.mark.parametrize("mark", [b"_", b"."])
def test_underscore_and_dot_spellings_are_refused(name: bytes, mark: bytes) -> None:
    code = name.decode().replace("-", "_")
    assert reason([*headers(), (name.replace(b"-", mark), b"x")]) == f"twin_of_{code}"
    assert reason([*headers(), (name.replace(b"-", mark, 1), b"x")]) == f"twin_of_{code}"


@pytest.mark.parametrize("mark", [b"!", b"#", b"$", b"%", b"&", b"'", b"*", b"+", b"^", b"`", b"|", b"~"])
def test_every_other_character_that_some_server_folds_is_refused_too(mark: bytes) -> None:
    """lighttpd makes "_" of whatever is neither letter nor digit."""
    for name in (b"x-user-did", b"x-user-auth", b"x-forwarded-host", b"remote-user", b"x-otterwiki-email"):
        assert reason([*headers(), (name.replace(b"-", mark), b"x")]).startswith("twin_of_")


@pytest.mark.parametrize("pattern", STRIPPED)
@pytest.mark.parametrize("mark", [b"_", b"."])
def test_other_spellings_of_other_conventions_identity_headers_are_refused(pattern: str, mark: bytes) -> None:
    name = pattern.lower().strip("*").encode()
    if b"-" in name:
        assert reason([*headers(), (name.replace(b"-", mark), b"x")]) == "twin_of_a_stripped_header"
    read([*headers(), (name, b"Caddy deletes it")])


def test_odd_names_that_fold_into_nothing_that_matters_are_no_matter() -> None:
    assert read([*headers(), (b"api_key", b"1"), (b"x.y", b"1"), (b"!", b"1")]).host == "app.example.com"


def test_a_repeated_header_that_nobody_reads_is_no_matter() -> None:
    more = [(b"via", b"1"), (b"via", b"2"), (b"x-user-did", b"1"), (b"x-user-did", b"2")]
    assert told(read([*headers(), *more])) == told(read(headers()))


@pytest.mark.parametrize(
    "proto",
    ["", ",", "ftp", "javascript", "https,ftp", "ftp,https", "https,", ",https", "https;http", "https http"],
)
def test_only_http_and_https_are_known(proto: str) -> None:
    assert reason(headers(x_forwarded_proto=proto)) == "bad_x_forwarded_proto"


@pytest.mark.parametrize(
    ("proto", "default_port"),
    [
        *((proto, "443") for proto in ("https", "HTTPS", "Https", "wss", "WSS", " https\t")),
        *((proto, "80") for proto in ("http", "HTTP", "ws", "Ws")),
        *((proto, "443") for proto in ("https,http", "https, http", "wss,http", "HTTPS ,\thttp,http")),
        *((proto, "80") for proto in ("http,https", "ws,https")),
    ],
)
def test_the_scheme_is_read_as_other_proxies_write_it_the_clients_own_first(
    proto: str, default_port: str
) -> None:
    for port in ("80", "443"):
        target = read(headers(x_forwarded_proto=proto, x_forwarded_host=f"app.example.com:{port}"))
        expected = "app.example.com" if port == default_port else f"app.example.com:{port}"
        assert target.host == expected


@pytest.mark.parametrize(
    "host", ["", "a@b", "app.example.com/x", "a b", "app.example.com,b", "b\u00fccher.example", "x_y"]
)
def test_only_a_host_is_a_host(host: str) -> None:
    assert reason(headers(x_forwarded_host=host)) == "bad_x_forwarded_host"


def test_the_host_is_canonical_for_the_forwarded_scheme() -> None:
    assert read(headers(x_forwarded_host="App.Example.COM.:443")).host == "app.example.com"
    assert (
        read(headers(x_forwarded_host="app.example.com:443", x_forwarded_proto="http")).host
        == "app.example.com:443"
    )
    assert (
        read(headers(x_forwarded_host="app.example.com:80", x_forwarded_proto="http")).host
        == "app.example.com"
    )


@pytest.mark.parametrize(
    "uri",
    [
        "/",
        "/a%2Fb/../c//d;p=%41?x=1",
        "//evil.example/x",
        "/\\evil.example",
        "/?",
        "/" + "!\"$&'()*+,-.:;<=>?@[\\]^_`{|}~",
    ],
)
def test_the_uri_is_kept_as_the_client_sent_it(uri: str) -> None:
    assert read(headers(x_forwarded_uri=uri)).uri == uri


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "*",
        "a",
        "?x",
        "/a b",
        "/a#b",
        "/\t",
        "/a\n",
        "/\r\nx",
        "/\x00",
        "/\x7f",
        "/\xfc\x01",
        " /",
        "http:/x",
        "http:///x",
        "ftp://app.example.com/",
        "https://",
        "https://app.example.com#x",
        "https://app.example.com/#x",
        "https://app.example.com\\/x",
        "https://user@app.example.com/",
        "https://user:secret@app.example.com/",
        "https://other.example.com/",
        "https://app.example.com:8443/",
        "https://app.example.com.evil.example/",
        "https://app.example.com:x/",
        "https://app.example.com /",
        "https://b\u00fccher.example/",
        "https:https://app.example.com/",
    ],
)
def test_a_uri_of_anything_but_a_visible_ascii_path_is_refused(uri: str) -> None:
    assert reason(headers(x_forwarded_uri=uri)) == "bad_x_forwarded_uri"


@pytest.mark.parametrize(
    ("sent", "canonical"),
    [
        ("/\u00fc.txt", "/%C3%BC.txt"),
        ("/\u65e5\u672c/a%2Fb?q=\u00e9&x=%41", "/%E6%97%A5%E6%9C%AC/a%2Fb?q=%C3%A9&x=%41"),
        ("/\U0001f33b", "/%F0%9F%8C%BB"),
    ],
)
def test_raw_utf8_is_percent_encoded_as_a_browser_would(sent: str, canonical: str) -> None:
    target = read(
        [(name, sent.encode() if name == b"x-forwarded-uri" else value) for name, value in headers()]
    )
    assert target.uri == canonical


def test_bytes_that_are_no_utf8_are_encoded_one_by_one() -> None:
    assert read(headers(x_forwarded_uri="/a\xfc\xff?\x80")).uri == "/a%FC%FF?%80"


@pytest.mark.parametrize(
    ("sent", "canonical"),
    [
        ("https://app.example.com/a?b=c", "/a?b=c"),
        ("http://app.example.com/a", "/a"),
        ("HTTPS://App.Example.COM./a", "/a"),
        ("https://app.example.com:443/a", "/a"),
        ("https://app.example.com", "/"),
        ("https://app.example.com?x=1", "/?x=1"),
        ("https://app.example.com//a", "//a"),
        ("https://app.example.com/https://evil.example/", "/https://evil.example/"),
        ("https://app.example.com/\xc3\xbc", "/%C3%BC"),
    ],
)
def test_the_absolute_form_means_its_path_and_query(sent: str, canonical: str) -> None:
    """RFC 9112 section 3.2.2: a server must accept it."""
    assert read(headers(x_forwarded_uri=sent)).uri == canonical


@pytest.mark.parametrize("method", ["", "GET ", "G ET", "GET\n", "G/T", "(GET)", "G\xc9T", "X" * 65])
def test_a_method_is_a_token(method: str) -> None:
    assert reason(headers(x_forwarded_method=method)) == "bad_x_forwarded_method"


def test_the_case_of_a_method_matters() -> None:
    lower = read(headers(HTML, x_forwarded_method="get"))
    assert (lower.navigation, lower.page) == (False, True)


# what kind of request it is: (navigation, page, renewable)


def kind(given_headers: Headers) -> tuple[bool, bool, bool]:
    target = read(given_headers)
    return target.navigation, target.page, target.renewable


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, (True, False, True)),
        ({"x_forwarded_method": "HEAD"}, (True, False, False)),
        ({"x_forwarded_method": "POST"}, (False, True, False)),
        ({"x_forwarded_method": "DELETE"}, (False, True, False)),
        ({"sec_fetch_dest": "iframe"}, (False, True, False)),
        ({"sec_fetch_dest": "frame"}, (False, True, False)),
        ({"sec_fetch_dest": "fencedframe"}, (False, True, False)),
        ({"sec_fetch_dest": "embed"}, (False, True, False)),
        ({"sec_fetch_dest": "object"}, (False, True, False)),
        ({"sec_fetch_dest": "iframe", "x_forwarded_method": "POST"}, (False, True, False)),
        ({"sec_fetch_dest": "empty"}, (False, False, False)),
        ({"sec_fetch_dest": "image"}, (False, False, False)),
        ({"sec_fetch_dest": None}, (False, False, False)),
        ({"sec_fetch_mode": "cors"}, (False, False, False)),
        ({"sec_fetch_mode": "no-cors", "sec_fetch_dest": "object"}, (False, False, False)),
        ({"sec_fetch_mode": "websocket", "sec_fetch_dest": "websocket"}, (False, False, False)),
        ({"sec_fetch_mode": "Navigate"}, (False, False, False)),
        ({"sec_fetch_mode": None}, (False, False, False)),
        ({"sec_fetch_mode": None, "sec_fetch_dest": None}, (False, False, False)),
        ({"sec_purpose": "prefetch"}, (True, False, False)),
        ({"sec_purpose": "prefetch;prerender"}, (True, False, False)),
        ({"sec_purpose": ""}, (True, False, False)),
        ({"range": "bytes=0-"}, (True, False, False)),
        ({"upgrade": "h2c"}, (True, False, False)),
    ],
)
def test_a_navigation_is_told_by_fetch_metadata_whatever_accept_says(
    changes: dict[str, str | None], expected: tuple[bool, bool, bool]
) -> None:
    assert kind(headers(LOAD, **changes)) == expected
    assert kind(headers(LOAD, HTML, **changes)) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, (True, False, False)),
        ({"accept": "TEXT/HTML"}, (True, False, False)),
        ({"accept": "application/json"}, (False, False, False)),
        ({"accept": "*/*"}, (False, False, False)),
        ({"accept": None}, (False, False, False)),
        ({"x_forwarded_method": "HEAD"}, (True, False, False)),
        ({"x_forwarded_method": "POST"}, (False, True, False)),
        ({"x_forwarded_method": "POST", "accept": "*/*"}, (False, False, False)),
        ({"upgrade": "websocket"}, (False, False, False)),
        ({"upgrade": "websocket", "x_forwarded_method": "POST"}, (False, False, False)),
    ],
)
def test_without_fetch_metadata_accept_tells_a_navigation(
    changes: dict[str, str | None], expected: tuple[bool, bool, bool]
) -> None:
    assert kind(headers(HTML, **changes)) == expected


def test_any_accept_header_may_name_html() -> None:
    json = (b"accept", b"application/json")
    html = (b"accept", b"text/html")
    assert kind([*headers(), json, html]) == (True, False, False)
    assert kind([*headers(), html, json]) == (True, False, False)
    assert kind([*headers(), json, json]) == (False, False, False)


def test_a_websocket_upgrade_tells_its_origin() -> None:
    assert (
        read(headers(UPGRADE, origin="https://app.example.com")).websocket_origin == "https://app.example.com"
    )
    assert read(headers(UPGRADE, origin="null")).websocket_origin == "null"
    assert read(headers(UPGRADE, upgrade="h2c, WebSocket", origin="x")).websocket_origin == "x"
    assert read(headers(UPGRADE, x_forwarded_method="CONNECT", origin="x")).websocket_origin == "x"
    assert read(headers(UPGRADE)).websocket_origin == ""


def test_what_is_no_websocket_upgrade_has_no_websocket_origin() -> None:
    assert read(headers(origin="https://evil.example")).websocket_origin is None
    assert read(headers(upgrade="h2c", origin="https://evil.example")).websocket_origin is None


ANY_NAME = st.sampled_from([*sorted(SINGLE | SENT), b"cookie", b"accept", b"x_forwarded_uri"]) | st.binary(
    max_size=20
)
ANY_HEADERS = st.lists(st.tuples(ANY_NAME, st.binary(max_size=60)), max_size=12)


@given(ANY_HEADERS)
def test_arbitrary_bytes_are_read_or_unreadable_and_nothing_else(given_headers: Headers) -> None:
    with suppress(Unreadable):
        read(given_headers)


@given(ANY_HEADERS)
def test_the_reason_holds_nothing_that_a_client_sent(given_headers: Headers) -> None:
    assert reason([pair for pair in given_headers if pair[0] != b"x-forwarded-proto"]) in {
        f"{fault}_{name.decode().replace('-', '_')}"
        for fault in ("missing", "repeated", "twin_of")
        for name in SINGLE | SENT
    } | {"twin_of_a_stripped_header"}


@given(
    st.fixed_dictionaries(
        {
            b"x-forwarded-host": st.sampled_from([b"app.example.com", b"App.example.com.:443"])
            | st.binary(max_size=20),
            b"x-forwarded-uri": st.builds(
                lambda head, tail: head + tail,
                st.sampled_from([b"/", b"https://app.example.com", b"http://app.example.com/"]),
                st.binary(max_size=30),
            ),
            b"x-forwarded-method": st.sampled_from([b"GET", b"POST"]) | st.binary(max_size=5),
            b"x-forwarded-proto": st.sampled_from([b"http", b"https", b"wss", b"HTTPS,http"]),
        }
    ),
    ANY_HEADERS,
)
def test_what_is_read_is_canonical_and_harmless_in_a_header(four: dict[bytes, bytes], more: Headers) -> None:
    try:
        target = read([*four.items(), *more])
    except Unreadable:
        return
    assert target.host == target.host.lower()
    assert target.uri.startswith("/")
    for text in (target.host, target.uri):
        assert text.isascii()
        assert text.isprintable()
        assert " " not in text
    assert not (target.navigation and target.page)
    assert target.navigation or not target.renewable
    assert target.cookies == [value for name, value in more if name == b"cookie"]
