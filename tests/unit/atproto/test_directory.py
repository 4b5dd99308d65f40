"""The directory: both ways or not at all, faults are no answers, and one lookup for many."""

import asyncio
import gc
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx
import pytest

from sidecar.atproto.errors import (
    DidNotFound,
    FetchError,
    HandleMismatch,
    HandleNotFound,
    InvalidDidDocument,
    ServerUnreachable,
    UnexpectedResponse,
)
from sidecar.atproto.fetch import Fetcher
from sidecar.atproto.identity import Directory, Identity
from sidecar.atproto.identity.cache import Cache
from sidecar.atproto.syntax import Did, Handle, ServerUrl
from sidecar.atproto.transport import Reach

ALICE = Did("did:plc:7iza6de2dwap2sbkpav7c6c6")
BOB = Did("did:plc:ewvi7nxzyoun6zhxrhs64oiz")
HANDLE = Handle("alice.example.com")
PDS = ServerUrl("https://pds.example.com")
RESOLVER = "https://resolver.example.com"


@dataclass
class Network:
    """A PLC directory, a resolver of handles, and did:web hosts. `down`: hosts that answer 503."""

    documents: dict[str, httpx.Response | dict[str, object]] = field(default_factory=dict)
    handles: dict[str, str] = field(default_factory=dict)
    down: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    def account(self, did: Did, *, handle: str | None = HANDLE, pds: str | None = PDS) -> None:
        """A DID and its document, and a handle that names it."""
        entry = {"id": "#atproto_pds", "type": "AtprotoPersonalDataServer", "serviceEndpoint": pds}
        known_as = [f"at://{handle}"] if handle else []
        self.documents[did] = {"id": did, "alsoKnownAs": known_as, "service": [entry] if pds else []}
        if handle:
            self.handles[handle] = did

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        await self.gate.wait()
        host, path = request.url.host, request.url.path
        self.asked.append(str(request.url))
        if host in self.down:
            return httpx.Response(503)
        if host == "resolver.example.com":
            did = self.handles.get(request.url.params["handle"])
            return httpx.Response(200, json={"did": did}) if did else httpx.Response(400)
        key = path.removeprefix("/") if host == "plc.directory" else f"did:web:{host}"
        found = self.documents.get(key, httpx.Response(404))
        if isinstance(found, httpx.Response):
            return httpx.Response(found.status_code, headers=found.headers, content=found.content)
        return httpx.Response(200, json=found, headers={"Content-Type": "application/did+ld+json"})


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def network() -> Network:
    running = Network()
    running.gate.set()
    return running


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def directory(network: Network, clock: Clock) -> AsyncIterator[Directory]:
    fetcher = Fetcher(user_agent="t", transport=httpx.MockTransport(network))
    yield Directory(fetcher, handle_resolver=RESOLVER, now=clock, size=2)
    await fetcher.aclose()


# Both ways


async def test_a_handle_that_holds_both_ways_is_an_identity(directory: Directory, network: Network) -> None:
    network.account(ALICE)
    assert await directory.lookup(HANDLE) == Identity(ALICE, HANDLE, PDS)


async def test_a_handle_whose_did_names_another_is_refused(directory: Directory, network: Network) -> None:
    network.account(ALICE, handle="other.example.com")
    network.handles[HANDLE] = ALICE
    with pytest.raises(HandleMismatch):
        await directory.lookup(HANDLE)


async def test_a_handle_whose_did_names_none_is_refused(directory: Directory, network: Network) -> None:
    network.account(ALICE, handle=None)
    network.handles[HANDLE] = ALICE
    with pytest.raises(HandleMismatch):
        await directory.lookup(HANDLE)


async def test_a_handle_nobody_claims_is_not_found(directory: Directory) -> None:
    with pytest.raises(HandleNotFound):
        await directory.lookup(HANDLE)


async def test_a_handle_of_a_did_that_is_gone_is_told_as_such(directory: Directory, network: Network) -> None:
    network.handles[HANDLE] = ALICE
    with pytest.raises(DidNotFound):
        await directory.lookup(HANDLE)


async def test_a_did_goes_by_its_handle_where_it_holds_both_ways(
    directory: Directory, network: Network
) -> None:
    network.account(ALICE)
    assert await directory.lookup(ALICE) == Identity(ALICE, HANDLE, PDS)


async def test_a_did_goes_without_a_handle_it_does_not_own(directory: Directory, network: Network) -> None:
    network.account(ALICE)
    network.handles[HANDLE] = BOB
    assert await directory.lookup(ALICE) == Identity(ALICE, None, PDS)
    del network.handles[HANDLE]
    assert await directory.lookup(ALICE, fresh=True) == Identity(ALICE, None, PDS)


