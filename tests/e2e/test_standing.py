"""Account standing at the real PDS: what it says of accounts in use, deactivated, taken down and deleted."""

from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import pytest_asyncio

from sidecar.atproto.fetch import Fetcher
from sidecar.atproto.identity.standing import Standings
from sidecar.atproto.syntax import Did, ServerUrl
from tests.lab.world import World

PDS = ServerUrl("https://pds.test")
ADMIN = "Basic " + b64encode(b"admin:lab-admin").decode()


class ToTheLab(httpx.AsyncBaseTransport):
    """Every name's own port on loopback, under TLS for the name."""

    def __init__(self, lab: World) -> None:
        self._lab = lab
        self._inner = httpx.AsyncHTTPTransport(verify=lab.tls)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        host, port = request.url.host, self._lab.port(str(request.url))
        request.extensions = {**request.extensions, "sni_hostname": host}
        request.url = request.url.copy_with(host="127.0.0.1", port=port)
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self._inner.aclose()


class Server:
    """The PDS, as its operator and the owner of an account speak to it."""

    def __init__(self, client: httpx.AsyncClient, fetcher: Fetcher) -> None:
        self._client = client
        self._standings = Standings(fetcher)

    async def call(self, method: str, body: Mapping[str, Any] | None, authorization: str = "") -> Any:
        headers = {"authorization": authorization} if authorization else {}
        answer = await self._client.post(f"/xrpc/{method}", json=body, headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.json() if answer.content else None

    async def account(self, name: str) -> tuple[Did, str]:
        """A new one: its DID and its owner's word."""
        who = {"handle": f"{name}.pds.test", "password": "secret", "email": f"{name}@mail.test"}
        made = await self.call("com.atproto.server.createAccount", who)
        return Did(made["did"]), f"Bearer {made['accessJwt']}"

    async def lost(self, did: Did) -> str | None:
        return await self._standings.lost(did, PDS)


@pytest_asyncio.fixture(loop_scope="session")
async def server(lab: World) -> AsyncIterator[Server]:
    fetcher = Fetcher(user_agent="t", transport=ToTheLab(lab))
    async with httpx.AsyncClient(base_url=PDS, transport=ToTheLab(lab)) as client:
        yield Server(client, fetcher)
    await fetcher.aclose()


async def test_an_account_that_is_deactivated_is_out_until_it_is_active_again(server: Server) -> None:
    did, owner = await server.account("erin")
    assert await server.lost(did) is None
    await server.call("com.atproto.server.deactivateAccount", {}, owner)
    assert await server.lost(did) == "deactivated"
    await server.call("com.atproto.server.activateAccount", None, owner)
    assert await server.lost(did) is None


async def test_an_account_that_is_taken_down_is_out(server: Server) -> None:
    did, _ = await server.account("frank")
    subject = {"$type": "com.atproto.admin.defs#repoRef", "did": did}
    change = {"subject": subject, "takedown": {"applied": True, "ref": "1"}}
    await server.call("com.atproto.admin.updateSubjectStatus", change, ADMIN)
    assert await server.lost(did) == "takendown"


async def test_an_account_that_is_deleted_is_out(server: Server) -> None:
    did, _ = await server.account("grace")
    await server.call("com.atproto.admin.deleteAccount", {"did": did}, ADMIN)
    assert await server.lost(did) == "deleted"
