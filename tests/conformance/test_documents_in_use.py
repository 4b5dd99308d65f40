"""Documents and answers that are large, or begin with a byte order mark (`tests/fakes/habits.py`)."""

import codecs

import pytest

from sidecar.atproto.errors import AuthorizationRefused, InvalidTokenResponse, UnexpectedResponse
from tests.fakes.refusals import Refused
from tests.fakes.sign_in import PDS, SignInWorld


@pytest.fixture
def world() -> SignInWorld:
    return SignInWorld()


async def test_a_byte_order_mark_before_every_document_and_answer_changes_nothing(world: SignInWorld) -> None:
    world.issuer.habits.byte_order_mark = True
    signed_in = await world.sign_in()
    assert signed_in.identity.did == world.alice.did
    await world.oauth.revoke(signed_in.grant)
    assert world.issuer.tokens == {}


async def test_a_challenge_behind_a_byte_order_mark_is_met(world: SignInWorld) -> None:
    world.issuer.habits.byte_order_mark = True
    world.issuer.nonces.strict = True
    await world.sign_in()
    assert world.issuer.nonces.challenges == 1


async def test_a_refusal_behind_a_byte_order_mark_keeps_its_reason(world: SignInWorld) -> None:
    world.issuer.habits.byte_order_mark = True
    world.issuer.refusals["par"] = Refused("invalid_request", "no such scope")
    with pytest.raises(AuthorizationRefused) as raised:
        await world.start()
    assert raised.value.said == "no such scope"


async def test_tokens_behind_a_byte_order_mark_are_revoked_when_the_rest_is_wrong(world: SignInWorld) -> None:
    world.issuer.habits.byte_order_mark = True
    world.issuer.token_response = {"sub": "alice.pds.net"}
    with pytest.raises(InvalidTokenResponse):
        await world.sign_in()
    assert world.issuer.revoked


@pytest.mark.parametrize("size", [70_000, 511_000])
async def test_documents_of_up_to_512_kb_are_read(world: SignInWorld, size: int) -> None:
    world.issuer.habits.size = size
    assert (await world.sign_in()).identity.did == world.alice.did


async def test_documents_over_512_kb_are_refused(world: SignInWorld) -> None:
    world.issuer.habits.size = 525_000
    with pytest.raises(UnexpectedResponse):
        await world.start()


@pytest.mark.parametrize("size", [70_000, 511_000])
async def test_answers_of_up_to_512_kb_are_read(world: SignInWorld, size: int) -> None:
    world.issuer.par_response = world.issuer.token_response = {"x_padding": "x" * size}
    assert (await world.sign_in()).identity.did == world.alice.did


@pytest.mark.parametrize(
    "content", [codecs.BOM_UTF8 * 2 + b"{}", codecs.BOM_UTF16_LE + "{}".encode("utf-16-le")]
)
async def test_two_marks_or_another_encoding_is_not_json(world: SignInWorld, content: bytes) -> None:
    headers = {"content-type": "application/json"}
    world.network.answer(f"{PDS}/oauth/par", 201, content=content, headers=headers)
    with pytest.raises(UnexpectedResponse):
        await world.start()
