"""Names: the interop vectors, the forms that resolve, and what people type."""

import time
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sidecar.atproto.errors import InvalidIdentifier, UnsupportedDidMethod
from sidecar.atproto.syntax import (
    INVALID_HANDLE,
    Did,
    Handle,
    ServerUrl,
    handle_of_site,
    is_valid_did_syntax,
    is_valid_handle_syntax,
    origin_of_endpoint,
    parse_did,
    parse_handle,
    parse_identifier,
    parse_origin,
)
from tests.fakes.vectors import cases

PLC = "did:plc:7iza6de2dwap2sbkpav7c6c6"


@pytest.mark.parametrize("text", cases("handle_syntax_valid"))
def test_a_valid_handle_of_the_interop_vectors_has_valid_syntax(text: str) -> None:
    assert is_valid_handle_syntax(text)


@pytest.mark.parametrize("text", cases("handle_syntax_invalid"))
def test_an_invalid_handle_of_the_interop_vectors_is_refused(text: str) -> None:
    assert not is_valid_handle_syntax(text)
    with pytest.raises(InvalidIdentifier):
        parse_handle(text, development=True)


@pytest.mark.parametrize("text", cases("did_syntax_valid"))
def test_a_valid_did_of_the_interop_vectors_has_valid_syntax(text: str) -> None:
    assert is_valid_did_syntax(text)


@pytest.mark.parametrize("text", cases("did_syntax_invalid"))
def test_an_invalid_did_of_the_interop_vectors_is_refused(text: str) -> None:
    assert not is_valid_did_syntax(text)
    with pytest.raises(InvalidIdentifier):
        parse_did(text)


@pytest.mark.parametrize("text", cases("atidentifier_syntax_valid"))
def test_a_valid_identifier_of_the_interop_vectors_is_a_handle_or_a_did(text: str) -> None:
    assert is_valid_handle_syntax(text) != is_valid_did_syntax(text)


@pytest.mark.parametrize("text", cases("atidentifier_syntax_invalid"))
def test_an_invalid_identifier_of_the_interop_vectors_is_refused(text: str) -> None:
    with pytest.raises(InvalidIdentifier):
        parse_identifier(text, development=True)


@pytest.mark.parametrize("text", cases("did_resolvable"))
def test_a_did_of_a_method_we_know_is_taken_as_it_is(text: str) -> None:
    assert parse_did(text) == text


@pytest.mark.parametrize("text", cases("did_unresolvable"))
def test_a_did_that_its_method_does_not_allow_is_bad_syntax(text: str) -> None:
    assert is_valid_did_syntax(text)
    with pytest.raises(InvalidIdentifier):
        parse_did(text)


@pytest.mark.parametrize("text", ["did:key:zQ3shokFTS3b", "did:method:val", "did:example:123"])
def test_a_did_of_another_method_is_told_apart_from_bad_syntax(text: str) -> None:
    with pytest.raises(UnsupportedDidMethod):
        parse_did(text)
    with pytest.raises(UnsupportedDidMethod):
        parse_identifier(text)


@pytest.mark.parametrize("text", ["did:web:localhost", "did:web:localhost%3A2583"])
def test_did_web_on_localhost_is_for_development(text: str) -> None:
    assert parse_did(text, development=True) == text
    with pytest.raises(InvalidIdentifier):
        parse_did(text)


def test_a_did_may_have_2048_characters_and_no_more() -> None:
    assert is_valid_did_syntax("did:method:".ljust(2048, "v"))
    assert not is_valid_did_syntax("did:method:".ljust(2049, "v"))


def test_a_handle_may_have_253_characters_and_no_more() -> None:
    longest = "a." * 125 + "com"
    assert len(longest) == 253
    assert is_valid_handle_syntax(longest)
    assert not is_valid_handle_syntax("b" + longest)


@pytest.mark.parametrize("end", ["\n", "\r\n", " ", "\x00", "."])
def test_a_name_with_a_trailing_newline_or_the_like_is_refused(end: str) -> None:
    for parse, text in ((parse_handle, "alice.com"), (parse_did, PLC), (parse_origin, "https://pds.com")):
        with pytest.raises(InvalidIdentifier):
            parse(text + end)


