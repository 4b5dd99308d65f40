"""The rules for an ATProto OAuth client, one by one: what must be refused is refused. Sections 4 and 5.

Rules about servers are held against our client; rules about clients against the strict server of the tests,
which our client satisfies (test_strict_server.py says how strict it is).
"""

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import pytest
from joserfc import jws
from joserfc.jwk import ECKey

from sidecar.atproto.errors import (
    AccessDenied,
    AtprotoError,
    AuthorizationRefused,
    ClientRefused,
    DidNotFound,
    InvalidCallback,
    InvalidServerMetadata,
    InvalidTokenResponse,
    IssuerMismatch,
    UnexpectedResponse,
    WrongAccount,
)
from sidecar.atproto.oauth import SignInFailed
from tests.fakes.oauth_faults import (
    CALLBACK_FAULTS,
    REFUSED_REQUESTS,
    REFUSED_TOKENS,
    UNUSABLE_ANSWERS,
    table,
)
from tests.fakes.refusals import Refused
from tests.fakes.sign_in import KEY, ORIGIN, PDS, SignInWorld, changed, params_of

PAR, TOKEN = f"{PDS}/oauth/par", f"{PDS}/oauth/token"
RESOURCE = f"{PDS}/.well-known/oauth-protected-resource"
SERVER = f"{PDS}/.well-known/oauth-authorization-server"


@pytest.fixture
def world() -> SignInWorld:
    return SignInWorld()


def rewritten(**changes: str | None) -> Callable[[httpx.Request], httpx.Request]:
    """Another form in the same request; None leaves a parameter out."""

    def rewrite(request: httpx.Request) -> httpx.Request:
        form = {**dict(parse_qsl(request.content.decode())), **changes}
        body = urlencode({name: value for name, value in form.items() if value is not None}).encode()
        headers = {**request.headers, "content-length": str(len(body))}
        return httpx.Request(request.method, request.url, headers=headers, content=body)

    return rewrite


def forms(world: SignInWorld, url: str) -> list[dict[str, str]]:
    parts = urlsplit(url)
    asked = world.network.asked(f"{parts.scheme}://{parts.netloc}", parts.path)
    return [dict(parse_qsl(request.content.decode())) for request in asked]


