"""DPoP proofs and the nonce dance, without a network; PKCE, whose digest they share. RFC vectors."""

from collections.abc import Generator

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import ECKey

from sidecar.atproto.oauth import pkce
from sidecar.atproto.oauth.dpop import DpopAuth, generate_dpop_key, proof

URL = "https://pds.net/oauth/par"
KEY = ECKey.generate_key("P-256")
NOW = 1_800_000_000.9
RFC_9449_KEY: dict[str, str | list[str]] = {
    "kty": "EC",
    "crv": "P-256",
    "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
    "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA",
}

Flow = Generator[httpx.Request, httpx.Response, None]


def claims(text: str | httpx.Request) -> dict[str, object]:
    if isinstance(text, httpx.Request):
        text = text.headers["dpop"]
    return dict(jwt.decode(text, KEY, algorithms=["ES256"]).claims)


def dpop(nonce: str | None = None) -> DpopAuth:
    bodies = iter(["1", "2", "3"])
    return DpopAuth(KEY, nonce=nonce, form=lambda: {"try": next(bodies)}, now=lambda: NOW)


def begin(auth: DpopAuth) -> tuple[Flow, httpx.Request]:
    flow = auth.auth_flow(httpx.Request("POST", URL, headers={"X-Kept": "yes"}, extensions={"limit": 5}))
    return flow, next(flow)


def answer(status: int = 400, nonce: str | None = "n1", body: object = None) -> httpx.Response:
    headers = {} if nonce is None else {"DPoP-Nonce": nonce}
    return httpx.Response(status, headers=headers, json=body or {"error": "use_dpop_nonce"})


def test_the_challenge_is_that_of_rfc_7636() -> None:
    verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    assert pkce.challenge(verifier) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def test_verifiers_are_long_and_all_different() -> None:
    verifiers = {pkce.create_verifier() for _ in range(50)}
    assert len(verifiers) == 50
    assert min(map(len, verifiers)) >= 43


def test_the_thumbprint_is_that_of_rfc_9449() -> None:
    assert ECKey.import_key(RFC_9449_KEY).thumbprint() == "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"


def test_the_token_hash_is_that_of_rfc_9449() -> None:
    token = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"
    assert claims(proof(KEY, "GET", URL, now=NOW, access_token=token))["ath"] == (
        "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"
    )


def test_a_proof_names_the_request_without_query_and_fragment() -> None:
    text = proof(KEY, "POST", URL + "?a=b#c", now=NOW, nonce="n0")
    assert jwt.decode(text, KEY, algorithms=["ES256"]).header == {
        "typ": "dpop+jwt",
        "alg": "ES256",
        "jwk": KEY.as_dict(private=False),
    }
    found = claims(text)
    assert found.pop("jti")
    assert found == {"htm": "POST", "htu": URL, "iat": int(NOW), "nonce": "n0"}


def test_a_proof_shows_only_the_public_half() -> None:
    key = ECKey.import_key(generate_dpop_key())
    header = jwt.decode(proof(key, "POST", URL, now=NOW), key, algorithms=["ES256"]).header
    assert set(header["jwk"]) == {"kty", "crv", "x", "y"}


def test_a_good_answer_ends_the_flow_and_its_nonce_is_learnt() -> None:
    auth = dpop("n0")
    flow, first = begin(auth)
    assert claims(first)["nonce"] == "n0"
    with pytest.raises(StopIteration):
        flow.send(answer(201, "n1", {"request_uri": "urn:x"}))
    assert auth.nonce == "n1"


@pytest.mark.parametrize("status", [400, 401])
def test_a_challenge_is_met_once_with_everything_fresh(status: int) -> None:
    auth = dpop()
    flow, first = begin(auth)
    assert "nonce" not in claims(first)
    second = flow.send(answer(status, "n1"))
    assert claims(second)["nonce"] == "n1"
    assert claims(second)["jti"] != claims(first)["jti"]
    assert (first.content, second.content) == (b"try=1", b"try=2")
    assert second.headers["content-length"] == "5"
    assert (second.headers["x-kept"], second.extensions["limit"]) == ("yes", 5)
    with pytest.raises(StopIteration):
        flow.send(answer(status, "n2"))  # a second challenge is an answer
    assert auth.nonce == "n2"


@pytest.mark.parametrize(
    "response",
    [
        answer(nonce="n0"),
        answer(nonce=None),
        answer(nonce=""),
        answer(nonce='no "nonce"'),
        answer(nonce="n" * 513),
        answer(200),
        answer(500),
        answer(body={"error": "invalid_grant"}),
        answer(body=["use_dpop_nonce"]),
        httpx.Response(400, headers={"DPoP-Nonce": "n1"}, content=b"<html>"),
        httpx.Response(
            400, headers=[("DPoP-Nonce", "n1"), ("DPoP-Nonce", "n2")], json={"error": "use_dpop_nonce"}
        ),
    ],
)
def test_without_a_challenge_and_a_new_nonce_there_is_no_second_try(response: httpx.Response) -> None:
    flow, _ = begin(dpop("n0"))
    with pytest.raises(StopIteration):
        flow.send(response)


@given(st.text(max_size=600))
def test_no_nonce_whatever_breaks_the_next_proof(nonce: str) -> None:
    auth = dpop("n0")
    flow, _ = begin(auth)
    raw = [(b"dpop-nonce", nonce.encode("utf-8", "replace"))]
    response = httpx.Response(400, headers=raw, json={"error": "use_dpop_nonce"})
    try:
        second = flow.send(response)
    except StopIteration:
        assert auth.nonce == "n0"
    else:
        assert claims(second)["nonce"] == auth.nonce == nonce