def test_a_handle_is_spelled_in_lower_case() -> None:
    assert parse_handle("Alice.EXAMPLE.com") == "alice.example.com"


@pytest.mark.parametrize(
    "tld", ["alt", "arpa", "example", "internal", "invalid", "local", "localhost", "onion", "LOCAL"]
)
def test_a_handle_under_a_tld_that_is_never_resolved_is_refused(tld: str) -> None:
    with pytest.raises(InvalidIdentifier):
        parse_handle(f"alice.{tld}", development=True)


def test_a_test_handle_is_for_development() -> None:
    assert parse_handle("alice.test", development=True) == "alice.test"
    with pytest.raises(InvalidIdentifier):
        parse_handle("alice.test")


def test_the_handle_that_stands_for_none_can_not_be_anybodys() -> None:
    with pytest.raises(InvalidIdentifier):
        parse_handle(INVALID_HANDLE, development=True)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("alice.com", Handle("alice.com")),
        ("@alice.com", Handle("alice.com")),
        ("  @Alice.COM \n", Handle("alice.com")),
        ("at://alice.com", Handle("alice.com")),
        ("AT://@alice.com", Handle("alice.com")),
        ("\u202a@alice.com\u202c", Handle("alice.com")),
        ("\ufeffali\u200bce.c\u00adom", Handle("alice.com")),
        ("ali\x00ce.com\t", Handle("alice.com")),
        ("bücher.com", Handle("xn--bcher-kva.com")),
        ("\uff22\u00fccher\u3002com", Handle("xn--bcher-kva.com")),
        (PLC, Did(PLC)),
        (f" at://{PLC}\u200e", Did(PLC)),
        ("Did:plc:7iza6de2dwap2sbkpav7c6c6", Did(PLC)),
        ("did:web:example.com", Did("did:web:example.com")),
        ("Did:web:Example.com", Did("did:web:example.com")),
        ("at://DID:WEB:EXAMPLE.COM", Did("did:web:example.com")),
        ("https://pds.example.com", ServerUrl("https://pds.example.com")),
        ("HTTPS://PDS.Example.com/", ServerUrl("https://pds.example.com")),
        ("https://pds.example.com:443/", ServerUrl("https://pds.example.com")),
        ("https://pds.example.com:8443", ServerUrl("https://pds.example.com:8443")),
        ("https://bücher.com/", ServerUrl("https://xn--bcher-kva.com")),
        ("https://bsky.app/profile/Alice.com", Handle("alice.com")),
        (f"https://viewer.example.org/profile/{PLC}/", Did(PLC)),
    ],
)
def test_what_people_type_or_paste_is_understood(typed: str, meant: Did | Handle | ServerUrl) -> None:
    understood = parse_identifier(typed)
    assert understood == meant
    assert type(understood) is type(meant)


