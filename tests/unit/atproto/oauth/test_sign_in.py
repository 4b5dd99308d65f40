"""The sign-in from end to end: every way to begin, every kind of client, what is kept and what is let go."""

import asyncio
import json
import logging
import time
from dataclasses import replace
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from sidecar.atproto.errors import (
    AuthorizationRefused,
    ForbiddenAddress,
    InvalidIdentifier,
    RequestRefused,
    ServerUnreachable,
    UnexpectedResponse,
)
from sidecar.atproto.fetch import Fetcher
from sidecar.atproto.oauth import KeySet, OAuthClient, PendingSignIn, Prompt, SignInFailed, loopback_client
from sidecar.atproto.oauth import client as client_module
from sidecar.atproto.transport import Reach
from tests.fakes.sign_in import CLIENT, KEY, NEXT_KEY, ORIGIN, PDS, SignInWorld, params_of

LOOPBACK = loopback_client("http://127.0.0.1:8080/auth/callback")


@pytest.fixture
def world() -> SignInWorld:
    return SignInWorld()


@pytest.mark.parametrize("identifier", ["alice.pds.net", "@Alice.pds.net", "ALICE", PDS])
async def test_a_sign_in_by_handle_did_or_server(world: SignInWorld, identifier: str) -> None:
    signed_in = await world.sign_in(world.alice.did if identifier == "ALICE" else identifier)
    assert signed_in.identity.did == world.alice.did
    assert signed_in.identity.handle == "alice.pds.net"
    assert signed_in.identity.pds == PDS


async def test_a_did_web_account_signs_in(world: SignInWorld) -> None:
    bob = world.network.add_account("bob.pds.net", did="did:web:bob.net")
    assert (await world.sign_in("did:web:bob.net", bob)).identity.handle == "bob.pds.net"


async def test_a_did_whose_handle_no_longer_leads_back_signs_in_without_it(world: SignInWorld) -> None:
    world.alice.resolves = False
    assert (await world.sign_in(world.alice.did)).identity.handle is None


async def test_an_entryway_speaks_for_pdses_on_other_hosts(world: SignInWorld) -> None:
    for host in ("https://morel.host.net", "https://inky.host.net"):
        world.network.add_pds(host, issuer="https://entryway.net")
    bob = world.network.add_account("bob.host.net", pds="https://inky.host.net")
    pending, url = await world.start("https://entryway.net")
    assert (pending.issuer, pending.did) == ("https://entryway.net", None)
    assert url.startswith("https://entryway.net/oauth/authorize?")
    signed_in = await world.finish(pending, world.network.approve(url, account=bob))
    assert signed_in.identity.pds == "https://inky.host.net"
    assert (await world.sign_in("bob.host.net", bob)).identity.did == bob.did


async def test_a_pds_url_leads_to_its_entryway(world: SignInWorld) -> None:
    world.network.add_pds("https://morel.host.net", issuer="https://entryway.net")
    pending, _ = await world.start("https://morel.host.net")
    assert pending.issuer == "https://entryway.net"


@pytest.mark.parametrize("status", [403, 404, 500, 503])
async def test_a_server_that_fails_where_a_pds_has_its_document_may_be_an_issuer(
    world: SignInWorld, status: int
) -> None:
    world.network.answer(f"{PDS}/.well-known/oauth-protected-resource", status)
    assert (await world.start(PDS))[0].issuer == PDS


@pytest.mark.parametrize(("status", "error"), [(403, RequestRefused), (503, ServerUnreachable)])
async def test_a_pds_that_fails_is_not_told_as_an_issuer_that_is_none(
    world: SignInWorld, status: int, error: type[Exception]
) -> None:
    world.network.answer(f"{PDS}/.well-known/oauth-protected-resource", status)
    for issuer_status in (404, 200):
        answer = {"issuer": "https://entryway.net"}
        world.network.answer(f"{PDS}/.well-known/oauth-authorization-server", issuer_status, json=answer)
        with pytest.raises(error) as raised:
            await world.start(PDS)
        assert type(raised.value) is error


async def test_a_server_that_nobody_can_reach_is_asked_once(world: SignInWorld) -> None:
    world.network.unplug(PDS)
    with pytest.raises(ServerUnreachable):
        await world.start(PDS)
    assert len(world.network.asked(PDS)) == 1


async def test_a_server_that_is_the_operators_own_gets_no_further_than_any_other(world: SignInWorld) -> None:
    transport, resolve = world.network, world.network.resolve
    own = frozenset({PDS, world.network.plc_url})
    fetcher = Fetcher(user_agent="t", transport=transport, resolve=resolve, operator_origins=own)
    world.oauth = OAuthClient(CLIENT, world.directory, fetcher, now=world.clock)
    await world.sign_in()
    assert {request.extensions["reach"] for request in world.network.asked(PDS)} == {Reach.PUBLIC}
    world.network.addresses["pds.net"] = ["10.0.0.1"]
    with pytest.raises(ForbiddenAddress):
        await world.start()


