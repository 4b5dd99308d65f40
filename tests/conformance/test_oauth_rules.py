"""The rules for an ATProto OAuth client, one by one: what must be refused is refused. Sections 1, 3 and 9.

Rules about servers are held against our client; rules about clients against the strict server of the tests,
which our client satisfies (test_strict_server.py says how strict it is).
"""

from typing import Any
from urllib.parse import quote

import httpx
import pytest

from sidecar.atproto.errors import (
    AccessDenied,
    AuthorizationRefused,
    ClientRefused,
    ForbiddenAddress,
    HostNotFound,
    InvalidServerMetadata,
    RequestRefused,
    ServerUnreachable,
    UnexpectedResponse,
)
from sidecar.atproto.oauth import client_metadata
from tests.fakes.client_rules import check_client_id, loopback_document
from tests.fakes.oauth_faults import (
    REFUSED_CLIENT_IDS,
    REFUSED_DOCUMENTS,
    REFUSED_REDIRECTS,
    REFUSED_RESOURCES,
    REFUSED_SERVERS,
    UNUSABLE_ANSWERS,
    table,
)
from tests.fakes.refusals import Refused
from tests.fakes.sign_in import CLIENT, PDS, SignInWorld, client

PAR, TOKEN = f"{PDS}/oauth/par", f"{PDS}/oauth/token"
RESOURCE = f"{PDS}/.well-known/oauth-protected-resource"
SERVER = f"{PDS}/.well-known/oauth-authorization-server"


@pytest.fixture
def world() -> SignInWorld:
    return SignInWorld()


# 1. Client metadata


@table(REFUSED_CLIENT_IDS)
def test_section_1_client_id(rule: str) -> None:
    with pytest.raises(ValueError, match=r"client_id|https"):
        client_metadata(client(client_id=rule, client_uri=""))
    with pytest.raises(Refused):
        check_client_id(rule)


@table(REFUSED_REDIRECTS)
def test_section_1_redirect_uri(rule: str) -> None:
    with pytest.raises(ValueError, match="https"):
        client_metadata(client(redirect_uri=rule))


@pytest.mark.parametrize(
    "client_id",
    [
        "https://auth.sidecar.internal/auth/client-metadata.json",
        "https://auth.wiki.net/auth/client-metadata.json?v=1",
        "https://auth.wiki.net/~a/b%20c;d=e.json",
        "https://xn--bcher-kva.net/m",
    ],
)
def test_section_1_what_client_ids_may_vary(client_id: str) -> None:
    assert client_metadata(client(client_id=client_id, client_uri=""))["client_id"] == client_id
    check_client_id(client_id)


@table(REFUSED_DOCUMENTS)
async def test_section_1_metadata_fields(world: SignInWorld, rule: dict[str, Any]) -> None:
    world.document |= rule
    with pytest.raises((ClientRefused, AuthorizationRefused)):
        await world.start()


@table(UNUSABLE_ANSWERS | {"too much": {"status": 200, "json": {"client_id": "b" * 600_000}}})
async def test_section_1_serving(world: SignInWorld, rule: dict[str, Any]) -> None:
    world.network.answer(CLIENT.client_id, **rule)
    with pytest.raises(ClientRefused):
        await world.start()


@pytest.mark.parametrize(
    "client_id",
    [
        "http://localhost:8080?scope=atproto",
        "http://localhost/path?scope=atproto",
        "http://127.0.0.1?scope=atproto",
        "http://localhost?client_name=x",
        "http://localhost?scope=atproto&scope=atproto",
        f"http://localhost?redirect_uri={quote('http://localhost/cb', safe='')}",
        f"http://localhost?redirect_uri={quote('https://wiki.net/cb', safe='')}",
    ],
)
def test_section_1_localhost_client(client_id: str) -> None:
    with pytest.raises(Refused):
        loopback_document(client_id)


# 3. Discovery


@table(REFUSED_RESOURCES)
async def test_section_3_protected_resource(world: SignInWorld, rule: dict[str, Any]) -> None:
    world.pds.metadata |= rule
    with pytest.raises(InvalidServerMetadata):
        await world.start()
    assert not world.network.asked(PDS, "/oauth/par")