POST = "app.bsky.feed.post/3k2yihcrp6f2c"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        # other keyboards
        ("\uff20alice.com", Handle("alice.com")),
        ("\ufe6balice.com", Handle("alice.com")),
        ("\uff41\uff4c\uff49\uff43\uff45\uff0e\uff43\uff4f\uff4d", Handle("alice.com")),
        ("alice\u3002com", Handle("alice.com")),
        ("did\uff1aplc\uff1a7iza6de2dwap2sbkpav7c6c6", Did(PLC)),
        ("my\u2011name.com", Handle("my-name.com")),
        # punctuation, quotes and brackets from a sentence
        ("alice.com.", Handle("alice.com")),
        ("@Alice.com\u3002", Handle("alice.com")),
        ("alice.com,", Handle("alice.com")),
        ('"alice.com"', Handle("alice.com")),
        ("\u201e@alice.com\u201c", Handle("alice.com")),
        ("\u300calice.com\u300d", Handle("alice.com")),
        ("(@alice.com)", Handle("alice.com")),
        ("<at://alice.com>", Handle("alice.com")),
        ("`alice.com`", Handle("alice.com")),
        ("**@alice.com**", Handle("alice.com")),
        ("\u00a0alice.com\u2028", Handle("alice.com")),
        (f"{PLC}.", Did(PLC)),
        (f"'{PLC}'", Did(PLC)),
        ("(https://bsky.app/profile/alice.com).", Handle("alice.com")),
        ("<https://pds.example.com/>", ServerUrl("https://pds.example.com")),
        ("https://[2606:4700::1111]:8443", ServerUrl("https://[2606:4700::1111]:8443")),
        ("Alice (@alice.com)", Handle("alice.com")),
        ("Dr.Who @alice.com", Handle("alice.com")),
        ("[@alice.com](https://bsky.app/profile/alice.com)", Handle("alice.com")),
        # at:// with what follows
        (f"at://alice.com/{POST}", Handle("alice.com")),
        (f"AT://@Alice.com/{POST}#x", Handle("alice.com")),
        (f"at://{PLC}/{POST}", Did(PLC)),
        ("at://alice.com/", Handle("alice.com")),
        (f"at://{PLC.replace(':', '%3A')}", Did(PLC)),
        # a DID with what follows, or as links have it
        (f"{PLC}#atproto_pds", Did(PLC)),
        (f"@{PLC}", Did(PLC)),
        (PLC.replace(":", "%3A"), Did(PLC)),
        (PLC.replace(":", "%3a").upper(), Did(PLC)),
        # profile links of web clients, with and without a scheme
        ("bsky.app/profile/alice.com", Handle("alice.com")),
        ("//bsky.app/profile/alice.com", Handle("alice.com")),
        ("www.bsky.app/profile/Alice.com/", Handle("alice.com")),
        ("HTTP://bsky.app/profile/alice.com", Handle("alice.com")),
        ("main.bsky.dev/profile/@alice.com", Handle("alice.com")),
        ("deer.social/profile/alice.com?ref=share", Handle("alice.com")),
        ("https://blacksky.community/profile/alice.com#top", Handle("alice.com")),
        ("https://bsky.app/profile/alice.com/post/3k", Handle("alice.com")),
        ("bsky.app/profile/alice.com/lists/3k", Handle("alice.com")),
        (f"bsky.app/profile/{PLC.replace(':', '%3A')}", Did(PLC)),
        ("https://bsky.app/profile/%40alice.com", Handle("alice.com")),
        ("https://bsky.app/profile/b\u00fccher.com", Handle("xn--bcher-kva.com")),
        ("https://tangled.org/@alice.com/repo", Handle("alice.com")),
        (f"https://plc.directory/{PLC}", Did(PLC)),
        (f"https://anartia.kelinci.net/{PLC}/3k", Did(PLC)),
        (f"https://pdsls.dev/at://{PLC}/{POST}", Did(PLC)),
        ("https://pdsls.dev/at://alice.com", Handle("alice.com")),
        ("https://atproto-browser.vercel.app/at/alice.com/app.bsky.feed.post", Handle("alice.com")),
        ("https://b\u00fccher.com:8443/profile/alice.com", Handle("alice.com")),
        # a site
        ("alice.com/", Handle("alice.com")),
        ("https://alice.com.", ServerUrl("https://alice.com")),
    ],
)
def test_whatever_names_exactly_one_account_or_server_is_understood(
    typed: str, meant: Did | Handle | ServerUrl
) -> None:
    understood = parse_identifier(typed)
    assert understood == meant
    assert type(understood) is type(meant)


@pytest.mark.parametrize(
    ("typed", "read", "kind"),
    [
        ("", "", "nothing"),
        (" \u200b ", "", "nothing"),
        ("\u202ealice ", "alice", "word"),
        ("@alice", "@alice", "word"),
        ("alice.local", "alice.local", "handle"),
        ("alice@example.com", "alice@example.com", "email"),
        ("did:plc:short", "did:plc:short", "did"),
        ("https://bsky.app/search", "https://bsky.app/search", "link"),
        ("bsky.app/search", "bsky.app/search", "link"),
        ("x" * 100, "x" * 80, "word"),
    ],
)
def test_what_cannot_be_used_says_what_was_read(typed: str, read: str, kind: str) -> None:
    with pytest.raises(InvalidIdentifier) as refused:
        parse_identifier(typed)
    assert (refused.value.read, refused.value.kind) == (read, kind)