async def test_a_did_that_claims_no_handle_goes_without(directory: Directory, network: Network) -> None:
    network.account(ALICE, handle=None)
    assert await directory.lookup(ALICE) == Identity(ALICE, None, PDS)


async def test_a_did_goes_on_where_its_handle_cannot_be_asked_for(
    directory: Directory, network: Network
) -> None:
    network.account(ALICE)
    network.down.add("resolver.example.com")
    assert await directory.lookup(ALICE) == Identity(ALICE, None, PDS, undecided=True)


async def test_a_did_without_a_usable_server_is_refused(directory: Directory, network: Network) -> None:
    network.account(ALICE, pds=None)
    for identifier in (ALICE, HANDLE):
        with pytest.raises(InvalidDidDocument):
            await directory.lookup(identifier)


# Documents


async def test_a_plc_document_comes_from_the_directory_that_is_set(network: Network) -> None:
    network.documents["did:web:plc.example.net"] = {"id": ALICE}
    fetcher = Fetcher(user_agent="t", transport=httpx.MockTransport(network))
    directory = Directory(fetcher, plc_url="https://plc.example.net:8443")
    assert (await directory.document(ALICE)).did == ALICE
    assert network.asked == [f"https://plc.example.net:8443/{ALICE}"]


async def test_a_web_document_comes_from_its_host(directory: Directory, network: Network) -> None:
    did = Did("did:web:carol.example.org")
    network.account(did, handle=None)
    assert (await directory.lookup(did)).pds == PDS
    assert network.asked == ["https://carol.example.org/.well-known/did.json"]


async def test_a_web_document_on_localhost_comes_over_http_in_development(network: Network) -> None:
    did = Did("did:web:localhost%3A2583")
    network.documents["did:web:localhost"] = {"id": did}
    fetcher = Fetcher(user_agent="t", transport=httpx.MockTransport(network), development=True)
    assert (await Directory(fetcher, development=True).document(did)).did == did
    assert network.asked == ["http://localhost:2583/.well-known/did.json"]


async def test_only_the_plc_directory_and_the_handle_resolver_are_asked_as_the_operators_own(
    network: Network,
) -> None:
    """Whoever names their host, a did:web, can name the operator's too."""
    reach: dict[str, Reach] = {}

    async def noting(request: httpx.Request) -> httpx.Response:
        reach[request.url.host] = request.extensions["reach"]
        return await network(request)

    own = frozenset({"https://plc.directory", RESOLVER, "https://carol.example.org"})
    fetcher = Fetcher(user_agent="t", transport=httpx.MockTransport(noting), operator_origins=own)
    directory = Directory(fetcher, handle_resolver=RESOLVER)
    network.account(ALICE)
    network.account(Did("did:web:carol.example.org"), handle=None)
    for identifier in (HANDLE, Did("did:web:carol.example.org")):
        await directory.lookup(identifier)
    assert reach == {
        "plc.directory": Reach.ANYWHERE,
        "resolver.example.com": Reach.ANYWHERE,
        "carol.example.org": Reach.PUBLIC,
    }


@pytest.mark.parametrize("did", [ALICE, Did("did:web:carol.example.org")])
@pytest.mark.parametrize("status", [404, 410])
async def test_a_did_that_is_gone_is_not_found(
    directory: Directory, network: Network, did: Did, status: int
) -> None:
    network.documents[did] = httpx.Response(status)
    with pytest.raises(DidNotFound):
        await directory.lookup(did)


async def test_a_document_of_another_did_is_refused(directory: Directory, network: Network) -> None:
    network.account(BOB)
    network.documents[ALICE] = network.documents[BOB]
    with pytest.raises(InvalidDidDocument):
        await directory.lookup(ALICE)


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(302, headers={"Location": "https://evil.example.com/"}),
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json=[]),
        httpx.Response(401),
        httpx.Response(200, json={"id": ALICE, "x": "x" * 600_000}),
    ],
)
async def test_what_is_no_document_is_neither_gone_nor_taken(
    directory: Directory, network: Network, answer: httpx.Response
) -> None:
    network.documents[ALICE] = answer
    with pytest.raises(UnexpectedResponse):
        await directory.lookup(ALICE)