async def test_a_public_loopback_client_signs_in_and_its_refresh_token_is_revoked_too() -> None:
    world = SignInWorld(client=LOOPBACK)
    signed_in = await world.sign_in()
    assert signed_in.grant.refresh_token in world.issuer.tokens
    await world.oauth.revoke(signed_in.grant)
    assert world.issuer.tokens == {}
    assert world.issuer.revoked == [signed_in.grant.refresh_token, signed_in.grant.access_token]


async def test_keys_may_be_published_at_a_url_of_their_own() -> None:
    world = SignInWorld(client=replace(CLIENT, jwks_uri=f"{ORIGIN}/auth/jwks.json"))
    assert "jwks" not in world.document
    assert (await world.sign_in()).identity.did == world.alice.did


async def test_a_server_whose_name_idna_2008_refuses_is_a_server_like_any_other(world: SignInWorld) -> None:
    """An emoji's domain; what httpx calls its host can't be asked for."""
    pile = "https://xn--ls8h.la"
    bob = world.network.add_account("bob.host.net", pds=pile)
    assert (await world.sign_in("bob.host.net", bob)).identity.pds == pile
    world.network.answer(f"{pile}/oauth/par", 400, json={"error": "invalid_request"})
    with pytest.raises(AuthorizationRefused, match="xn--ls8h"):
        await world.start(pile)
    world.network.answer(f"{pile}/oauth/par", 201, json={})
    with pytest.raises(UnexpectedResponse):
        await world.start(pile)
    world.network.answer(f"{pile}/oauth/par", 201, text="")
    with pytest.raises(UnexpectedResponse):
        await world.start(pile)


async def test_many_sign_ins_at_once_do_not_disturb_each_other(world: SignInWorld) -> None:
    accounts = [world.network.add_account(f"user{n}.pds.net") for n in range(8)]
    signed_in = await asyncio.gather(*(world.sign_in(str(a.handle), a) for a in accounts))
    assert [each.identity.did for each in signed_in] == [account.did for account in accounts]


async def test_the_record_survives_json(world: SignInWorld) -> None:
    pending, url = await world.start()
    stored = json.loads(json.dumps(pending.to_json()))
    again = PendingSignIn.from_json(stored)
    assert again == pending
    assert (await world.finish(again, world.network.approve(url, account=world.alice))).identity.did


async def test_the_record_of_a_sign_in_begun_before_hints_were_kept_still_opens(world: SignInWorld) -> None:
    pending, url = await world.start()
    record = pending.to_json()
    del record["login_hint"]
    again = PendingSignIn.from_json(record)
    assert (await world.finish(again, world.network.approve(url, account=world.alice))).identity.did


@pytest.mark.parametrize("record", [{}, {"did": None}, {"did": None, "state": "s", "surprise": 1}])
def test_the_record_of_another_version_is_refused(record: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="another version"):
        PendingSignIn.from_json(record)


async def test_no_repr_shows_a_secret(world: SignInWorld) -> None:
    pending, url = await world.start()
    signed_in = await world.finish(pending, world.network.approve(url, account=world.alice))
    shown = repr(pending) + repr(signed_in)
    for secret in (pending.state, pending.code_verifier, pending.dpop_key["d"], signed_in.grant.access_token):
        assert secret not in shown


# Prompt and hint


@pytest.mark.parametrize(
    ("wanted", "supported", "sent"),
    [
        ("select_account", ["login", "select_account"], "select_account"),
        ("select_account", ["login", "consent"], "login"),
        ("select_account", None, "select_account"),
        ("login", ["login"], "login"),
        ("create", ["login", "create"], "create"),
        ("create", ["login"], None),
        (None, ["login"], None),
    ],
)
async def test_the_prompt_is_what_the_server_supports(
    world: SignInWorld, wanted: Prompt | None, supported: list[str] | None, sent: str | None
) -> None:
    world.issuer.metadata["prompt_values_supported"] = supported
    _, url = await world.start(prompt=wanted)
    assert world.network.request_of(url).get("prompt") == sent


@pytest.mark.parametrize(
    ("identifier", "hint", "sent"),
    [
        ("@alice.pds.net", None, "alice.pds.net"),
        (PDS, None, None),
        (PDS, "@alice.pds.net", "alice.pds.net"),
        ("alice.pds.net", "did:web:bob.net", "did:web:bob.net"),
    ],
)
async def test_the_login_hint_is_a_handle_or_a_did(
    world: SignInWorld, identifier: str, hint: str | None, sent: str | None
) -> None:
    _, url = await world.start(identifier, login_hint=hint)
    assert world.network.request_of(url).get("login_hint") == sent


async def test_a_login_hint_that_is_a_server_is_refused(world: SignInWorld) -> None:
    with pytest.raises(InvalidIdentifier):
        await world.start(login_hint="https://pds.net")


async def test_the_authorization_endpoint_may_have_a_query_of_its_own(world: SignInWorld) -> None:
    world.issuer.metadata["authorization_endpoint"] = f"{PDS}/oauth/authorize?tenant=a%26b"
    pending, url = await world.start()
    assert dict(parse_qsl(urlsplit(url).query))["tenant"] == "a&b"
    signed_in = await world.finish(pending, world.network.approve(url, account=world.alice))
    assert signed_in.identity.did == world.alice.did


