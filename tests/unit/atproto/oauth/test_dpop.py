"""DPoP proofs and the nonce dance, without a network; PKCE, whose digest they share. RFC vectors."""

from collections.abc import Generator

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import ECKey

from sidecar.atproto.oauth import dpop as module
from sidecar.atproto.oauth import pkce
from sidecar.atproto.oauth.dpop import DpopAuth, Nonces, generate_dpop_key, proof

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


def known(nonce: str | None = None) -> Nonces:
    """As they are once the server has said this one."""
    nonces = Nonces()
    nonces.learn(httpx.URL(URL), answer(nonce=nonce))
    return nonces


def begin(nonces: Nonces, url: str = URL) -> tuple[Flow, httpx.Request]:
    bodies = iter(["1", "2", "3"])
    auth = DpopAuth(KEY, nonces=nonces, form=lambda: {"try": next(bodies)}, now=lambda: NOW)
    flow = auth.auth_flow(httpx.Request("POST", url, headers={"X-Kept": "yes"}, extensions={"limit": 5}))
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
    assert found == {"htm": "POST", "htu": URL, "iat": int(NOW) - 5, "nonce": "n0"}


def test_a_proof_shows_only_the_public_half() -> None:
    key = ECKey.import_key(generate_dpop_key())
    header = jwt.decode(proof(key, "POST", URL, now=NOW), key, algorithms=["ES256"]).header
    assert set(header["jwk"]) == {"kty", "crv", "x", "y"}


def test_a_good_answer_ends_the_flow_and_its_nonce_is_learnt() -> None:
    nonces = known("n0")
    flow, first = begin(nonces)
    assert claims(first)["nonce"] == "n0"
    with pytest.raises(StopIteration):
        flow.send(answer(201, "n1", {"request_uri": "urn:x"}))
    assert nonces.of(httpx.URL(URL)) == "n1"


@pytest.mark.parametrize("status", [400, 401])
def test_a_challenge_is_met_once_with_everything_fresh(status: int) -> None:
    nonces = known()
    flow, first = begin(nonces)
    assert "nonce" not in claims(first)
    second = flow.send(answer(status, "n1"))
    assert claims(second)["nonce"] == "n1"
    assert claims(second)["jti"] != claims(first)["jti"]
    assert (first.content, second.content) == (b"try=1", b"try=2")
    assert second.headers["content-length"] == "5"
    assert (second.headers["x-kept"], second.extensions["limit"]) == ("yes", 5)
    with pytest.raises(StopIteration):
        flow.send(answer(status, "n2"))  # a second challenge is an answer
    assert nonces.of(httpx.URL(URL)) == "n2"


def test_a_challenge_is_met_with_its_own_nonce_whatever_another_sign_in_learns_meanwhile() -> None:
    nonces = known("n0")
    flow, _ = begin(nonces)
    assert claims(flow.send(answer(nonce="n1")))["nonce"] == "n1"
    flow, _ = begin(nonces)
    nonces.learn(httpx.URL(URL), answer(nonce="n2"))
    with pytest.raises(StopIteration):
        flow.send(answer(nonce="n1"))  # the very one that was sent


def test_a_nonce_goes_to_its_own_origin_only() -> None:
    nonces = known("n0")
    assert claims(begin(nonces, "https://pds.net/oauth/token")[1])["nonce"] == "n0"
    for other in (
        "https://other.net/oauth/par",
        "https://pds.net:8443/oauth/par",
        "http://pds.net/oauth/par",
    ):
        assert "nonce" not in claims(begin(nonces, other)[1])


@pytest.mark.parametrize(
    ("age", "known_still"),
    [(0, True), (59.9, True), (60, False), (86400, False), (-1, False), (-86400, False)],
)
def test_a_nonce_lives_for_a_minute_by_a_clock_that_may_be_set_back(age: float, known_still: bool) -> None:
    time = [NOW]
    nonces = Nonces(now=lambda: time[0])
    nonces.learn(httpx.URL(URL), answer(nonce="n0"))
    time[0] += age
    assert (nonces.of(httpx.URL(URL)) == "n0") is known_still


def test_a_refused_nonce_is_forgotten_but_not_a_newer_one_of_another_sign_in() -> None:
    nonces = known("n0")
    nonces.forget(httpx.URL(URL), "n0")
    assert nonces.of(httpx.URL(URL)) is None
    nonces = known("n1")
    for nonce in ("n0", None):
        nonces.forget(httpx.URL(URL), nonce)
    assert nonces.of(httpx.URL(URL)) == "n1"


def test_the_nonces_of_so_many_servers_are_remembered_and_the_oldest_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "SERVERS", 2)
    nonces, urls = Nonces(), [httpx.URL(f"https://{name}.net/") for name in "abc"]
    for url in (*urls[:2], urls[0], urls[2]):
        nonces.learn(url, answer(nonce=f"of-{url.host}"))
    assert [nonces.of(url) for url in urls] == ["of-a.net", None, "of-c.net"]


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
    flow, _ = begin(known("n0"))
    with pytest.raises(StopIteration):
        flow.send(response)


@given(st.text(max_size=600))
def test_no_nonce_whatever_breaks_the_next_proof(nonce: str) -> None:
    nonces = known("n0")
    flow, _ = begin(nonces)
    raw = [(b"dpop-nonce", nonce.encode("utf-8", "replace"))]
    response = httpx.Response(400, headers=raw, json={"error": "use_dpop_nonce"})
    try:
        second = flow.send(response)
    except StopIteration:
        assert nonces.of(httpx.URL(URL)) is None  # it was refused, and no other was named
    else:
        assert claims(second)["nonce"] == nonces.of(httpx.URL(URL)) == nonce
