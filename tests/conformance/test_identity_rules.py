"""The rules for an ATProto client about identity, one by one. Section 2.

What a handle, a DID, DNS and HTTPS must be for somebody to be found, held against `parse_…` and the whole
`Directory`, with real DNS and the network in memory. The corners of each have tests of their own
(tests/unit/atproto).
"""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from sidecar.atproto.errors import (
    AtprotoError,
    DidNotFound,
    HandleMismatch,
    HandleNotFound,
    InvalidDidDocument,
    InvalidIdentifier,
    ServerUnreachable,
    UnexpectedResponse,
    UnsupportedDidMethod,
)
from sidecar.atproto.fetch import Fetcher
from sidecar.atproto.identity import Directory
from sidecar.atproto.syntax import Did, Handle, parse_did, parse_handle, parse_identifier
from tests.fakes.accounts import Account, did_document
from tests.fakes.dns import DnsServer, Fault, dns_server
from tests.fakes.network import FakeNetwork
from tests.fakes.oauth_faults import table
from tests.fakes.sign_in import PDS, SignInWorld
from tests.fakes.vectors import cases

HANDLE = Handle("alice.club.net")
NAME = f"_atproto.{HANDLE}"
WELL_KNOWN = f"https://{HANDLE}/.well-known/atproto-did"
LABEL = "a" * 63
TLDS = ("alt", "arpa", "example", "internal", "invalid", "local", "localhost", "onion", "test")
UNRESOLVED = tuple(f".{tld}" for tld in TLDS)
BOB = Did("did:plc:ewvi7nxzyoun6zhxrhs64oiz")


@pytest.fixture
def network() -> FakeNetwork:
    return FakeNetwork()


@pytest.fixture
def alice(network: FakeNetwork) -> Account:
    """Whose domain doesn't name her yet, be it over DNS or HTTPS."""
    account = network.add_account(HANDLE)
    account.resolves = False
    return account


@pytest.fixture
async def dns() -> AsyncIterator[DnsServer]:
    async with dns_server() as server:
        yield server


@pytest.fixture
async def directory(network: FakeNetwork, dns: DnsServer) -> AsyncIterator[Directory]:
    fetcher = Fetcher(user_agent="t", transport=network, resolve=network.resolve)
    yield Directory(fetcher, nameservers=[dns.address])
    await fetcher.aclose()


# Handles


@pytest.mark.parametrize(
    "handle", [h for h in cases("handle_syntax_valid") if not h.lower().endswith(UNRESOLVED)]
)
def test_section_2_handle_syntax(handle: str) -> None:
    assert parse_handle(handle) == handle.lower()


@table(
    {
        "must be ASCII": "bücher.net",
        "must have at most 253 characters": ".".join([LABEL] * 4),
        "must have two labels": "alice",
        "must have no empty label": "alice..net",
        "must have labels of at most 63": f"{LABEL}a.net",
        "must have no hyphen at the start of a label": "-alice.net",
        "must have no hyphen at the end of a label": "alice-.net",
        "must have no TLD that starts with a digit": "alice.0net",
        "must have no @ where machines say it": "@alice.net",
        "must have nothing trailing": "alice.net\n",
        **{f"must not be under {tld}": f"alice{tld}" for tld in UNRESOLVED},
    }
)
def test_section_2_handle(rule: str) -> None:
    with pytest.raises(InvalidIdentifier):
        parse_handle(rule)


def test_section_2_handle_under_test_is_for_development() -> None:
    assert parse_handle("alice.test", development=True) == "alice.test"


@pytest.mark.parametrize(
    "typed", ["@alice.net", " Alice.NET ", "\u202aalice.net\u202c", "ali\u200bce.net\x00"]
)
def test_section_2_handle_as_people_bring_it(typed: str) -> None:
    assert parse_identifier(typed) == "alice.net"


# DNS


async def test_section_2_dns_names_the_did(directory: Directory, dns: DnsServer, alice: Account) -> None:
    dns.txt(NAME, "v=spf1 -all", ("did=", alice.did))  # no DID; one in two strings
    assert (await directory.lookup(HANDLE)).did == alice.did


async def test_section_2_dns_that_names_two_dids_fails(
    directory: Directory, dns: DnsServer, alice: Account
) -> None:
    dns.txt(NAME, f"did={alice.did}", f"did={BOB}")
    with pytest.raises(HandleMismatch):
        await directory.lookup(HANDLE)


async def test_section_2_dns_that_names_the_same_did_twice_is_good(
    directory: Directory, dns: DnsServer, alice: Account
) -> None:
    dns.txt(NAME, f"did={alice.did}", f"did={alice.did}")
    assert (await directory.lookup(HANDLE)).did == alice.did


async def test_section_2_a_handle_over_244_characters_is_asked_for_over_https_only(
    directory: Directory, dns: DnsServer, network: FakeNetwork
) -> None:
    handle = Handle("bb" + "a." * 120 + "com")
    account = network.add_account(handle)
    assert (await directory.lookup(handle)).did == account.did
    account.resolves = False
    with pytest.raises(HandleNotFound):
        await directory.lookup(handle, fresh=True)
    assert dns.queries == []


