"""An account's standing: four words of its own server are a definite no, and nothing else is."""

import asyncio
import json

import httpx
import pytest

from sidecar.atproto.errors import FetchError, ServerUnreachable, UnexpectedResponse
from sidecar.atproto.fetch import Fetcher
from sidecar.atproto.identity.standing import Standings
from sidecar.atproto.syntax import Did, ServerUrl
from tests.fakes.network import FakeNetwork

DID = Did("did:plc:ewvi7nxzyoun6zhxrhs64oiz")
PDS = ServerUrl("https://pds.net")
OTHER = ServerUrl("https://other.net")
PATH = "/xrpc/com.atproto.sync.getRepoStatus"


class Clock:
    time = 0.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def network() -> FakeNetwork:
    network = FakeNetwork()
    network.add_account(did=DID, pds=PDS)
    network.add_pds(OTHER)
    return network


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def standings(network: FakeNetwork, clock: Clock) -> Standings:
    fetcher = Fetcher(user_agent="t", transport=network, resolve=network.resolve)
    return Standings(fetcher, now=clock)


async def test_an_account_in_use_has_lost_nothing(standings: Standings, network: FakeNetwork) -> None:
    assert await standings.lost(DID, PDS) is None
    (asked,) = network.asked(PDS, PATH)
    assert asked.url.params["did"] == DID
    assert "authorization" not in asked.headers


@pytest.mark.parametrize("status", ["takendown", "suspended", "deleted", "deactivated"])
async def test_four_words_are_a_no(standings: Standings, network: FakeNetwork, status: str) -> None:
    network.accounts[DID].status = status
    assert await standings.lost(DID, PDS) == status


async def test_an_account_that_its_server_does_not_know_is_deleted(
    standings: Standings, network: FakeNetwork
) -> None:
    del network.accounts[DID]
    assert await standings.lost(DID, PDS) == "deleted"


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (200, {"did": DID, "active": False, "status": "desynchronized"}),
        (200, {"did": DID, "active": False, "status": "throttled"}),
        (200, {"did": DID, "active": False, "status": "some-later-word"}),
        (200, {"did": DID, "active": False, "status": ["takendown"]}),
        (200, {"did": DID, "active": False, "status": "TAKENDOWN"}),
        (200, {"did": DID, "active": False}),
        (200, {"did": DID, "active": True, "status": "takendown"}),
        (200, {"did": DID, "active": "false", "status": "takendown"}),
        (200, {"did": DID, "active": 0, "status": "takendown"}),
        (200, {"did": DID, "status": "takendown"}),
        (200, {"did": "did:plc:somebodyelsesomebodyelse", "active": False, "status": "takendown"}),
        (200, {"active": False, "status": "takendown"}),
        (200, {}),
        (400, {"error": "InvalidRequest", "message": "no such method"}),
        (404, {"error": "RepoNotFound"}),
        (404, {"error": "NotFound"}),
        (404, "<h1>Not found</h1>"),
        (401, {"error": "AuthMissing"}),
        (501, {"error": "MethodNotImplemented"}),
        (302, ""),
    ],
)
async def test_nothing_else_is_a_no(
    standings: Standings, network: FakeNetwork, status: int, answer: object
) -> None:
    text = answer if isinstance(answer, str) else json.dumps(answer)
    network.answer(PDS + PATH, status, text=text, headers={"Location": f"{OTHER}{PATH}?did={DID}"})
    assert await standings.lost(DID, PDS) is None
    assert network.asked(OTHER) == []


@pytest.mark.parametrize("status", [403, 429, 500, 502, 503])
async def test_a_server_that_fails_gives_no_answer(
    standings: Standings, network: FakeNetwork, status: int
) -> None:
    network.answer(PDS + PATH, status, json={"did": DID, "active": False, "status": "takendown"})
    with pytest.raises(ServerUnreachable):
        await standings.lost(DID, PDS)


@pytest.mark.parametrize("text", ["", "nonsense", "[]", "x" * 20_000])
async def test_what_cannot_be_read_is_no_answer(
    standings: Standings, network: FakeNetwork, text: str
) -> None:
    network.answer(PDS + PATH, text=text)
    with pytest.raises(UnexpectedResponse):
        await standings.lost(DID, PDS)


async def test_a_server_that_failed_rests_for_a_minute_and_no_other_with_it(
    standings: Standings, network: FakeNetwork, clock: Clock
) -> None:
    network.unplug(PDS)
    for _ in range(3):
        with pytest.raises(FetchError):
            await standings.lost(DID, PDS)
    assert len(network.asked(PDS)) == 1
    assert await standings.lost(DID, OTHER) == "deleted"
    network.mend(PDS)
    clock.time += 60
    assert await standings.lost(DID, PDS) is None


async def test_a_server_that_hangs_is_given_five_seconds(network: FakeNetwork) -> None:
    deadlines: list[float | None] = []

    class Noting(Fetcher):
        async def request(self, *args: object, **kwargs: object) -> httpx.Response:
            deadlines.append(kwargs["deadline"])  # type: ignore[arg-type]
            return await super().request(*args, **kwargs)  # type: ignore[arg-type]

    fetcher = Noting(user_agent="t", transport=network, resolve=network.resolve, deadline=0.01)
    arrived = network.hang(PDS + PATH)
    with pytest.raises(ServerUnreachable):
        await Standings(fetcher).lost(DID, PDS)
    await asyncio.wait_for(arrived.wait(), 5)
    assert deadlines == [5.0]