# Keys


async def test_a_sign_in_is_finished_with_the_key_it_began_with(world: SignInWorld) -> None:
    pending, url = await world.start()
    rotated = replace(CLIENT, keys=KeySet([NEXT_KEY, KEY]))
    fetcher = Fetcher(user_agent="test/1", transport=world.network, resolve=world.network.resolve)
    world.oauth = OAuthClient(rotated, world.directory, fetcher, now=world.clock)
    signed_in = await world.finish(pending, world.network.approve(url, account=world.alice))
    assert signed_in.identity.did == world.alice.did
    assert (await world.start())[0].kid == NEXT_KEY["kid"] != pending.kid


async def test_a_sign_in_whose_key_is_gone_is_refused(world: SignInWorld) -> None:
    pending, url = await world.start()
    with pytest.raises(AuthorizationRefused, match="key"):
        await world.finish(replace(pending, kid="gone"), world.network.approve(url, account=world.alice))


def test_a_client_that_no_server_would_take_is_never_made(world: SignInWorld) -> None:
    fetcher = Fetcher(user_agent="test/1", transport=world.network)
    with pytest.raises(ValueError, match="port"):
        OAuthClient(replace(CLIENT, client_id="https://wiki.net:444/metadata"), world.directory, fetcher)


# Revocation


async def test_revocation_ends_the_token(world: SignInWorld) -> None:
    signed_in = await world.sign_in()
    assert signed_in.grant.access_token in world.issuer.tokens
    await world.oauth.revoke(signed_in.grant)
    assert world.issuer.tokens == {}


async def test_revocation_knows_the_nonce_already(world: SignInWorld) -> None:
    world.issuer.nonces.strict = True
    signed_in = await world.sign_in()
    await world.oauth.revoke(signed_in.grant)
    assert world.issuer.nonces.challenges == 1  # the very first request of the sign-in
    assert world.issuer.tokens == {}


@pytest.mark.parametrize("status", [400, 403, 500, 302])
async def test_a_failed_revocation_is_logged_and_nothing_more(
    world: SignInWorld, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    signed_in = await world.sign_in()
    world.network.answer(f"{PDS}/oauth/revoke", status)
    with caplog.at_level(logging.WARNING):
        await world.oauth.revoke(signed_in.grant)
    assert "tokens not revoked" in caplog.text
    assert signed_in.grant.access_token not in caplog.text


async def test_one_token_whose_revocation_is_refused_does_not_save_the_other() -> None:
    world = SignInWorld(client=LOOPBACK)
    signed_in = await world.sign_in()
    asked = []

    def refuse_the_first(request: httpx.Request) -> httpx.Response:
        asked.append(dict(parse_qsl(request.content.decode()))["token"])
        return httpx.Response(400 if len(asked) == 1 else 200)

    world.network.handle(f"{PDS}/oauth/revoke", refuse_the_first)
    await world.oauth.revoke(signed_in.grant)
    assert asked == [signed_in.grant.refresh_token, signed_in.grant.access_token]


async def test_a_revocation_that_hangs_is_given_up(
    world: SignInWorld, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(client_module, "REVOCATION_DEADLINE", 0.01)
    signed_in = await world.sign_in()
    world.network.hang(f"{PDS}/oauth/revoke")
    began = time.monotonic()
    await world.oauth.revoke(signed_in.grant)
    assert time.monotonic() - began < 5
    assert "TimeoutError" in caplog.text


async def test_without_a_revocation_endpoint_nothing_is_asked(world: SignInWorld) -> None:
    world.issuer.metadata["revocation_endpoint"] = None
    signed_in = await world.sign_in()
    asked = len(world.network.requests)
    await world.oauth.revoke(signed_in.grant)
    assert len(world.network.requests) == asked


async def test_tokens_are_revoked_when_the_wait_for_the_rest_is_cancelled(world: SignInWorld) -> None:
    pending, url = await world.start()
    callback = world.network.approve(url, account=world.alice)
    arrived = world.network.hang(f"{world.network.plc_url}/{world.alice.did}")
    finishing = asyncio.create_task(world.finish(pending, callback))
    waiting = asyncio.create_task(arrived.wait())
    await asyncio.wait({finishing, waiting}, return_when=asyncio.FIRST_COMPLETED)
    assert world.issuer.tokens
    assert arrived.is_set()
    finishing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await finishing
    assert world.issuer.tokens == {}


async def test_tokens_can_be_revoked_when_the_directory_is_down(world: SignInWorld) -> None:
    pending, url = await world.start()
    callback = world.network.approve(url, account=world.alice)
    world.network.unplug(world.network.plc_url)
    with pytest.raises(SignInFailed) as raised:
        await world.oauth.finish(pending, params_of(callback))
    assert isinstance(raised.value.error, ServerUnreachable)
    await world.oauth.revoke(raised.value.grant)
    assert world.issuer.revoked
    assert world.issuer.tokens == {}