# HTTPS


@table(
    {
        "with white space around it": {"status": 200, "text": "\r\n{did} \n"},
        "with a byte order mark": {"status": 200, "text": "\ufeff{did}"},
        "with more lines": {"status": 200, "text": "{did}\n# our club"},
        "with another 2xx": {"status": 203, "text": "{did}"},
        "with any content type": {"status": 200, "text": "{did}", "headers": {"content-type": "image/png"}},
    }
)
async def test_section_2_https_names_the_did(
    directory: Directory, network: FakeNetwork, alice: Account, rule: dict[str, Any]
) -> None:
    network.answer(WELL_KNOWN, **{**rule, "text": rule["text"].format(did=alice.did)})
    assert (await directory.lookup(HANDLE)).did == alice.did


@table(
    {
        "no 2xx": {"status": 404},
        "no DID": {"status": 200, "text": "<html>"},
        "more than a DID": {"status": 200, "text": f"{BOB} and more"},
        "too much": {"status": 200, "text": f"{BOB}{' ' * 10_000}"},
        "a redirect to http": {"status": 302, "headers": {"location": "http://bob.net/"}},
        "a redirect to another port": {"status": 302, "headers": {"location": "https://bob.net:8443/"}},
        "a redirect without end": {"status": 302, "headers": {"location": WELL_KNOWN}},
    }
)
async def test_section_2_https_that_names_none(
    directory: Directory, network: FakeNetwork, alice: Account, rule: dict[str, Any]
) -> None:
    network.answer(WELL_KNOWN, **rule)
    with pytest.raises(HandleNotFound):
        await directory.lookup(HANDLE)
    assert len(network.asked(f"https://{HANDLE}")) <= 4  # three redirects
    assert not network.asked("https://bob.net:8443")


async def test_section_2_https_may_redirect(
    directory: Directory, network: FakeNetwork, alice: Account
) -> None:
    network.answer(WELL_KNOWN, 302, headers={"location": "https://www.club.net/did"})
    network.serve("https://www.club.net", lambda _: httpx.Response(200, text=alice.did))
    assert (await directory.lookup(HANDLE)).did == alice.did


async def test_section_2_dns_wins_a_conflict(
    directory: Directory, dns: DnsServer, network: FakeNetwork, alice: Account
) -> None:
    dns.txt(NAME, f"did={alice.did}")
    network.answer(WELL_KNOWN, 200, text=BOB)
    assert (await directory.lookup(HANDLE)).did == alice.did


async def test_section_2_a_fault_is_no_answer(directory: Directory, dns: DnsServer, alice: Account) -> None:
    dns.answers[NAME] = Fault.SERVFAIL
    with pytest.raises(ServerUnreachable):
        await directory.lookup(HANDLE)


def test_section_2_identities_are_cached_under_ten_minutes() -> None:
    Directory(Fetcher(user_agent="t"), ttl=599)
    with pytest.raises(ValueError, match="10 minutes"):
        Directory(Fetcher(user_agent="t"), ttl=600)


# DIDs


@table(
    {
        "must be a DID": ("alice.net", InvalidIdentifier),
        "must have at most 2,048 characters": (f"did:web:{'a' * 2048}.net", InvalidIdentifier),
        "must have a method in lower case": ("DID:PLC:7iza6de2dwap2sbkpav7c6c6", InvalidIdentifier),
        "must be of a method we know": ("did:key:zQ3shunBKsXixLxKtC5qeSG9E4J5", UnsupportedDidMethod),
        "plc must have 32 characters": ("did:plc:7iza6de2dwap2sbkpav7c6c", InvalidIdentifier),
        "plc must be base32": ("did:plc:7iza6de2dwap2sbkpav7c6c1", InvalidIdentifier),
        "plc must be lower case": ("did:plc:7IZA6DE2DWAP2SBKPAV7C6C6", InvalidIdentifier),
        "web must be a host name": ("did:web:example", InvalidIdentifier),
        "web must have no path": ("did:web:example.com:alice", InvalidIdentifier),
        "web must have no port": ("did:web:example.com%3A8443", InvalidIdentifier),
        "web must not be localhost": ("did:web:localhost%3A2583", InvalidIdentifier),
    }
)
def test_section_2_did(rule: tuple[str, type[AtprotoError]]) -> None:
    did, error = rule
    with pytest.raises(error) as raised:
        parse_did(did)
    assert type(raised.value) is error


def test_section_2_did_web_has_a_port_on_localhost_in_development() -> None:
    assert parse_did("did:web:localhost%3A2583", development=True) == "did:web:localhost%3A2583"


async def test_section_2_did_web_is_its_hosts_well_known_file(
    directory: Directory, network: FakeNetwork
) -> None:
    network.add_account(did="did:web:club.net")
    assert (await directory.lookup(Did("did:web:club.net"))).pds == PDS
    assert network.asked("https://club.net", "/.well-known/did.json")