@pytest.mark.parametrize(
    "content_type",
    [
        "application/did+ld+json",
        "application/json; charset=utf-8",
        "application/did+json",
        "text/plain",
        "application/octet-stream",
        "",
    ],
)
async def test_a_document_may_have_any_type(
    directory: Directory, network: Network, content_type: str
) -> None:
    network.documents[ALICE] = httpx.Response(200, json={"id": ALICE}, headers={"Content-Type": content_type})
    assert (await directory.document(ALICE)).did == ALICE


@pytest.mark.parametrize("did", [ALICE, Did("did:web:carol.example.org")])
async def test_a_document_may_have_half_a_megabyte_and_a_byte_order_mark(
    directory: Directory, network: Network, did: Did
) -> None:
    text = json.dumps({"id": did, "x": ""})
    large = text.replace('""', f'"{"x" * (512 * 1024 - len(text) - 3)}"')
    content = f"\ufeff{large}".encode()
    assert len(content) == 512 * 1024
    network.documents[did] = httpx.Response(200, content=content)
    assert (await directory.document(did)).did == did


async def test_a_directory_that_is_down_is_not_a_did_that_is_gone(
    directory: Directory, network: Network
) -> None:
    network.account(ALICE)
    network.down.add("plc.directory")
    for identifier in (ALICE, HANDLE):
        with pytest.raises(ServerUnreachable):
            await directory.lookup(identifier)


# In the background


async def test_a_verified_handle_is_always_asked_for_anew(directory: Directory, network: Network) -> None:
    network.account(ALICE)
    await directory.lookup(HANDLE)
    asked = len(network.asked)
    assert await directory.verified_handle(ALICE) == HANDLE
    assert len(network.asked) == 2 * asked


async def test_a_handle_that_is_lost_for_sure_is_none(directory: Directory, network: Network) -> None:
    network.account(ALICE)
    network.handles[HANDLE] = BOB
    assert await directory.verified_handle(ALICE) is None
    del network.handles[HANDLE]
    assert await directory.verified_handle(ALICE) is None
    network.account(ALICE, handle=None)
    assert await directory.verified_handle(ALICE) is None
    network.documents[ALICE] = {"id": BOB}
    assert await directory.verified_handle(ALICE) is None
    del network.documents[ALICE]
    assert await directory.verified_handle(ALICE) is None


@pytest.mark.parametrize("down", ["plc.directory", "resolver.example.com"])
async def test_a_fault_is_not_a_lost_handle(directory: Directory, network: Network, down: str) -> None:
    network.account(ALICE)
    await directory.lookup(ALICE)
    network.down.add(down)
    with pytest.raises(ServerUnreachable):
        await directory.verified_handle(ALICE)


async def test_an_answer_that_is_none_is_not_a_lost_handle(directory: Directory, network: Network) -> None:
    network.documents[ALICE] = httpx.Response(200, text="<html>captive portal")
    with pytest.raises(ServerUnreachable):
        await directory.verified_handle(ALICE)


# What is remembered


async def test_an_identity_is_remembered_until_its_time_is_up(
    directory: Directory, network: Network, clock: Clock
) -> None:
    network.account(ALICE)
    await directory.lookup(HANDLE)
    asked = len(network.asked)
    clock.now += 299.9
    await directory.lookup(HANDLE)
    await directory.lookup(ALICE)
    assert len(network.asked) == asked
    clock.now += 0.1
    await directory.lookup(HANDLE)
    assert len(network.asked) == 2 * asked


@pytest.mark.parametrize("ttl", [600.0, 3600.0, -1.0])
def test_identities_are_never_remembered_for_ten_minutes(ttl: float) -> None:
    with pytest.raises(ValueError, match="10 minutes"):
        Directory(Fetcher(user_agent="t"), ttl=ttl)


async def test_fresh_goes_past_what_is_remembered_and_refills_it(
    directory: Directory, network: Network
) -> None:
    network.account(ALICE)
    await directory.lookup(HANDLE)
    network.account(ALICE, pds="https://new.example.com")
    assert (await directory.lookup(HANDLE)).pds == PDS
    assert (await directory.lookup(HANDLE, fresh=True)).pds == "https://new.example.com"
    assert (await directory.lookup(ALICE)).pds == "https://new.example.com"


async def test_a_new_handle_works_at_once_though_the_old_document_is_remembered(
    directory: Directory, network: Network
) -> None:
    network.account(ALICE, handle="old.example.com")
    await directory.lookup(ALICE)
    network.account(ALICE, handle=HANDLE)
    assert await directory.lookup(HANDLE) == Identity(ALICE, HANDLE, PDS)


