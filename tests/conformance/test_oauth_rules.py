"""The rules for an ATProto OAuth client, one by one: what must be refused is refused.

Rules about servers are held against our client; rules about clients against the strict server of the tests,
which our client satisfies. The sections: 1 client metadata, 3 discovery, 4 authorization request, 5 callback,
9 known breakages.
"""

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

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
    ForbiddenAddress,
    HostNotFound,
    InvalidCallback,
    InvalidServerMetadata,
    InvalidTokenResponse,
    IssuerMismatch,
    RequestRefused,
    ServerUnreachable,
    UnexpectedResponse,
    WrongAccount,
)
from sidecar.atproto.oauth import client_metadata
from tests.fakes.client_rules import check_client_id, loopback_document
from tests.fakes.refusals import Refused
from tests.fakes.sign_in import CLIENT, KEY, ORIGIN, PDS, SignInWorld, changed, client, params_of

PAR, TOKEN = f"{PDS}/oauth/par", f"{PDS}/oauth/token"
RESOURCE = f"{PDS}/.well-known/oauth-protected-resource"
SERVER = f"{PDS}/.well-known/oauth-authorization-server"
PUBLIC_KEY = {name: value for name, value in KEY.items() if name != "d"}

REFUSED_CLIENT_IDS = {
    "must be https": "http://auth.wiki.net/metadata.json",
    "must have no port": "https://auth.wiki.net:8443/metadata.json",
    "must not name the default port": "https://auth.wiki.net:443/metadata.json",
    "must have a path": "https://auth.wiki.net",
    "must not be the root": "https://auth.wiki.net/",
    "must not end in a slash": "https://auth.wiki.net/metadata/",
    "must have no userinfo": "https://me@auth.wiki.net/metadata.json",
    "must have no fragment": "https://auth.wiki.net/metadata.json#a",
    "must not be an IPv4 address": "https://93.184.216.34/metadata.json",
    "must not be an IPv6 address": "https://[2001:db8::1]/metadata.json",
    "must be a lower-case host": "https://Auth.wiki.net/metadata.json",
    "must have a canonical path": "https://auth.wiki.net/a/../metadata.json",
    "must have no empty segment": "https://auth.wiki.net//metadata.json",
    "must not be a single label": "https://auth/metadata.json",
    **{
        f"must not be under .{tld}": f"https://auth.wiki.{tld}/m"
        for tld in ("test", "local", "localhost", "invalid")
    },
    "must not be under .example": "https://auth.wiki.example/m",
}

REFUSED_DOCUMENTS: dict[str, dict[str, Any]] = {
    "client_id must be the URL it came from": {"client_id": f"{ORIGIN}/auth/client-metadata.json?"},
    "application_type must be web": {"application_type": "native"},
    "grant_types must be there": {"grant_types": None},
    "grant_types must include authorization_code": {"grant_types": ["refresh_token"]},
    "response_types must include code": {"response_types": ["token"]},
    "scope must include atproto": {"scope": "transition:generic"},
    "scope must have no duplicates": {"scope": "atproto atproto"},
    "redirect_uris must not be empty": {"redirect_uris": []},
    "redirect_uris must be https": {"redirect_uris": ["http://auth.wiki.net/auth/callback"]},
    "redirect_uris must have no default port": {"redirect_uris": ["https://auth.wiki.net:443/auth/callback"]},
    "redirect_uris must match exactly": {"redirect_uris": [f"{ORIGIN}/auth/callback/"]},
    "dpop_bound_access_tokens must be there": {"dpop_bound_access_tokens": None},
    "dpop_bound_access_tokens must be true": {"dpop_bound_access_tokens": False},
    "token_endpoint_auth_method must be there": {"token_endpoint_auth_method": None},
    "token_endpoint_auth_method must not be a secret": {"token_endpoint_auth_method": "client_secret_basic"},
    "token_endpoint_auth_signing_alg must be ES256": {"token_endpoint_auth_signing_alg": "RS256"},
    "token_endpoint_auth_signing_alg must be there": {"token_endpoint_auth_signing_alg": None},
    "a public client must have no signing alg": {"token_endpoint_auth_method": "none", "jwks": None},
    "one of jwks and jwks_uri must be there": {"jwks": None},
    "not both of jwks and jwks_uri may be there": {"jwks_uri": f"{ORIGIN}/auth/jwks.json"},
    "jwks must not be empty": {"jwks": {"keys": []}},
    "every key must have a kid": {"jwks": {"keys": [{k: v for k, v in PUBLIC_KEY.items() if k != "kid"}]}},
    "no key may have a d": {"jwks": {"keys": [KEY]}},
    "key_ops may only be verify": {"jwks": {"keys": [{**PUBLIC_KEY, "key_ops": ["sign", "verify"]}]}},
    "client_uri must be on the same host": {"client_uri": "https://wiki.net/"},
    "client_uri must be a parent of client_id": {"client_uri": f"{ORIGIN}/other/"},
    "logo_uri must be https": {"logo_uri": "http://auth.wiki.net/logo.png"},
    "tos_uri must be https": {"tos_uri": "javascript:alert(1)"},
    "policy_uri must be https": {"policy_uri": "data:text/html,hello"},
}