@pytest.mark.parametrize("status", [404, 410])
async def test_section_2_plc_that_knows_no_did_says_that_it_is_gone(
    directory: Directory, network: FakeNetwork, alice: Account, status: int
) -> None:
    network.answer(f"{network.plc_url}/{alice.did}", status)
    with pytest.raises(DidNotFound):
        await directory.lookup(Did(alice.did))


@table(
    {
        "no redirect": {"status": 302, "headers": {"location": "https://evil.net/"}},
        "no other type": {"status": 200, "html": "<html>"},
    }
)
async def test_section_2_plc_answers_itself_and_in_json(
    directory: Directory, network: FakeNetwork, alice: Account, rule: dict[str, Any]
) -> None:
    network.answer(f"{network.plc_url}/{alice.did}", **rule)
    with pytest.raises(UnexpectedResponse):
        await directory.lookup(Did(alice.did))
    assert not network.asked("https://evil.net")


@pytest.mark.parametrize("content_type", ["application/did+ld+json", "application/json; charset=utf-8"])
async def test_section_2_plc_is_a_setting(content_type: str) -> None:
    network = FakeNetwork(plc_url="https://plc.club.net")
    alice = network.add_account(HANDLE)
    fetcher = Fetcher(user_agent="t", transport=network, resolve=network.resolve)
    network.answer(
        f"https://plc.club.net/{alice.did}", headers={"content-type": content_type}, json=did_document(alice)
    )
    directory = Directory(fetcher, plc_url=network.plc_url, handle_resolver=network.resolver_url)
    assert (await directory.lookup(HANDLE)).did == alice.did


# DID documents


async def look_up(directory: Directory, account: Account, **changes: object) -> Any:
    account.document = {k: v for k, v in {**did_document(account), **changes}.items() if v is not None}
    return await directory.lookup(Did(account.did))


def service(**changes: object) -> dict[str, Any]:
    entry = {"id": "#atproto_pds", "type": "AtprotoPersonalDataServer", "serviceEndpoint": PDS, **changes}
    return {"service": [entry]}


@table(
    {
        "id must be the DID asked for": {"id": BOB},
        "a server must be named": {"service": []},
        "the server must have its id": service(id="#other"),
        "the server must have its type": service(type="Other"),
        "the server must be https": service(serviceEndpoint="http://pds.net"),
        "the server must have no user": service(serviceEndpoint="https://me@pds.net"),
    }
)
async def test_section_2_document(directory: Directory, alice: Account, rule: dict[str, Any]) -> None:
    with pytest.raises(InvalidDidDocument):
        await look_up(directory, alice, **rule)


async def test_section_2_document_what_servers_may_vary(directory: Directory, alice: Account) -> None:
    for changes in (
        {"@context": None},
        service(id=f"{alice.did}#atproto_pds"),
        service(serviceEndpoint=f"{PDS}/xrpc"),
        service(serviceEndpoint=f"{PDS}:443//"),
        service(serviceEndpoint="https://PDS.net"),
    ):
        assert (await look_up(directory, alice, **changes)).pds == PDS


async def test_section_2_document_the_first_handle_with_nothing_trailing_counts(
    directory: Directory, dns: DnsServer, alice: Account
) -> None:
    dns.txt(NAME, f"did={alice.did}")
    known_as = ["https://alice.net", "at://alice.net/profile", f"at://{HANDLE}", "at://other.net"]
    assert (await look_up(directory, alice, alsoKnownAs=known_as)).handle == HANDLE


async def test_section_2_document_the_key_is_the_dids_own_multikey(
    directory: Directory, alice: Account
) -> None:
    key = did_document(alice)["verificationMethod"][0]
    assert (await directory.document(Did(alice.did))).signing_key == key["publicKeyMultibase"]
    for changes in ({"id": "#other"}, {"controller": BOB}, {"type": "JsonWebKey2020"}):
        alice.document = {**did_document(alice), "verificationMethod": [{**key, **changes}]}
        assert (await directory.document(Did(alice.did), fresh=True)).signing_key is None


# Where a sign-in starts


async def test_section_2_a_handle_must_hold_both_ways(
    directory: Directory, dns: DnsServer, alice: Account
) -> None:
    dns.txt("_atproto.bob.net", f"did={alice.did}")
    with pytest.raises(HandleMismatch):
        await directory.lookup(Handle("bob.net"))


async def test_section_2_a_did_goes_on_without_a_handle_that_does_not_hold(
    directory: Directory, alice: Account
) -> None:
    identity = await directory.lookup(Did(alice.did))
    assert (identity.did, identity.handle) == (alice.did, None)


@pytest.mark.parametrize("status", [403, 404, 503])
async def test_section_2_a_server_is_tried_as_a_pds_and_then_as_an_issuer(status: int) -> None:
    world = SignInWorld()
    world.network.answer(f"{PDS}/.well-known/oauth-protected-resource", status)
    pending, url = await world.start(PDS)
    assert (pending.issuer, pending.did) == (PDS, None)
    assert "login_hint" not in world.network.request_of(url)
