"""Our own client metadata: what it says, and the clients that can't be made."""

import pytest

from sidecar.atproto.oauth import client_metadata, loopback_client
from tests.fakes.sign_in import CLIENT, ORIGIN, client


def test_a_confidential_client_says_all_that_servers_want_and_no_more() -> None:
    assert CLIENT.keys is not None
    assert client_metadata(CLIENT) == {
        "client_id": f"{ORIGIN}/auth/client-metadata.json",
        "application_type": "web",
        "grant_types": ["authorization_code"],
        "response_types": ["code"],
        "scope": "atproto",
        "redirect_uris": [f"{ORIGIN}/auth/callback"],
        "dpop_bound_access_tokens": True,
        "token_endpoint_auth_method": "private_key_jwt",
        "token_endpoint_auth_signing_alg": "ES256",
        "jwks": CLIENT.keys.public_jwks(),
        "client_name": "Wiki",
        "client_uri": f"{ORIGIN}/",
        "logo_uri": f"{ORIGIN}/logo.png",
        "tos_uri": f"{ORIGIN}/tos",
        "policy_uri": f"{ORIGIN}/policy",
    }


def test_what_is_not_set_is_not_said() -> None:
    bare = client(name="", client_uri="", logo_uri="", tos_uri="", policy_uri="")
    assert not {"client_name", "client_uri", "logo_uri", "tos_uri", "policy_uri"} & set(client_metadata(bare))


def test_with_a_jwks_uri_the_keys_are_only_there() -> None:
    document = client_metadata(client(jwks_uri=f"{ORIGIN}/auth/jwks.json"))
    assert document["jwks_uri"] == f"{ORIGIN}/auth/jwks.json"
    assert "jwks" not in document


@pytest.mark.parametrize(
    "redirect", ["http://127.0.0.1:8080/auth/callback", "http://[::1]/cb", "http://127.0.0.1"]
)
def test_a_loopback_client_is_its_own_document(redirect: str) -> None:
    made = loopback_client(redirect)
    document = client_metadata(made)
    assert made.client_id.startswith("http://localhost?redirect_uri=http%3A%2F%2F")
    assert made.client_id.endswith("&scope=atproto")
    assert document["redirect_uris"] == [redirect]
    assert document["application_type"] == "native"
    assert document["token_endpoint_auth_method"] == "none"
    assert not {"jwks", "jwks_uri", "token_endpoint_auth_signing_alg"} & set(document)


@pytest.mark.parametrize(
    "redirect",
    [
        "http://localhost:8080/auth/callback",
        "https://127.0.0.1/cb",
        "http://127.0.0.2/cb",
        "http://wiki.net/cb",
        "http://127.0.0.1@wiki.net/cb",
        "http://127.0.0.1/cb#fragment",
    ],
)
def test_a_loopback_client_comes_back_to_loopback_only(redirect: str) -> None:
    with pytest.raises(ValueError, match="comes back to"):
        loopback_client(redirect)


def test_a_client_without_keys_is_for_loopback_only() -> None:
    with pytest.raises(ValueError, match="for loopback only"):
        client_metadata(client(keys=None, redirect_uri="http://127.0.0.1/cb"))


@pytest.mark.parametrize(
    "changes",
    [
        {"redirect_uri": "http://auth.wiki.net/cb"},
        {"redirect_uri": "https://auth.wiki.net:443/cb"},
        {"redirect_uri": "https://auth.wiki.net/cb#fragment"},
        {"jwks_uri": "http://auth.wiki.net/jwks.json"},
        {"logo_uri": "javascript:alert(1)"},
        {"tos_uri": "//auth.wiki.net/tos"},
        {"policy_uri": "HTTPS://AUTH.wiki.net/policy"},
        {"client_uri": "https://wiki.net/"},
        {"client_uri": "https://auth.wiki.net/au"},
        {"client_uri": "https://auth.wiki.net@evil.net/"},
    ],
)
def test_an_address_that_servers_would_refuse_is_refused(changes: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"https|client_uri"):
        client_metadata(client(**changes))