REFUSED_RESOURCES: dict[str, dict[str, Any]] = {
    "resource must be the PDS": {"resource": "https://other.net"},
    "resource must be there": {"resource": None},
    "authorization_servers must be there": {"authorization_servers": None},
    "authorization_servers must not be empty": {"authorization_servers": []},
    "authorization_servers must be one": {"authorization_servers": [PDS, "https://entryway.net"]},
    "authorization_servers must be a list": {"authorization_servers": PDS},
    "authorization_servers must be texts": {"authorization_servers": [{"issuer": PDS}]},
    "an issuer must be https": {"authorization_servers": ["http://pds.net"]},
    "an issuer must have no path": {"authorization_servers": [f"{PDS}/oauth"]},
    "an issuer must have no trailing slash": {"authorization_servers": [f"{PDS}/"]},
    "an issuer must have no userinfo": {"authorization_servers": ["https://me@pds.net"]},
}

REFUSED_SERVERS: dict[str, dict[str, Any]] = {
    "issuer must be there": {"issuer": None},
    "issuer must be the origin fetched": {"issuer": "https://evil.net"},
    "issuer must have no path": {"issuer": f"{PDS}/oauth"},
    "issuer must have no trailing slash": {"issuer": f"{PDS}/"},
    "issuer must have no query": {"issuer": f"{PDS}?a"},
    "issuer must have no fragment": {"issuer": f"{PDS}#a"},
    "issuer must have no userinfo": {"issuer": "https://me@pds.net"},
    "issuer must not name the default port": {"issuer": f"{PDS}:443"},
    "issuer must be https": {"issuer": "http://pds.net"},
    **{
        f"{name} must be {what}": {name: value}
        for name in ("authorization_endpoint", "token_endpoint", "pushed_authorization_request_endpoint")
        for what, value in {
            "there": None,
            "a text": [f"{PDS}/oauth"],
            "https": "http://pds.net/oauth",
            "a web address": "javascript:alert(1)",
            "without userinfo": "https://pds.net@evil.net/oauth",
            "without a fragment": f"{PDS}/oauth#a",
            "without a backslash": "https://pds.net\\@evil.net/oauth",
            "without spaces": f"{PDS}/oauth authorize",
            "of sane length": f"{PDS}/{'o' * 2048}",
        }.items()
    },
    "revocation_endpoint must be https, if there": {"revocation_endpoint": "http://pds.net/oauth/revoke"},
    "response_types must have code": {"response_types_supported": ["token"]},
    "grant_types must have authorization_code": {"grant_types_supported": ["refresh_token"]},
    "grant_types must have refresh_token": {"grant_types_supported": ["authorization_code"]},
    "code_challenge_methods must have S256": {"code_challenge_methods_supported": ["plain"]},
    "code_challenge_methods must be there": {"code_challenge_methods_supported": None},
    "auth_methods must have none": {"token_endpoint_auth_methods_supported": ["private_key_jwt"]},
    "auth_methods must have private_key_jwt": {"token_endpoint_auth_methods_supported": ["none"]},
    "signing algs must have ES256": {"token_endpoint_auth_signing_alg_values_supported": ["RS256"]},
    "signing algs must not have none": {
        "token_endpoint_auth_signing_alg_values_supported": ["ES256", "none"],
    },
    "scopes must have atproto": {"scopes_supported": ["openid"]},
    "scopes must be a list": {"scopes_supported": "atproto"},
    "dpop algs must have ES256": {"dpop_signing_alg_values_supported": ["RS256"]},
    "iss in the response must be promised": {"authorization_response_iss_parameter_supported": None},
    "iss in the response must not be denied": {"authorization_response_iss_parameter_supported": False},
    "iss in the response must be promised with true": {
        "authorization_response_iss_parameter_supported": "true",
    },
    "PAR must be required": {"require_pushed_authorization_requests": False},
    "client metadata must be supported": {"client_id_metadata_document_supported": False},
    "request_uri registration must not be off": {"require_request_uri_registration": False},
    "protected_resources must list the PDS": {"protected_resources": ["https://other.net"]},
}

