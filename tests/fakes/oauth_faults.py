"""Every way in which a document or an answer can break a rule of the OAuth profile, by the rule's name.

Tables for tests/conformance/test_oauth_rules*.py. A value None leaves the member out.
"""

from typing import Any

import pytest

from sidecar.atproto.errors import (
    AccessDenied,
    AtprotoError,
    AuthorizationRefused,
    InvalidCallback,
    IssuerMismatch,
    ServerUnreachable,
)
from tests.fakes.client_rules import EXAMPLES
from tests.fakes.sign_in import KEY, ORIGIN, PDS

PUBLIC_KEY = {name: value for name, value in KEY.items() if name != "d"}


def table(rules: dict[str, Any]) -> pytest.MarkDecorator:
    """One case for each rule, under its name."""
    return pytest.mark.parametrize("rule", [pytest.param(value, id=name) for name, value in rules.items()])


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
    "must not be the root with a query": "https://auth.wiki.net/?metadata=json",
    "must not be a query alone": "https://auth.wiki.net?/metadata.json",
    "must have a canonical path": "https://auth.wiki.net/a/../metadata.json",
    "must have a canonical path, however spelled": "https://auth.wiki.net/a/%2e%2E/metadata.json",
    "must have no space": "https://auth.wiki.net/meta data.json",
    "must have no line break": "https://auth.wiki.net/meta\ndata.json",
    "must have no letter beyond ASCII": "https://auth.wiki.net/métadata.json",
    "must have no empty segment": "https://auth.wiki.net//metadata.json",
    "must not be a single label": "https://auth/metadata.json",
    **{
        f"must not be under .{tld}": f"https://auth.wiki.{tld}/m"
        for tld in ("test", "local", "localhost", "invalid")
    },
    "must not be under .example": "https://auth.wiki.example/m",
    **{f"must not be under {name}": f"https://auth.{name}/m" for name in EXAMPLES},
}
REFUSED_REDIRECTS = {
    "https": "http://auth.wiki.net/auth/callback",
    "without a default port": "https://auth.wiki.net:443/auth/callback",
    "without a fragment": "https://auth.wiki.net/auth/callback#a",
    "not under .test": "https://auth.wiki.test/auth/callback",
    "not under .example": "https://auth.wiki.example/auth/callback",
    "not under example.net": "https://auth.example.net/auth/callback",
    "not on localhost": "https://localhost/auth/callback",
    "not on a single label": "https://auth/auth/callback",
    "not on a private address": "https://10.0.0.7/auth/callback",
    "not on an address at all": "https://[2606:4700::1111]/auth/callback",
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
    **{
        f"redirect_uris must be {what}": {"redirect_uris": [f"{ORIGIN}/auth/callback", redirect]}
        for what, redirect in REFUSED_REDIRECTS.items()
    },
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
    "too much": {"status": 200, "json": {"a": "b" * 600_000}},
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

CALLBACK_FAULTS: dict[str, tuple[dict[str, str | None], type[AtprotoError]]] = {
    "state must be there": ({"state": None}, InvalidCallback),
    "state must be ours": ({"state": "x" * 43}, InvalidCallback),
    "state must be ours, even if odd": ({"state": "é\udcff"}, InvalidCallback),
    "iss must be there": ({"iss": None}, InvalidCallback),
    "iss must be the issuer's": ({"iss": "https://evil.net"}, IssuerMismatch),
    "iss must be exactly the issuer's": ({"iss": f"{PDS}/"}, IssuerMismatch),
    "iss must not be empty": ({"iss": ""}, IssuerMismatch),
    "no issuer's text is trusted": ({"iss": "\x1b[31m\r\nlog: forged" + "a" * 500}, IssuerMismatch),
    "iss must be there if a code is, on errors too": (
        {"error": "access_denied", "iss": None},
        InvalidCallback,
    ),
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