def test_a_long_paste_is_read_in_no_time() -> None:
    began = time.monotonic()
    for paste in (
        "@alice.com " * 370,
        "@\u00fc." * 1300,
        "(" * 4096,
        "did:web:" + "a." * 2000,
        "a/" * 2000,
        "/u/" * 1300,
        "https://" + "a." * 2000 + "/",
    ):
        with suppress(InvalidIdentifier, UnsupportedDidMethod):
            parse_identifier(paste)
    assert time.monotonic() - began < 1.0


@pytest.mark.parametrize(
    ("site", "handle"),
    [
        ("https://alice.com", "alice.com"),
        ("https://xn--bcher-kva.com", "xn--bcher-kva.com"),
        ("https://alice.com:8443", None),
        ("https://localhost", None),
        ("https://93.184.216.34", None),
        ("https://[2606:4700::1111]", None),
        ("https://alice.local", None),
        ("http://localhost:2583", None),
    ],
)
def test_a_site_may_stand_for_a_handle_if_its_name_can_be_one(site: str, handle: str | None) -> None:
    assert handle_of_site(ServerUrl(site)) == handle


@pytest.mark.parametrize(
    "typed",
    [
        "",
        " ",
        "@",
        "alice",
        "alice@example.com",
        "@@alice.com",
        "alice .com",
        "💩.com",
        "a\u0301..com",
        "did:plc:short",
        "http://pds.example.com",
        "ftp://pds.example.com",
        "https://",
        "https://user@pds.example.com",
        "https://pds.example.com/path",
        "https://pds.example.com?query",
        "https://pds.example.com#fragment",
        "https://pds.example.com\\@evil.com",
        "https://pds.example.com:0",
        "https://pds.example.com:65536",
        "https://-.com",
        "https://💩.com",
        "https://bsky.app/profile/",
        "https://bsky.app/search?q=alice.com",
        "https://bsky.app/profile/alice.com/profile/bob.com",
        f"https://viewer.example.org/{PLC}/did:web:bob.com",
        "bsky.app/profile",
        "bsky.app/profile/alice",
        "alice.com/about",
        "alice.com, bob.com",
        "@alice.com @bob.com",
        "my.password is this",
        "mailto:alice@example.com",
        "Alice <alice@example.com>",
        "acct:alice@example.com",
        "did:plc:",
        "at://",
        "at:///app.bsky.feed.post",
        "%",
        "http://localhost:2583",
        "javascript://alice.com/%0aalert(1)",
        "a" * 5000,
    ],
)
def test_what_is_no_identifier_is_refused(typed: str) -> None:
    with pytest.raises(InvalidIdentifier):
        parse_identifier(typed)


@pytest.mark.parametrize(
    "origin",
    [
        "https://bsky.social",
        "https://pds.example.com:8443",
        "https://localhost",
        "https://93.184.216.34",
        "https://[2606:4700::1111]:8443",
        "https://xn--bcher-kva.com",
    ],
)
def test_an_origin_as_a_browser_spells_it_is_taken(origin: str) -> None:
    assert parse_origin(origin) == origin


@pytest.mark.parametrize(
    "text",
    [
        "https://bsky.social/",
        "https://bsky.social/path",
        "https://bsky.social?",
        "https://bsky.social#",
        "https://bsky.social:443",
        "https://bsky.social:0443",
        "https://bsky.social:",
        "https://bsky.social:65536",
        "https://BSKY.social",
        "HTTPS://bsky.social",
        "https://user@bsky.social",
        "https://user:pw@bsky.social",
        "https://bsky.social.",
        "https://.bsky.social",
        "https://bsky..social",
        "https://bsky_social.com",
        "https://bücher.com",
        "https://127.1",
        "https://2130706433",
        "https://0x7f.1",
        "https://a.1",
        "https://[::0001]",
        "https://[::1",
        "https://[fe80::1%25eth0]",
        "https://[:::]",
        "https://" + "a." * 126 + "com",
        "http://bsky.social",
        "wss://bsky.social",
        "bsky.social",
        "",
    ],
)
def test_what_is_no_bare_https_origin_is_refused(text: str) -> None:
    for development in (False, True):
        with pytest.raises(InvalidIdentifier):
            parse_origin(text, development=development)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://pds.example.com", "https://pds.example.com"),
        ("https://pds.example.com/xrpc", "https://pds.example.com"),
        ("https://pds.example.com//", "https://pds.example.com"),
        ("https://pds.example.com:443/", "https://pds.example.com"),
        ("https://pds.example.com:8443/a@b", "https://pds.example.com:8443"),
        ("HTTPS://PDS.Example.COM?x#y", "https://pds.example.com"),
        ("https://b\u00fccher.com/", "https://xn--bcher-kva.com"),
        ("https://[2606:4700::1111]/xrpc", "https://[2606:4700::1111]"),
    ],
)
def test_the_origin_of_a_documents_url_is_spelled_as_always(url: str, origin: str) -> None:
    assert origin_of_endpoint(url) == origin