async def test_a_handle_that_changed_hands_is_its_new_owners_at_once(
    directory: Directory, network: Network
) -> None:
    network.account(ALICE)
    await directory.lookup(HANDLE)
    network.account(BOB)
    network.account(ALICE, handle=None)
    await directory.lookup(ALICE, fresh=True)
    assert await directory.lookup(HANDLE) == Identity(BOB, HANDLE, PDS)


@pytest.mark.parametrize("down", ["plc.directory", "resolver.example.com"])
async def test_no_fault_is_remembered(directory: Directory, network: Network, down: str) -> None:
    network.account(ALICE)
    network.down.add(down)
    with pytest.raises(ServerUnreachable):
        await directory.lookup(HANDLE)
    network.down.clear()
    assert (await directory.lookup(HANDLE)).did == ALICE


async def test_no_more_is_remembered_than_the_bound(directory: Directory, network: Network) -> None:
    dids = [Did(f"did:plc:{letter * 24}") for letter in "abc"]
    for did in dids:
        network.account(did, handle=None)
        await directory.document(did)
    network.asked.clear()
    for did in reversed(dids):
        await directory.document(did)
    assert network.asked == [f"https://plc.directory/{dids[0]}"]


@pytest.mark.parametrize("earlier", [False, True])
async def test_a_fresh_answer_never_comes_of_a_question_asked_before_the_call(earlier: bool) -> None:
    asked, gates = 0, [asyncio.Event(), asyncio.Event()]

    async def load(_key: str) -> int:
        nonlocal asked
        asked += 1
        number = asked
        await gates[number - 1].wait()
        return number

    cache: Cache[str, int] = Cache(load, ttl=1.0, size=1, now=Clock())
    first = asyncio.create_task(cache.get("key", fresh=earlier))
    await asyncio.sleep(0)
    second = asyncio.create_task(cache.get("key", fresh=True))
    await asyncio.sleep(0)
    for gate in gates:
        gate.set()
    assert (await first, await second) == (1, 2)
    assert await cache.get("key") == 2


# One lookup for many


async def test_many_who_wait_for_the_same_name_share_one_lookup(
    directory: Directory, network: Network
) -> None:
    network.account(ALICE)
    network.gate.clear()
    waiters = [asyncio.create_task(directory.lookup(HANDLE)) for _ in range(50)]
    await asyncio.sleep(0)
    network.gate.set()
    assert {identity.did for identity in await asyncio.gather(*waiters)} == {ALICE}
    assert len(network.asked) == 2


async def test_many_share_a_fault_too_and_the_next_one_asks_again(
    directory: Directory, network: Network
) -> None:
    network.account(ALICE)
    network.down.add("plc.directory")
    network.gate.clear()
    waiters = [asyncio.create_task(directory.document(ALICE)) for _ in range(3)]
    await asyncio.sleep(0)
    network.gate.set()
    outcomes = await asyncio.gather(*waiters, return_exceptions=True)
    assert all(isinstance(outcome, FetchError) for outcome in outcomes)
    assert len(network.asked) == 1
    network.down.clear()
    assert (await directory.document(ALICE)).did == ALICE


async def test_a_waiter_that_is_cancelled_leaves_the_lookup_to_the_others(
    directory: Directory, network: Network
) -> None:
    network.account(ALICE)
    network.gate.clear()
    first, second = (asyncio.create_task(directory.document(ALICE)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    network.gate.set()
    assert (await second).did == ALICE
    assert len(network.asked) == 1


async def test_a_lookup_that_fails_when_all_waiters_are_gone_disturbs_nobody() -> None:
    complaints: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    started, release = asyncio.Event(), asyncio.Event()

    async def load(_key: str) -> str:
        started.set()
        await release.wait()
        raise ServerUnreachable("down")

    cache: Cache[str, str] = Cache(load, ttl=1.0, size=1, now=Clock())
    waiter = asyncio.create_task(cache.get("key"))
    await started.wait()
    waiter.cancel()
    await asyncio.wait([waiter])
    release.set()
    await asyncio.wait([cache.flights["key"]])
    del waiter  # its traceback holds on to the flight
    await asyncio.sleep(0)
    gc.collect()
    assert complaints == []
    assert cache.flights == {}


async def test_a_load_that_is_cancelled_itself_can_be_asked_for_again() -> None:
    async def load(_key: str) -> str:
        await asyncio.Event().wait()
        return "never"

    cache: Cache[str, str] = Cache(load, ttl=1.0, size=1, now=Clock())
    for _ in range(2):
        waiter = asyncio.create_task(cache.get("key"))
        await asyncio.sleep(0)
        cache.flights["key"].cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        await asyncio.sleep(0)
    assert cache.flights == {}