@table(REFUSED_SERVERS)
async def test_section_3_issuer(world: SignInWorld, rule: dict[str, Any]) -> None:
    world.issuer.metadata |= rule
    with pytest.raises(InvalidServerMetadata):
        await world.start()
    assert not world.network.asked(PDS, "/oauth/par")


@table(UNUSABLE_ANSWERS)
@pytest.mark.parametrize("url", [RESOURCE, SERVER])
async def test_section_3_exactly_200_json_no_redirect(
    world: SignInWorld, url: str, rule: dict[str, Any]
) -> None:
    world.network.answer(url, **rule)
    with pytest.raises(UnexpectedResponse):
        await world.start()


async def test_section_3_an_issuer_may_have_a_port(world: SignInWorld) -> None:
    bob = world.network.add_account("bob.host.net", pds="https://host.net:8443")
    assert (await world.sign_in("bob.host.net", bob)).identity.pds == "https://host.net:8443"


async def test_section_3_protected_resources_may_list_the_pds(world: SignInWorld) -> None:
    world.issuer.metadata["protected_resources"] = ["https://other.net", PDS]
    assert (await world.sign_in()).identity.did == world.alice.did


async def test_section_3_a_server_that_is_neither_pds_nor_issuer(world: SignInWorld) -> None:
    world.network.serve("https://shop.net", lambda _: httpx.Response(404))
    with pytest.raises(UnexpectedResponse):
        await world.start("https://shop.net")


async def test_section_3_a_pds_that_breaks_a_rule_is_no_issuer_instead(world: SignInWorld) -> None:
    world.pds.metadata["authorization_servers"] = []
    with pytest.raises(InvalidServerMetadata):
        await world.start(PDS)


async def test_section_3_the_browser_is_not_sent_to_a_private_address(world: SignInWorld) -> None:
    world.issuer.metadata["authorization_endpoint"] = "https://inside.net/oauth/authorize"
    world.network.addresses["inside.net"] = ["10.0.0.1"]
    with pytest.raises(ForbiddenAddress):
        await world.start()


async def test_section_3_the_browser_is_not_sent_to_a_name_without_address(world: SignInWorld) -> None:
    world.issuer.metadata["authorization_endpoint"] = "https://nowhere.net/oauth/authorize"
    with pytest.raises(HostNotFound):
        await world.start()


# 9. Known breakages


@pytest.mark.parametrize("url", [RESOURCE, SERVER, PAR, "https://plc.directory/{did}"])
@pytest.mark.parametrize("status", [429, 500, 503])
async def test_section_9_an_outage_is_told_as_one(world: SignInWorld, url: str, status: int) -> None:
    world.network.answer(url.format(did=world.alice.did), status, html="<h1>Sorry</h1>")
    with pytest.raises(ServerUnreachable) as raised:
        await world.start(world.alice.did)
    assert raised.value.transient


async def test_section_9_a_dead_host_is_an_outage(world: SignInWorld) -> None:
    world.network.unplug(PDS)
    with pytest.raises(ServerUnreachable):
        await world.start()


@pytest.mark.parametrize("url", [RESOURCE, SERVER])
async def test_section_9_an_edge_that_refuses_us_is_told_as_that(world: SignInWorld, url: str) -> None:
    world.network.answer(url, 403, html="<h1>Blocked</h1>")
    with pytest.raises(RequestRefused):
        await world.start()


@pytest.mark.parametrize("error", ["invalid_client", "invalid_client_metadata"])
async def test_section_9_our_metadata_does_not_please(world: SignInWorld, error: str) -> None:
    world.issuer.refusals["par"] = Refused(error, "could not fetch")
    with pytest.raises(ClientRefused, match=error):
        await world.start()


async def test_section_9_a_deactivated_account_is_denied(world: SignInWorld) -> None:
    pending, url = await world.start()
    with pytest.raises(AccessDenied):
        await world.finish(pending, world.network.deny(url, "access_denied"))