@pytest.mark.parametrize(
    "url",
    [
        "http://pds.example.com/xrpc",
        "https://user@pds.example.com/",
        "https://user:pw@pds.example.com/",
        "https://pds.example.com\\@evil.com/",
        "https://pds.example.com/a\\b",
        "https://pds.example.com/ x",
        "https://pds.example.com./",
        "https://127.1/",
        "https://pds.example.com:65536/",
        "https://pds.example.com:/",
        "https:///path",
        "pds.example.com",
        " https://pds.example.com",
        "https://pds.example.com\n",
        "https://pds.example.com/" + "x" * 2048,
    ],
)
def test_a_documents_url_that_parsers_disagree_about_has_no_origin(url: str) -> None:
    with pytest.raises(InvalidIdentifier):
        origin_of_endpoint(url)


@pytest.mark.parametrize(
    "origin",
    [
        "http://localhost:2583",
        "http://localhost",
        "http://127.0.0.1:8080",
        "http://127.9.9.9",
        "http://[::1]:2583",
    ],
)
def test_http_is_for_loopback_in_development(origin: str) -> None:
    assert parse_origin(origin, development=True) == origin
    assert parse_identifier(f"{origin}/", development=True) == origin
    with pytest.raises(InvalidIdentifier):
        parse_origin(origin)


@pytest.mark.parametrize(
    "origin",
    [
        "http://pds.test",
        "http://10.0.0.1",
        "http://localhost.example.com",
        "http://[::2]",
        "http://localhost:80",
    ],
)
def test_http_anywhere_else_is_refused_in_development_too(origin: str) -> None:
    with pytest.raises(InvalidIdentifier):
        parse_origin(origin, development=True)


labels = st.from_regex(r"\A[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?\Z", fullmatch=True)
handles = st.builds(lambda names: ".".join([*names, "com"]), st.lists(labels, min_size=1, max_size=5))
junk = st.text(st.sampled_from("\u200b\u200e\u202a\ufeff\x00\x7f\u00ad\n\t"), max_size=3)


@given(handles, st.sampled_from(["", "@", "at://", "at://@"]), junk, junk, st.data())
def test_invisible_characters_and_case_never_change_who_is_meant(
    handle: str, prefix: str, before: str, after: str, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(handle)))
    spelled = f"{before}{prefix}{handle[:at].upper()}{after}{handle[at:]}{before}"
    assert parse_identifier(spelled) == handle


@given(st.text(max_size=60) | st.from_regex(r"(at://|@|https?://|did:)?[\w.:/%@-]{0,40}"))
@example("https://[::ffff:1.2.3.4]")
@example("xn--a.com")
def test_whatever_is_typed_is_understood_canonically_or_refused(text: str) -> None:
    try:
        understood = parse_identifier(text, development=True)
    except (InvalidIdentifier, UnsupportedDidMethod):
        return
    assert understood.isascii()
    assert parse_identifier(understood, development=True) == understood
    match understood:
        case Handle():
            assert parse_handle(understood, development=True) == understood
        case Did():
            assert parse_did(understood, development=True) == understood
        case ServerUrl():
            assert parse_origin(understood, development=True) == understood


@given(handles)
def test_a_handle_is_as_good_as_its_upper_case(handle: str) -> None:
    assert parse_handle(handle.upper()) == handle == parse_handle(handle)
