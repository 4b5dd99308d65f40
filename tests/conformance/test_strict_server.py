"""The strict server of the tests is strict: whatever our client could get wrong, it refuses.

A pushed request as our client sends it passes; with one thing changed it doesn't. The rules: section 4 of the
client's (DPoP, RFC 9449; client assertion, RFC 7523), and what `authorize` and `token` promise.
"""

import json
import secrets
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from sidecar.atproto.errors import AuthorizationRefused, ClientRefused
from sidecar.atproto.oauth.dpop import generate_dpop_key
from tests.fakes.refusals import Refused
from tests.fakes.sign_in import CLIENT, KEY, NEXT_KEY, PDS, SignInWorld

PAR = f"{PDS}/oauth/par"
Change = Callable[[dict[str, Any]], None]


def put(name: str, value: object) -> Change:
    return lambda target: target.update({name: value})


def drop(name: str) -> Change:
    return lambda target: target.pop(name)


def shift(name: str, seconds: int) -> Change:
    return lambda target: target.update({name: target[name] + seconds})


def nothing(_: dict[str, Any]) -> None:
    pass


@pytest.fixture
def world() -> SignInWorld:
    return SignInWorld()


async def push(
    world: SignInWorld,
    *,
    proof: Change = nothing,
    proof_header: Change = nothing,
    assertion: Change = nothing,
    assertion_header: Change = nothing,
    client_key: dict[str, Any] = KEY,
    dpop_key: dict[str, Any] | None = None,
    **request: Any,
) -> httpx.Response:
    """A PAR of our own making, right but for what is changed."""
    now = int(world.clock())
    key = ECKey.import_key(dpop_key or generate_dpop_key())
    nonce = world.issuer.nonces.headers()["DPoP-Nonce"]
    header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": key.as_dict(private=False)}
    claims = {"jti": secrets.token_hex(16), "htm": "POST", "htu": PAR, "iat": now, "nonce": nonce}
    proof(claims)
    proof_header(header)
    return await world.issuer.handle(
        httpx.Request(
            "POST",
            PAR,
            headers={"DPoP": jwt.encode(header, claims, key, ["ES256", "ES384"])},
            data=form(now, assertion, assertion_header, client_key),
            **request,
        )
    )


def form(now: int, change: Change, change_header: Change, key: dict[str, Any]) -> dict[str, str]:
    header = {"alg": "ES256", "kid": KEY["kid"]}
    claims = {"iss": CLIENT.client_id, "sub": CLIENT.client_id, "aud": PDS, "jti": secrets.token_hex(16)}
    claims |= {"iat": now - 5, "exp": now + 55}  # type: ignore[dict-item] # numbers beside texts
    change(claims)
    change_header(header)
    return {
        "client_id": CLIENT.client_id,
        "response_type": "code",
        "code_challenge": secrets.token_urlsafe(32),
        "code_challenge_method": "S256",
        "state": secrets.token_urlsafe(32),
        "redirect_uri": CLIENT.redirect_uri,
        "scope": "atproto",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": jwt.encode(header, claims, ECKey.import_key(key), ["ES256"], default_type=None),
    }


async def test_a_right_request_passes(world: SignInWorld) -> None:
    response = await push(world)
    assert (response.status_code, response.json()["expires_in"]) == (201, 300)
    assert response.headers["dpop-nonce"]


@pytest.mark.parametrize(
    "change",
    [
        drop("jti"),
        put("jti", "short"),
        put("htm", "GET"),
        put("htu", PDS),
        put("htu", f"{PAR}?a=b"),
        drop("iat"),
        shift("iat", 61),
        shift("iat", -61),
        put("ath", "x"),
        put("iss", CLIENT.client_id),
    ],
)
async def test_a_proof_with_a_wrong_claim_is_refused(world: SignInWorld, change: Change) -> None:
    response = await push(world, proof=change)
    assert (response.status_code, response.json()["error"]) == (400, "invalid_dpop_proof")


@pytest.mark.parametrize("change", [drop("nonce"), put("nonce", "unknown")])
async def test_a_proof_without_a_good_nonce_is_challenged(world: SignInWorld, change: Change) -> None:
    response = await push(world, proof=change)
    assert (response.status_code, response.json()["error"]) == (400, "use_dpop_nonce")
    assert response.headers["dpop-nonce"]


@pytest.mark.parametrize(
    "change",
    [
        put("typ", "JWT"),
        drop("jwk"),
        put("jwk", ECKey.generate_key("P-256").as_dict(private=False)),
        put("jwk", KEY),
        put("kid", "k"),
    ],
)
async def test_a_proof_with_a_wrong_header_is_refused(world: SignInWorld, change: Change) -> None:
    response = await push(world, proof_header=change)
    assert (response.status_code, response.json()["error"]) == (400, "invalid_dpop_proof")


async def test_a_replayed_proof_is_refused(world: SignInWorld) -> None:
    assert (await push(world, proof=put("jti", "x" * 16))).status_code == 201
    assert (await push(world, proof=put("jti", "x" * 16))).json()["error"] == "invalid_dpop_proof"


async def test_a_dpop_key_of_an_earlier_sign_in_is_refused(world: SignInWorld) -> None:
    key = generate_dpop_key()
    assert (await push(world, dpop_key=key)).status_code == 201
    assert (await push(world, dpop_key=key)).status_code == 400


async def test_a_dpop_key_that_is_one_of_the_clients_is_refused(world: SignInWorld) -> None:
    for key in (KEY, NEXT_KEY):
        assert (await push(world, dpop_key=key)).json()["error"] == "invalid_dpop_proof"


