"""Handles against a real DNS server and well-known files: what is an answer, and what is a fault."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import httpx
import pytest

from sidecar.atproto.errors import HandleMismatch, HandleNotFound, HostNotFound, ServerUnreachable
from sidecar.atproto.fetch import Fetcher
from sidecar.atproto.identity import HandleResolver, handles
from sidecar.atproto.syntax import Did, Handle
from tests.fakes.dns import Alias, DnsServer, Fault, dns_server

HANDLE = Handle("alice.example.com")
NAME = "_atproto.alice.example.com"
DID = Did("did:plc:7iza6de2dwap2sbkpav7c6c6")
OTHER = Did("did:plc:ewvi7nxzyoun6zhxrhs64oiz")


@dataclass
class WellKnown:
    """The web as the resolver sees it: `answer` says what HTTPS does."""

    answer: Callable[[httpx.Request], httpx.Response] = lambda _: httpx.Response(404)
    requests: list[httpx.Request] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self.answer(request)

    def says(self, status: int, text: str = "", **headers: str) -> None:
        self.answer = lambda _: httpx.Response(status, text=text, headers=headers)

    def fails(self, fault: Exception) -> None:
        def answer(_: httpx.Request) -> httpx.Response:
            raise fault

        self.answer = answer


@pytest.fixture
async def dns() -> AsyncIterator[DnsServer]:
    async with dns_server() as server:
        yield server


@pytest.fixture
def web() -> WellKnown:
    return WellKnown()


def resolver(web: WellKnown, *nameservers: str, server: str | None = None) -> HandleResolver:
    fetcher = Fetcher(user_agent="t", transport=httpx.MockTransport(web))
    return HandleResolver(fetcher, nameservers=nameservers, server=server)


# DNS


async def test_a_handle_in_dns_is_found(dns: DnsServer, web: WellKnown) -> None:
    dns.txt(NAME, f"did={DID}")
    assert await resolver(web, dns.address).resolve(HANDLE) == DID
    assert dns.queries == [("udp", NAME)]


async def test_the_strings_of_a_record_are_joined_without_spaces(dns: DnsServer, web: WellKnown) -> None:
    dns.txt(NAME, ("di", "d=did:plc:7iza6de2", "dwap2sbkpav7c6c6"))
    assert await resolver(web, dns.address).resolve(HANDLE) == DID


async def test_records_of_others_are_ignored(dns: DnsServer, web: WellKnown) -> None:
    dns.txt(
        NAME, "v=spf1 -all", f"did={DID}", "did=did:key:z123", "did=", "DID=" + OTHER, f" did={OTHER}", "\xff"
    )
    assert await resolver(web, dns.address).resolve(HANDLE) == DID


async def test_the_same_did_twice_is_one_did(dns: DnsServer, web: WellKnown) -> None:
    dns.txt(NAME, f"did={DID}", f"did={DID}")
    assert await resolver(web, dns.address).resolve(HANDLE) == DID


async def test_two_dids_in_dns_fail_whatever_https_says(dns: DnsServer, web: WellKnown) -> None:
    dns.txt(NAME, f"did={DID}", f"did={OTHER}")
    web.says(200, DID)
    with pytest.raises(HandleMismatch):
        await resolver(web, dns.address).resolve(HANDLE)


async def test_an_alias_is_followed(dns: DnsServer, web: WellKnown) -> None:
    dns.answers[NAME] = Alias("handles.example.net")
    dns.txt("handles.example.net", f"did={DID}")
    assert await resolver(web, dns.address).resolve(HANDLE) == DID


async def test_an_answer_too_long_for_udp_comes_over_tcp(dns: DnsServer, web: WellKnown) -> None:
    dns.txt(NAME, *[f"v=filler{n} ".ljust(200, "x") for n in range(10)], f"did={DID}")
    assert await resolver(web, dns.address).resolve(HANDLE) == DID
    assert dns.queries == [("udp", NAME), ("tcp", NAME)]


async def test_a_handle_too_long_for_its_dns_name_uses_https_only(dns: DnsServer, web: WellKnown) -> None:
    longest, too_long = Handle("b" + "a." * 120 + "com"), Handle("bb" + "a." * 120 + "com")
    assert (len(longest), len(too_long)) == (244, 245)
    with pytest.raises(HandleNotFound):
        await resolver(web, dns.address).resolve(too_long)
    assert dns.queries == []
    web.says(200, DID)
    assert await resolver(web, dns.address).resolve(too_long) == DID
    assert await resolver(web, dns.address).resolve(longest) == DID
    assert dns.queries == [("udp", f"_atproto.{longest}")]


async def test_the_next_nameserver_is_asked_where_one_fails(dns: DnsServer, web: WellKnown) -> None:
    dns.txt(NAME, f"did={DID}")
    async with dns_server() as broken:
        broken.answers[NAME] = Fault.SERVFAIL
        assert await resolver(web, broken.address, dns.address).resolve(HANDLE) == DID


async def test_the_systems_nameservers_are_asked_where_none_is_set(
    dns: DnsServer, web: WellKnown, monkeypatch: pytest.MonkeyPatch
) -> None:
    dns.txt(NAME, f"did={DID}")

    def configured(self: object, _path: str) -> None:
        host, port = dns.address.split(":")
        self.nameservers, self.port = [host], int(port)  # type: ignore[attr-defined]

    monkeypatch.setattr("dns.resolver.BaseResolver.read_resolv_conf", configured)
    assert await resolver(web).resolve(HANDLE) == DID


@pytest.mark.parametrize(
    ("text", "address", "port"),
    [
        ("9.9.9.9", "9.9.9.9", 53),
        ("9.9.9.9:5353", "9.9.9.9", 5353),
        ("2620:fe::fe", "2620:fe::fe", 53),
        ("[2620:fe::fe]", "2620:fe::fe", 53),
        ("[2620:fe::fe]:5353", "2620:fe::fe", 5353),
    ],
)
def test_a_nameserver_is_an_address_with_or_without_a_port(text: str, address: str, port: int) -> None:
    assert handles.nameserver(text) == (address, port)


@pytest.mark.parametrize(
    "text", ["", "dns.example.com", "9.9.9.9:x", "9.9.9", "[2620:fe::fe", "9.9.9.9:99999"]
)
def test_a_nameserver_that_is_no_address_is_refused(text: str, web: WellKnown) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - ipaddress and int word it, each in its own way
        resolver(web, text)


# HTTPS


async def test_a_handle_in_its_well_known_file_is_found(dns: DnsServer, web: WellKnown) -> None:
    web.says(200, f" \n{DID}\r\n")
    assert await resolver(web, dns.address).resolve(HANDLE) == DID
    assert [str(request.url) for request in web.requests] == [f"https://{HANDLE}/.well-known/atproto-did"]


@pytest.mark.parametrize(
    "body",
    [
        f"\ufeff{DID}".encode(),
        f"\ufeff\r\n {DID} \r\n".encode(),
        f"{DID}\n# the account of this site\n".encode(),
        f"{DID}\r\n{OTHER}\r\n".encode(),
        f"{DID}\r{OTHER}".encode(),
        f"{DID}\n<script src='/reload.js'></script>".encode(),
        f"\n\n\t{DID}\n".encode(),
        f"{DID}\n".encode() + b"\xff\xfe not UTF-8 \x00",
    ],
)
async def test_the_first_line_of_a_well_known_file_counts_without_a_byte_order_mark(
    dns: DnsServer, web: WellKnown, body: bytes
) -> None:
    web.answer = lambda _: httpx.Response(200, content=body)
    assert await resolver(web, dns.address).resolve(HANDLE) == DID


@pytest.mark.parametrize(
    "body",
    [
        f"did={DID}",
        f"# this site\n{DID}",
        f"<!doctype html>\n{DID}",
        f"{DID} # mine",
        f"{DID},{OTHER}",
        f'"{DID}"',
        f"did:key:z1\n{DID}",
        f"\ufeff\ufeff{DID}",
        f"{DID}\x85{OTHER}",
    ],
)
async def test_a_well_known_file_whose_first_line_is_no_did_claims_nothing(
    dns: DnsServer, web: WellKnown, body: str
) -> None:
    web.says(200, body)
    with pytest.raises(HandleNotFound):
        await resolver(web, dns.address).resolve(HANDLE)


@pytest.mark.parametrize("status", [200, 201, 203])
async def test_any_2xx_and_any_content_type_will_do(dns: DnsServer, web: WellKnown, status: int) -> None:
    web.says(status, DID, **{"Content-Type": "application/octet-stream"})
    assert await resolver(web, dns.address).resolve(HANDLE) == DID


async def test_redirects_of_the_well_known_file_are_followed_three_times(
    dns: DnsServer, web: WellKnown
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        hop = len(web.requests)
        return (
            httpx.Response(302, headers={"Location": f"/{hop}"})
            if hop <= 3
            else httpx.Response(200, text=DID)
        )

    web.answer = answer
    assert await resolver(web, dns.address).resolve(HANDLE) == DID
    web.requests.clear()
    web.answer = lambda _: httpx.Response(302, headers={"Location": "/again"})
    with pytest.raises(HandleNotFound):
        await resolver(web, dns.address).resolve(HANDLE)
    assert len(web.requests) == 4


# Both


async def test_dns_wins_a_conflict(dns: DnsServer, web: WellKnown) -> None:
    dns.txt(NAME, f"did={DID}")
    web.says(200, OTHER)
    assert await resolver(web, dns.address).resolve(HANDLE) == DID


async def test_both_are_asked_at_once_and_dns_does_not_wait_for_https(
    dns: DnsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handles, "WELL_KNOWN_DEADLINE", 3600.0)
    dns.txt(NAME, f"did={DID}")
    given_up = asyncio.Event()

    class Hangs(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            try:
                await asyncio.Event().wait()
            finally:
                given_up.set()
            raise AssertionError

    fetcher = Fetcher(user_agent="t", transport=Hangs(), deadline=3600.0)
    async with asyncio.timeout(60):  # rather than hang where it is broken
        assert await HandleResolver(fetcher, nameservers=[dns.address]).resolve(HANDLE) == DID
    assert given_up.is_set()


@pytest.mark.parametrize("records", [[], ["v=spf1 -all"], ["did=nonsense"]])
@pytest.mark.parametrize(
    ("status", "text"),
    [
        (404, ""),
        (410, ""),
        (400, ""),
        (200, ""),
        (200, "<html>"),
        (200, f"{DID} x"),
        (200, "did:key:z1"),
        (204, ""),
    ],
)
async def test_what_neither_claims_is_not_found(
    dns: DnsServer, web: WellKnown, records: list[str], status: int, text: str
) -> None:
    dns.txt(NAME, *records)
    web.says(status, text)
    with pytest.raises(HandleNotFound):
        await resolver(web, dns.address).resolve(HANDLE)


async def test_a_name_that_does_not_exist_at_all_is_not_found(dns: DnsServer, web: WellKnown) -> None:
    web.fails(HostNotFound("no address"))
    with pytest.raises(HandleNotFound):
        await resolver(web, dns.address).resolve(HANDLE)
    assert dns.queries == [("udp", NAME)]


async def test_a_host_on_a_private_address_or_a_body_too_large_claims_nothing(
    dns: DnsServer, web: WellKnown
) -> None:
    web.says(200, DID + " " * 10_000)
    with pytest.raises(HandleNotFound):
        await resolver(web, dns.address).resolve(HANDLE)

    async def private(_host: str, _port: int) -> list[str]:
        return ["10.0.0.1"]

    fetcher = Fetcher(user_agent="t", resolve=private)
    with pytest.raises(HandleNotFound):
        await HandleResolver(fetcher, nameservers=[dns.address]).resolve(HANDLE)


# Faults


@pytest.mark.parametrize("status", [403, 408, 425, 429, 500, 502, 503])
async def test_a_web_server_that_fails_is_not_an_unknown_handle(
    dns: DnsServer, web: WellKnown, status: int
) -> None:
    web.says(status)
    with pytest.raises(ServerUnreachable):
        await resolver(web, dns.address).resolve(HANDLE)


async def test_a_web_server_that_is_down_is_not_an_unknown_handle(dns: DnsServer, web: WellKnown) -> None:
    web.fails(httpx.ConnectError("refused"))
    with pytest.raises(ServerUnreachable):
        await resolver(web, dns.address).resolve(HANDLE)


@pytest.mark.parametrize("fault", list(Fault))
async def test_dns_that_fails_is_not_an_unknown_handle(
    dns: DnsServer, web: WellKnown, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handles, "DNS_LIFETIME", 0.3)
    dns.answers[NAME] = fault
    with pytest.raises(ServerUnreachable):
        await resolver(web, dns.address).resolve(HANDLE)


async def test_dns_and_https_get_the_same_few_seconds(
    web: WellKnown, monkeypatch: pytest.MonkeyPatch
) -> None:
    granted: list[float | None] = []

    async def resolve(*_: object, lifetime: float, **__: object) -> list[object]:
        granted.append(lifetime)
        return []

    async def request(*_: object, deadline: float, **__: object) -> httpx.Response:
        granted.append(deadline)
        raise HostNotFound("no address")

    monkeypatch.setattr("dns.asyncresolver.Resolver.resolve", resolve)
    monkeypatch.setattr(Fetcher, "request", request)
    with pytest.raises(HandleNotFound):
        await resolver(web, "9.9.9.9").resolve(HANDLE)
    assert granted == [5.0, 5.0]


@pytest.mark.parametrize("fault", list(Fault))
async def test_https_is_enough_where_dns_fails(
    dns: DnsServer, web: WellKnown, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handles, "DNS_LIFETIME", 0.3)
    dns.answers[NAME] = fault
    web.says(200, DID)
    assert await resolver(web, dns.address).resolve(HANDLE) == DID


async def test_dns_is_enough_where_https_fails(dns: DnsServer, web: WellKnown) -> None:
    dns.txt(NAME, f"did={DID}")
    web.fails(httpx.ConnectError("refused"))
    assert await resolver(web, dns.address).resolve(HANDLE) == DID


async def test_a_machine_without_nameservers_is_a_fault(
    web: WellKnown, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dns.resolver.BaseResolver.read_resolv_conf", lambda self, _path: None)
    with pytest.raises(ServerUnreachable):
        await resolver(web).resolve(HANDLE)


# A server that resolves


async def test_a_server_that_resolves_is_asked_and_nobody_else(dns: DnsServer, web: WellKnown) -> None:
    dns.txt(NAME, f"did={OTHER}")
    web.answer = lambda _: httpx.Response(200, json={"did": DID})
    assert await resolver(web, dns.address, server="https://pds.example.com").resolve(HANDLE) == DID
    assert [str(request.url) for request in web.requests] == [
        f"https://pds.example.com/xrpc/com.atproto.identity.resolveHandle?handle={HANDLE}"
    ]
    assert dns.queries == []


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(400, json={"error": "InvalidRequest", "message": "Unable to resolve handle"}),
        httpx.Response(404),
        httpx.Response(200, json={"did": "nonsense"}),
        httpx.Response(200, json={"did": 1}),
        httpx.Response(200, json={}),
    ],
)
async def test_what_the_server_does_not_know_is_not_found(web: WellKnown, answer: httpx.Response) -> None:
    web.answer = lambda _: answer
    with pytest.raises(HandleNotFound):
        await resolver(web, server="https://pds.example.com").resolve(HANDLE)


@pytest.mark.parametrize("status", [302, 401, 403, 429, 500])
async def test_a_resolving_server_that_fails_is_not_an_unknown_handle(web: WellKnown, status: int) -> None:
    web.says(status)
    with pytest.raises(ServerUnreachable):
        await resolver(web, server="https://pds.example.com").resolve(HANDLE)