def jwt_of(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    parsed = jws.extract_compact(token.encode())
    return dict(parsed.headers()), httpx.Response(200, content=parsed.payload).json()


# 4. Authorization request


@table(REFUSED_REQUESTS)
async def test_section_4_pushed_request(world: SignInWorld, rule: dict[str, str | None]) -> None:
    world.network.rewrite[PAR] = rewritten(**rule)
    with pytest.raises(AuthorizationRefused):
        await world.start()
    assert world.issuer.pushed == []


async def test_section_4_the_pushed_request_is_a_form_without_surplus(world: SignInWorld) -> None:
    await world.start()
    assert set(world.issuer.pushed[0]) == {
        "client_id",
        "response_type",
        "code_challenge",
        "code_challenge_method",
        "state",
        "redirect_uri",
        "scope",
        "login_hint",
        "client_assertion",
        "client_assertion_type",
    }


async def test_section_4_the_browser_carries_client_id_and_request_uri_only(world: SignInWorld) -> None:
    _, url = await world.start()
    assert [name for name, _ in params_of(url)] == ["client_id", "request_uri"]


async def test_section_4_a_par_response_may_say_200(world: SignInWorld) -> None:
    world.network.answer(PAR, 200, json={"request_uri": "urn:x", "expires_in": 60})
    _, url = await world.start()
    assert dict(params_of(url))["request_uri"] == "urn:x"


@table(
    {name: rule for name, rule in UNUSABLE_ANSWERS.items() if name not in ("not found", "another success")}
    | {"no request_uri": {"status": 201, "json": {"expires_in": 300}}}
)
async def test_section_4_par_response(world: SignInWorld, rule: dict[str, Any]) -> None:
    world.network.answer(PAR, **rule)
    with pytest.raises(UnexpectedResponse):
        await world.start()


async def test_section_4_state_pkce_and_dpop_key_are_new_each_time(world: SignInWorld) -> None:
    records = [(await world.start())[0] for _ in range(5)]
    assert len({record.state for record in records}) == 5
    assert len({record.code_verifier for record in records}) == 5
    assert len({record.dpop_key["d"] for record in records}) == 5
    assert KEY["d"] not in {record.dpop_key["d"] for record in records}
    assert min(len(record.code_verifier) for record in records) >= 43
    assert min(len(record.state) for record in records) >= 43  # 256 bits


async def test_section_4_dpop_the_retry_has_a_fresh_proof_and_a_fresh_assertion(world: SignInWorld) -> None:
    await world.start()
    first, second = world.network.asked(PDS, "/oauth/par")
    proofs = [jwt_of(request.headers["dpop"])[1] for request in (first, second)]
    assertions = [jwt_of(form["client_assertion"])[1] for form in forms(world, PAR)]
    assert "nonce" not in proofs[0]
    assert proofs[1]["nonce"]
    assert proofs[0]["jti"] != proofs[1]["jti"]
    assert assertions[0]["jti"] != assertions[1]["jti"]


async def test_section_4_dpop_the_nonce_is_learnt_from_successes_too(world: SignInWorld) -> None:
    world.issuer.nonces.strict = True  # none but the one in the answer to PAR is good
    await world.sign_in()
    assert world.issuer.nonces.challenges == 1
    assert len(world.network.asked(PDS, "/oauth/token")) == 1


async def test_section_4_dpop_the_nonce_of_a_server_is_known_to_the_next_sign_in(world: SignInWorld) -> None:
    await world.sign_in()
    bob = world.network.add_account("bob.pds.net")
    await world.sign_in("bob.pds.net", bob)
    assert world.issuer.nonces.challenges == 1  # the very first request
    assert len(world.network.asked(PDS, "/oauth/par")) == 3


async def test_section_4_dpop_no_server_is_sent_the_nonce_of_another(world: SignInWorld) -> None:
    token = "https://tokens.net/oauth/token"
    world.issuer.metadata["token_endpoint"] = token
    world.network.serve("https://tokens.net", world.issuer.handle)
    await world.sign_in()
    first, second = world.network.asked("https://tokens.net")
    assert "nonce" not in jwt_of(first.headers["dpop"])[1]
    assert "nonce" in jwt_of(second.headers["dpop"])[1]


async def test_section_4_dpop_a_nonce_that_expired_meanwhile_is_renewed(world: SignInWorld) -> None:
    pending, url = await world.start()
    world.issuer.nonces.expire()
    callback = world.network.approve(url, account=world.alice)
    assert (await world.finish(pending, callback)).identity.did == world.alice.did
    assert len(world.network.asked(PDS, "/oauth/token")) == 2


async def test_section_4_dpop_a_challenge_may_say_401(world: SignInWorld) -> None:
    world.issuer.nonces.status = 401
    assert (await world.sign_in()).identity.did == world.alice.did


@pytest.mark.parametrize(("fault", "tries"), [("silent", 1), ("garbled", 1), ("stubborn", 2), ("endless", 2)])
async def test_section_4_dpop_one_retry_and_only_with_a_new_nonce(
    world: SignInWorld, fault: Any, tries: int
) -> None:
    world.issuer.nonces.fault = fault
    with pytest.raises(AuthorizationRefused):
        await world.start()
    assert len(world.network.asked(PDS, "/oauth/par")) == tries


async def test_section_4_dpop_the_key_is_the_same_from_par_on(world: SignInWorld) -> None:
    signed_in = await world.sign_in()
    await world.oauth.revoke(signed_in.grant)
    asked = [r for r in world.network.requests if "dpop" in r.headers]
    keys = {ECKey.import_key(jwt_of(request.headers["dpop"])[0]["jwk"]).thumbprint() for request in asked}
    assert len(asked) == 4
    assert keys == {ECKey.import_key(signed_in.grant.dpop_key).thumbprint()}


async def test_section_4_dpop_no_ath_and_no_iss_toward_the_issuer(world: SignInWorld) -> None:
    signed_in = await world.sign_in()
    await world.oauth.revoke(signed_in.grant)
    for request in world.network.requests:
        if "dpop" in request.headers:
            assert not {"ath", "iss"} & set(jwt_of(request.headers["dpop"])[1])


@pytest.mark.parametrize("skew", [-50.0, 0.0, 0.04, 4.0])
async def test_section_4_assertion_a_clock_that_is_a_little_off_fails_nobody(skew: float) -> None:
    world = SignInWorld(skew=skew)
    assert (await world.sign_in()).identity.did == world.alice.did


@pytest.mark.parametrize("skew", [-80.0, 6.0])
async def test_section_4_assertion_a_clock_that_is_far_off_is_refused(skew: float) -> None:
    world = SignInWorld(skew=skew)
    with pytest.raises(ClientRefused):
        await world.start()


async def test_section_4_assertion_the_same_key_for_par_and_token(world: SignInWorld) -> None:
    pending, url = await world.start()
    await world.finish(pending, world.network.approve(url, account=world.alice))
    kids = {jwt_of(form["client_assertion"])[0]["kid"] for form in forms(world, PAR) + forms(world, TOKEN)}
    assert kids == {pending.kid} == {KEY["kid"]}


async def test_section_4_assertion_is_for_the_issuer_whatever_the_endpoint(world: SignInWorld) -> None:
    await world.sign_in()
    for form in forms(world, PAR) + forms(world, TOKEN):
        assert jwt_of(form["client_assertion"])[1]["aud"] == PDS


# 5. Callback


async def callback_of(world: SignInWorld, **changes: str | None) -> Any:
    pending, url = await world.start()
    return pending, changed(world.network.approve(url, account=world.alice), **changes)


@table(CALLBACK_FAULTS)
async def test_section_5_callback(
    world: SignInWorld, rule: tuple[dict[str, str | None], type[AtprotoError]]
) -> None:
    changes, expected = rule
    pending, params = await callback_of(world, **changes)
    with pytest.raises(expected) as raised:
        await world.finish(pending, params)
    assert str(raised.value).isprintable()
    assert not world.network.asked(PDS, "/oauth/token")  # no code goes anywhere before the issuer is sure


@pytest.mark.parametrize("name", ["state", "iss", "code", "anything"])
async def test_section_5_no_parameter_twice(world: SignInWorld, name: str) -> None:
    pending, params = await callback_of(world)
    value = dict(params).get(name, "a")
    extra = [(name, value)] if name != "anything" else [(name, "a"), (name, "b")]
    with pytest.raises(InvalidCallback):
        await world.finish(pending, [*params, *extra])


async def test_section_5_denied(world: SignInWorld) -> None:
    pending, url = await world.start()
    with pytest.raises(AccessDenied):
        await world.finish(pending, world.network.deny(url))


@pytest.mark.parametrize(
    "changes",
    [
        {"grant_type": "refresh_token"},
        {"code": None},
        {"redirect_uri": f"{ORIGIN}/other"},
        {"redirect_uri": None},
        {"code_verifier": "x" * 64},
        {"code_verifier": None},
        {"scope": "atproto"},
    ],
)
async def test_section_5_token_request(world: SignInWorld, changes: dict[str, str | None]) -> None:
    pending, params = await callback_of(world)
    world.network.rewrite[TOKEN] = rewritten(**changes)
    with pytest.raises(AuthorizationRefused):
        await world.finish(pending, params)
    assert world.issuer.tokens == {}


@pytest.mark.parametrize("how", ["no client_id", "another client_id", "no assertion", "the assertion of PAR"])
async def test_section_5_the_token_request_is_authenticated_anew(world: SignInWorld, how: str) -> None:
    pending, params = await callback_of(world)
    changes: dict[str, dict[str, str | None]] = {
        "no client_id": {"client_id": None},
        "another client_id": {"client_id": "https://evil.net/client-metadata.json"},
        "no assertion": {"client_assertion": None},
        "the assertion of PAR": {"client_assertion": forms(world, PAR)[-1]["client_assertion"]},
    }
    world.network.rewrite[TOKEN] = rewritten(**changes[how])
    with pytest.raises(ClientRefused):
        await world.finish(pending, params)
    assert world.issuer.tokens == {}


async def test_section_5_a_replayed_code_signs_nobody_in(world: SignInWorld) -> None:
    pending, params = await callback_of(world)
    await world.finish(pending, params)
    with pytest.raises(AuthorizationRefused) as raised:
        await world.finish(pending, params)
    assert raised.value.error == "invalid_grant"


@table(REFUSED_TOKENS)
async def test_section_5_token_response(world: SignInWorld, rule: dict[str, Any]) -> None:
    pending, params = await callback_of(world)
    world.issuer.token_response = rule
    with pytest.raises(InvalidTokenResponse):
        await world.finish(pending, params)
    if "access_token" not in rule:
        assert world.issuer.tokens == {}  # section 5.7: revoked


def as_type(answer: httpx.Response, content_type: str) -> httpx.Response:
    return httpx.Response(200, headers={"content-type": content_type}, content=answer.content)


def with_surplus(answer: httpx.Response, member: bytes) -> httpx.Response:
    content = answer.content.replace(b"{", b"{" + member + b",", 1)
    return httpx.Response(200, headers={"content-type": "application/json"}, content=content)


@table(
    {
        "another type": lambda answer: as_type(answer, "text/json"),
        "another status": lambda answer: httpx.Response(206, json=answer.json()),
        "a doubled member": lambda answer: with_surplus(answer, b'"scope": "atproto"'),
        "a number that is none": lambda answer: with_surplus(answer, b'"expires": NaN'),
        "half a character": lambda answer: with_surplus(answer, b'"refresh_token": "\\ud800"'),
    }
)
async def test_section_5_tokens_in_an_unusable_answer_are_revoked_too(
    world: SignInWorld, rule: Callable[[httpx.Response], httpx.Response]
) -> None:
    pending, params = await callback_of(world)

    async def unusable(request: httpx.Request) -> httpx.Response:
        answer = await world.issuer.handle(request)
        return rule(answer) if answer.is_success else answer

    world.network.handle(TOKEN, unusable)
    with pytest.raises((InvalidTokenResponse, UnexpectedResponse)):
        await world.finish(pending, params)
    assert world.issuer.revoked
    assert world.issuer.tokens == {}


async def test_section_5_tokens_of_a_failed_sign_in_are_the_callers_to_revoke(world: SignInWorld) -> None:
    """After the answer to the browser; the issuer may be as slow as it likes."""
    pending, params = await callback_of(world)
    world.pds.metadata["authorization_servers"] = ["https://evil.net", PDS]
    with pytest.raises(SignInFailed) as raised:
        await world.oauth.finish(pending, params)
    assert isinstance(raised.value.error, InvalidServerMetadata)
    assert world.issuer.revoked == []
    assert raised.value.grant.access_token in world.issuer.tokens
    assert raised.value.grant.access_token not in repr(raised.value)


async def test_section_5_where_no_tokens_came_there_is_nothing_to_revoke(world: SignInWorld) -> None:
    pending, url = await world.start()
    with pytest.raises(AccessDenied):
        await world.oauth.finish(pending, params_of(world.network.deny(url)))
    world.issuer.refusals["token"] = Refused("invalid_grant", "code unknown")
    pending, params = await callback_of(world)
    with pytest.raises(AuthorizationRefused):
        await world.oauth.finish(pending, params)


@table({name: rule for name, rule in UNUSABLE_ANSWERS.items() if rule["status"] == 200})
async def test_section_5_token_response_is_json(world: SignInWorld, rule: dict[str, Any]) -> None:
    pending, params = await callback_of(world)
    world.network.answer(TOKEN, **rule)
    with pytest.raises((InvalidTokenResponse, UnexpectedResponse)):
        await world.finish(pending, params)


@pytest.mark.parametrize("status", [204, 206, 302])
async def test_section_5_token_response_is_a_success(world: SignInWorld, status: int) -> None:
    pending, params = await callback_of(world)
    world.network.answer(TOKEN, status, json={"access_token": "a"})
    with pytest.raises(UnexpectedResponse):
        await world.finish(pending, params)


@pytest.mark.parametrize(
    "answer",
    [
        {"scope": "transition:generic atproto"},
        {"expires_in": None},
        {"token_type": "dpop"},
        {"unknown": "member"},
    ],
)
async def test_section_5_what_servers_may_vary(world: SignInWorld, answer: dict[str, Any]) -> None:
    world.issuer.token_response = answer
    assert (await world.sign_in()).identity.did == world.alice.did


async def test_section_5_another_account_than_asked_for(world: SignInWorld) -> None:
    bob = world.network.add_account("bob.pds.net")
    with pytest.raises(WrongAccount):
        await world.sign_in("alice.pds.net", bob)
    assert world.issuer.tokens == {}


async def test_section_5_an_issuer_can_not_vouch_for_an_account_elsewhere(world: SignInWorld) -> None:
    world.network.add_account("mallory.evil.net", pds="https://evil.net")
    evil = world.network.issuers["https://evil.net"]
    evil.token_response = {"sub": world.alice.did}
    pending, url = await world.start("https://evil.net")
    with pytest.raises(IssuerMismatch):
        await world.finish(pending, world.network.approve(url, account="mallory.evil.net"))
    assert evil.tokens == {}


async def test_section_5_sub_is_resolved_afresh(world: SignInWorld) -> None:
    await world.sign_in()  # Alice is remembered now
    pending, url = await world.start()
    callback = world.network.approve(url, account=world.alice)
    world.alice.pds = world.network.add_pds("https://new.net").origin  # migrated mid-flow
    with pytest.raises(IssuerMismatch):
        await world.finish(pending, callback)


async def test_section_5_an_account_that_is_gone(world: SignInWorld) -> None:
    pending, params = await callback_of(world)
    del world.network.accounts[world.alice.did]
    with pytest.raises(DidNotFound):
        await world.finish(pending, params)
    assert len(world.issuer.revoked) == 1


async def test_section_5_the_pds_must_still_name_the_issuer(world: SignInWorld) -> None:
    pending, params = await callback_of(world)
    world.pds.metadata["authorization_servers"] = [world.network.add_issuer("https://evil.net").origin]
    with pytest.raises(IssuerMismatch):
        await world.finish(pending, params)