UNUSABLE_ANSWERS: dict[str, dict[str, Any]] = {
    "a redirect": {"status": 302, "headers": {"location": "https://evil.net/"}},
    "another success": {"status": 201, "json": {}},
    "not found": {"status": 404},
    "HTML": {"status": 200, "html": "<html>"},
    "no JSON": {"status": 200, "content": b"{", "headers": {"content-type": "application/json"}},
    "no object": {"status": 200, "json": ["a"]},
    "too much": {"status": 200, "json": {"a": "b" * 70_000}},
}

REFUSED_REQUESTS: dict[str, dict[str, str | None]] = {
    "response_type must be there": {"response_type": None},
    "response_type must be code": {"response_type": "token"},
    "code_challenge must be there": {"code_challenge": None},
    "code_challenge must be a digest": {"code_challenge": "short"},
    "code_challenge_method must be there": {"code_challenge_method": None},
    "code_challenge_method must not be plain": {"code_challenge_method": "plain"},
    "state must be there": {"state": None},
    "state must not be guessable": {"state": "12345"},
    "redirect_uri must be there": {"redirect_uri": None},
    "redirect_uri must be declared": {"redirect_uri": "https://evil.net/"},
    "scope must be there": {"scope": None},
    "scope must include atproto": {"scope": "transition:generic"},
    "scope must be declared": {"scope": "atproto transition:generic"},
    "prompt must be known": {"prompt": "whatever"},
    "login_hint must have no @": {"login_hint": "@alice.pds.net"},
    "login_hint must be a handle or DID": {"login_hint": "https://pds.net"},
    "nonce must not be there": {"nonce": "n"},
    "request_uri must not be there": {"request_uri": "urn:x"},
}

REFUSED_TOKENS: dict[str, dict[str, Any]] = {
    "access_token must be there": {"access_token": None},
    "access_token must be a text": {"access_token": 5},
    "token_type must be there": {"token_type": None},
    "token_type must be DPoP": {"token_type": "Bearer"},
    "scope must be there": {"scope": None},
    "scope must contain atproto": {"scope": "transition:generic atprotoo"},
    "sub must be there": {"sub": None},
    "sub must be a DID": {"sub": "alice.pds.net"},
    "sub must be plc or web": {"sub": "did:key:zQ3shunBKsXixLxKtC5qeSG9E4J5RkGN57im31pcTzbNQnm5w"},
    "sub must be a whole DID": {"sub": "did:plc:short"},
    "sub must have nothing trailing": {"sub": "did:web:bob.net\n"},
}