@pytest.mark.parametrize(
    "change",
    [
        put("iss", "https://evil.net/"),
        put("sub", "https://evil.net/"),
        put("aud", "https://evil.net"),
        put("aud", PAR),
        put("aud", [PDS]),
        drop("aud"),
        drop("jti"),
        drop("iat"),
        shift("iat", 6),  # one second in the future
        shift("iat", -56),
        drop("exp"),
        shift("exp", -55),
        shift("exp", 1),
    ],
)
async def test_an_assertion_with_a_wrong_claim_is_refused(world: SignInWorld, change: Change) -> None:
    assert (await push(world, assertion=change)).json()["error"] == "invalid_client"


@pytest.mark.parametrize("change", [drop("kid"), put("kid", "unknown"), put("kid", NEXT_KEY["kid"])])
async def test_an_assertion_without_the_right_kid_is_refused(world: SignInWorld, change: Change) -> None:
    assert (await push(world, assertion_header=change)).json()["error"] == "invalid_client"


async def test_an_assertion_by_another_key_is_refused(world: SignInWorld) -> None:
    assert (await push(world, client_key=NEXT_KEY)).json()["error"] == "invalid_client"


async def test_an_assertion_is_good_for_one_request_even_a_challenged_one(world: SignInWorld) -> None:
    once = put("jti", "y" * 16)
    assert (await push(world, assertion=once, proof=drop("nonce"))).json()["error"] == "use_dpop_nonce"
    assert (await push(world, assertion=once)).json()["error"] == "invalid_client"


async def test_json_is_no_form(world: SignInWorld) -> None:
    request = httpx.Request("POST", PAR, json={"client_id": CLIENT.client_id})
    assert (await world.issuer.handle(request)).status_code == 400


async def test_a_doubled_parameter_is_refused(world: SignInWorld) -> None:
    headers = {"content-type": "application/x-www-form-urlencoded"}
    body = urlencode([("client_id", CLIENT.client_id)] * 2).encode()
    response = await world.issuer.handle(httpx.Request("POST", PAR, headers=headers, content=body))
    assert "twice" in json.loads(response.content)["error_description"]


# The browser's part


async def test_a_request_uri_is_good_for_one_visit(world: SignInWorld) -> None:
    _, url = await world.start()
    world.network.approve(url, account=world.alice)
    with pytest.raises(Refused, match="used"):
        world.network.approve(url, account=world.alice)


async def test_a_request_uri_lives_for_five_minutes(world: SignInWorld) -> None:
    _, url = await world.start()
    world.clock.time += 300
    with pytest.raises(Refused, match="expired"):
        world.network.approve(url, account=world.alice)


@pytest.mark.parametrize("extra", ["&state=s", "&prompt=login"])
async def test_an_authorization_url_with_more_in_it_is_refused(world: SignInWorld, extra: str) -> None:
    _, url = await world.start()
    with pytest.raises(Refused):
        world.network.approve(url + extra, account=world.alice)


async def test_another_clients_request_uri_is_refused(world: SignInWorld) -> None:
    _, url = await world.start()
    with pytest.raises(Refused, match="unknown"):
        world.network.approve(url.replace("auth.wiki.net", "auth.evil.net"), account=world.alice)


async def test_nobody_signs_in_where_they_have_no_account(world: SignInWorld) -> None:
    bob = world.network.add_account("bob.host.net", pds="https://host.net")
    _, url = await world.start()
    with pytest.raises(LookupError):
        world.network.approve(url, account=bob)


# Codes and tokens


async def test_a_code_lives_for_a_minute(world: SignInWorld) -> None:
    pending, url = await world.start()
    callback = world.network.approve(url, account=world.alice)
    world.clock.time += 60
    with pytest.raises(AuthorizationRefused, match="code expired"):
        await world.finish(pending, callback)


async def test_a_replayed_code_ends_the_session_it_opened(world: SignInWorld) -> None:
    pending, url = await world.start()
    callback = world.network.approve(url, account=world.alice)
    await world.finish(pending, callback)
    assert world.issuer.tokens
    with pytest.raises(AuthorizationRefused):
        await world.finish(pending, callback)
    assert world.issuer.tokens == {}


async def test_a_code_is_bound_to_the_dpop_key_of_its_request(world: SignInWorld) -> None:
    (first, url), (second, _) = await world.start(), await world.start()
    stolen = dict(first.to_json(), dpop_key=second.dpop_key)
    with pytest.raises(AuthorizationRefused, match="another DPoP key"):
        await world.finish(first.from_json(stolen), world.network.approve(url, account=world.alice))


async def test_a_code_is_bound_to_the_client_key_of_its_request(world: SignInWorld) -> None:
    pending, url = await world.start()
    other = dict(pending.to_json(), kid=NEXT_KEY["kid"])
    with pytest.raises(AuthorizationRefused, match="another client key"):
        await world.finish(pending.from_json(other), world.network.approve(url, account=world.alice))


async def test_a_removed_key_authenticates_nobody(world: SignInWorld) -> None:
    pending, url = await world.start()
    keys: Any = world.document["jwks"]
    world.document["jwks"] = {"keys": [key for key in keys["keys"] if key["kid"] != pending.kid]}
    with pytest.raises(ClientRefused):
        await world.finish(pending, world.network.approve(url, account=world.alice))


async def test_only_the_declared_grant_brings_a_refresh_token(world: SignInWorld) -> None:
    assert (await world.sign_in()).grant.refresh_token is None
    world.document["grant_types"] = ["authorization_code", "refresh_token"]
    assert (await world.sign_in()).grant.refresh_token is not None
