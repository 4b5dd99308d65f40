"""Attack: make the check believe that another request was asked about than the one that Caddy forwards."""

import pytest

from sidecar.access.policy import Policy, Principal
from sidecar.request.forwarded import Unreadable, read
from sidecar.settings import App
from tests.fakes.told import told

MALLORY = Principal("did:plc:mallorymallorymallorymal", "mallory.example")
POLICY = Policy(
    {
        "open": App(hosts=("open.example.com",), allow=("*",)),
        "secret": App(hosts=("secret.example.com",), allow=("boss.example",)),
    },
    {},
    scheme="https",
)

TRUE = [
    (b"host", b"secret.example.com"),
    (b"x-forwarded-host", b"secret.example.com"),
    (b"x-forwarded-uri", b"/admin"),
    (b"x-forwarded-method", b"POST"),
    (b"x-forwarded-proto", b"https"),
    (b"x-forwarded-for", b"203.0.113.7"),
]
FALSE = [
    (b"x-forwarded-host", b"open.example.com"),
    (b"x-forwarded-uri", b"/public"),
    (b"x-forwarded-method", b"GET"),
    (b"x-forwarded-proto", b"http"),
    (b"x-forwarded-for", b"127.0.0.1"),
]


@pytest.mark.parametrize("forged", FALSE)
@pytest.mark.parametrize("first", [True, False])
def test_a_second_forwarded_header_before_or_after_caddys_makes_the_request_unreadable(
    forged: tuple[bytes, bytes], first: bool
) -> None:
    with pytest.raises(Unreadable, match="repeated"):
        read([forged, *TRUE] if first else [*TRUE, forged])


@pytest.mark.parametrize("forged", FALSE)
@pytest.mark.parametrize("mark", [b"_", b"."])
@pytest.mark.parametrize("alone", [True, False])
def test_another_spelling_of_a_forwarded_header_makes_the_request_unreadable(
    forged: tuple[bytes, bytes], mark: bytes, alone: bool
) -> None:
    name, value = forged
    others = [pair for pair in TRUE if pair[0] != name] if alone else TRUE
    with pytest.raises(Unreadable, match="twin_of"):
        read([*others, (name.replace(b"-", mark), value)])


@pytest.mark.parametrize("name", [b"x_user_did", b"x.user.did", b"x-user_handle", b"x_user.handle"])
def test_another_spelling_of_an_identity_header_makes_the_request_unreadable(name: bytes) -> None:
    with pytest.raises(Unreadable, match="twin_of"):
        read([*TRUE, (name, b"did:plc:boss")])


@pytest.mark.parametrize(
    "forged",
    [
        (b"forwarded", b"for=127.0.0.1;host=open.example.com;proto=http"),
        (b"x-original-url", b"/public"),
        (b"x-original-uri", b"/public"),
        (b"x-original-method", b"GET"),
        (b"x-rewrite-url", b"/public"),
        (b"x-forwarded-prefix", b"/public"),
        (b"x-forwarded-port", b"80"),
        (b"x-forwarded-server", b"open.example.com"),
        (b"x-forwarded-user", b"boss"),
        (b"x-http-method-override", b"GET"),
        (b"x-real-ip", b"127.0.0.1"),
        (b"x-user-did", b"did:plc:boss"),
        (b"x-user-handle", b"boss.example"),
        (b"authorization", b"Bearer boss"),
        (b"host", b"open.example.com"),
    ],
)
def test_headers_that_come_from_the_client_untouched_change_nothing(forged: tuple[bytes, bytes]) -> None:
    assert told(read([forged, *TRUE])) == told(read(TRUE)) == told(read([*TRUE, forged]))


@pytest.mark.parametrize(
    "host",
    [
        b"open.example.com,secret.example.com",
        b"open.example.com secret.example.com",
        b"open.example.com@secret.example.com",
        b"open.example.com:443@secret.example.com",
        b"open.example.com/secret.example.com",
        b"open.example.com\\secret.example.com",
        b"open.example.com#secret.example.com",
        b"open.example.com?secret.example.com",
        b"open.example.com%00",
        b"open.example.com\x00",
        b"open.example.com\r\n",
        b"open.example.com\t",
        b"open.example.com:443:443",
        "open.example.com\u200b".encode(),
        b"open.example.com\xff",
    ],
)
def test_a_host_that_two_readers_could_read_differently_is_unreadable(host: bytes) -> None:
    with pytest.raises(Unreadable, match="bad_x_forwarded_host"):
        read([(name, host if name == b"x-forwarded-host" else value) for name, value in TRUE])


@pytest.mark.parametrize(
    "host",
    [b"SECRET.example.com", b"secret.EXAMPLE.com.", b"secret.example.com:443", b"Secret.Example.Com.:0443"],
)
def test_another_spelling_of_a_host_meets_the_same_rule(host: bytes) -> None:
    target = read([(name, host if name == b"x-forwarded-host" else value) for name, value in TRUE])
    assert POLICY.decide(MALLORY, target.host).reason == "not_allowed"


@pytest.mark.parametrize(
    "host",
    [
        b"open.example.com:8443",
        b"open.example.com.evil.example",
        b"xopen.example.com",
        b"a.open.example.com",
        b"127.0.0.1",
    ],
)
def test_a_host_near_a_known_one_is_unknown_and_refused(host: bytes) -> None:
    target = read([(name, host if name == b"x-forwarded-host" else value) for name, value in TRUE])
    assert POLICY.decide(MALLORY, target.host).reason == "unknown_host"


@pytest.mark.parametrize(
    "uri",
    [
        *(b"/public#/../admin", b"/public\r\nX: y", b"//\x00", b"*"),
        *(b"https://open.example.com/", b"https://open.example.com@secret.example.com/"),
        *(b"https://secret.example.com@open.example.com/", b"https://secret.example.com\\@open.example.com/"),
        *(
            b"https://secret.example.com#/public",
            b"https:/secret.example.com/public",
            b"//secret.example.com#",
        ),
    ],
)
def test_a_uri_that_two_readers_could_cut_differently_is_unreadable(uri: bytes) -> None:
    with pytest.raises(Unreadable, match="bad_x_forwarded_uri"):
        read([(name, uri if name == b"x-forwarded-uri" else value) for name, value in TRUE])