def table(rules: dict[str, Any]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("rule", [pytest.param(value, id=name) for name, value in rules.items()])


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


# 1. Client metadata


@table(REFUSED_CLIENT_IDS)
def test_section_1_client_id(rule: str) -> None:
    with pytest.raises(ValueError, match=r"client_id|https"):
        client_metadata(client(client_id=rule, client_uri=""))
    with pytest.raises(Refused):
        check_client_id(rule)


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


CALLBACK_FAULTS: dict[str, tuple[dict[str, str | None], type[AtprotoError]]] = {
    "state must be there": ({"state": None}, InvalidCallback),
    "state must be ours": ({"state": "x" * 43}, InvalidCallback),
    "state must be ours, even if odd": ({"state": "é\udcff"}, InvalidCallback),
    "iss must be there": ({"iss": None}, InvalidCallback),
    "iss must be the issuer's": ({"iss": "https://evil.net"}, IssuerMismatch),
    "iss must be exactly the issuer's": ({"iss": f"{PDS}/"}, IssuerMismatch),
    "iss must not be empty": ({"iss": ""}, IssuerMismatch),
    "iss must be there on errors": ({"code": None, "error": "access_denied", "iss": None}, InvalidCallback),
    "iss must be right on errors": (
        {"code": None, "error": "access_denied", "iss": "https://evil.net"},
        IssuerMismatch,
    ),
    "code must be there": ({"code": None}, InvalidCallback),
    "code must not be empty": ({"code": ""}, InvalidCallback),
    "code must be of RFC 6749's alphabet": ({"code": "a\udcffb"}, InvalidCallback),
    "code must be of sane length": ({"code": "a" * 5000}, InvalidCallback),
    "an error wins over a code": ({"error": "access_denied"}, AccessDenied),
    "server_error": ({"error": "server_error"}, ServerUnreachable),
    "temporarily_unavailable": ({"error": "temporarily_unavailable"}, ServerUnreachable),
    "invalid_scope": ({"error": "invalid_scope"}, AuthorizationRefused),
    "login_required": ({"error": "login_required"}, AuthorizationRefused),
    "no error's text is trusted": ({"error": "\r\nSet-Cookie: a=b", "code": None}, AuthorizationRefused),
}


@table(CALLBACK_FAULTS)
async def test_section_5_callback(
    world: SignInWorld, rule: tuple[dict[str, str | None], type[AtprotoError]]
) -> None:
    changes, expected = rule
    pending, params = await callback_of(world, **changes)
    with pytest.raises(expected) as raised:
        await world.oauth.finish(pending, params)
    assert str(raised.value).isprintable()
    assert not world.network.asked(PDS, "/oauth/token")  # no code goes anywhere before the issuer is sure


@pytest.mark.parametrize("name", ["state", "iss", "code", "anything"])
async def test_section_5_no_parameter_twice(world: SignInWorld, name: str) -> None:
    pending, params = await callback_of(world)
    value = dict(params).get(name, "a")
    extra = [(name, value)] if name != "anything" else [(name, "a"), (name, "b")]
    with pytest.raises(InvalidCallback):
        await world.oauth.finish(pending, [*params, *extra])


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
    ],
)
async def test_section_5_token_request(world: SignInWorld, changes: dict[str, str | None]) -> None:
    pending, params = await callback_of(world)
    world.network.rewrite[TOKEN] = rewritten(**changes)
    with pytest.raises(AuthorizationRefused):
        await world.oauth.finish(pending, params)
    assert world.issuer.tokens == {}


async def test_section_5_a_replayed_code_signs_nobody_in(world: SignInWorld) -> None:
    pending, params = await callback_of(world)
    await world.oauth.finish(pending, params)
    with pytest.raises(AuthorizationRefused) as raised:
        await world.oauth.finish(pending, params)
    assert raised.value.error == "invalid_grant"


@table(REFUSED_TOKENS)
async def test_section_5_token_response(world: SignInWorld, rule: dict[str, Any]) -> None:
    pending, params = await callback_of(world)
    world.issuer.token_response = rule
    with pytest.raises(InvalidTokenResponse):
        await world.oauth.finish(pending, params)
    if "access_token" not in rule:
        assert world.issuer.tokens == {}  # section 5.7: revoked


@table({name: rule for name, rule in UNUSABLE_ANSWERS.items() if rule["status"] == 200})
async def test_section_5_token_response_is_json(world: SignInWorld, rule: dict[str, Any]) -> None:
    pending, params = await callback_of(world)
    world.network.answer(TOKEN, **rule)
    with pytest.raises((InvalidTokenResponse, UnexpectedResponse)):
        await world.oauth.finish(pending, params)


@pytest.mark.parametrize("status", [201, 204, 302])
async def test_section_5_token_response_is_200(world: SignInWorld, status: int) -> None:
    pending, params = await callback_of(world)
    world.network.answer(TOKEN, status, json={"access_token": "a"})
    with pytest.raises(UnexpectedResponse):
        await world.oauth.finish(pending, params)


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
        await world.oauth.finish(pending, params)
    assert len(world.issuer.revoked) == 1


async def test_section_5_the_pds_must_still_name_the_issuer(world: SignInWorld) -> None:
    pending, params = await callback_of(world)
    world.pds.metadata["authorization_servers"] = [world.network.add_issuer("https://evil.net").origin]
    with pytest.raises(IssuerMismatch):
        await world.oauth.finish(pending, params)


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
