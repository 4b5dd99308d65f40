"""What a strict authorization server publishes, and what it wants of a pushed authorization request."""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

import httpx

from sidecar.atproto.errors import InvalidIdentifier, UnsupportedDidMethod
from sidecar.atproto.syntax import parse_did, parse_handle
from tests.fakes.refusals import require

PROMPTS = ("none", "login", "consent", "select_account", "create")

_AUTHENTICATION = {"client_id", "client_assertion", "client_assertion_type"}
_PARAMETERS = {
    "par": {
        *("response_type", "code_challenge", "code_challenge_method", "state", "redirect_uri", "scope"),
        *("prompt", "login_hint"),
    },
    "token": {"grant_type", "code", "redirect_uri", "code_verifier"},
    "revoke": {"token", "token_type_hint"},
}


def server_metadata(origin: str) -> dict[str, Any]:
    """What a well-behaved issuer publishes."""
    return {
        "issuer": origin,
        "authorization_endpoint": f"{origin}/oauth/authorize",
        "token_endpoint": f"{origin}/oauth/token",
        "pushed_authorization_request_endpoint": f"{origin}/oauth/par",
        "revocation_endpoint": f"{origin}/oauth/revoke",
        "response_types_supported": ["code"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["none", "private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": ["ES256", "ES256K"],
        "scopes_supported": ["atproto", "transition:generic"],
        "dpop_signing_alg_values_supported": ["ES256"],
        "prompt_values_supported": list(PROMPTS),
        "authorization_response_iss_parameter_supported": True,
        "require_pushed_authorization_requests": True,
        "require_request_uri_registration": True,
        "client_id_metadata_document_supported": True,
    }


def check_request(
    form: Mapping[str, str], client: Mapping[str, Any], *, prompts: Sequence[str] | None
) -> None:
    """Every rule for a pushed request. `client`: its metadata; `prompts`: those the server supports."""
    require(form.get("response_type") == "code", "unsupported_response_type", "response_type")
    require(form.get("code_challenge_method") == "S256", "invalid_request", "code_challenge_method")
    challenge = form.get("code_challenge", "")
    require(re.fullmatch(r"[A-Za-z0-9_-]{43}", challenge), "invalid_request", "code_challenge")
    require(len(form.get("state", "")) >= 22, "invalid_request", "state can be guessed")
    require(form.get("redirect_uri") in client["redirect_uris"], "invalid_request", "redirect_uri")
    scopes, declared = form.get("scope", "").split(" "), client["scope"].split(" ")
    require("atproto" in scopes and len(scopes) == len(set(scopes)), "invalid_scope", "scope")
    require(set(scopes) <= set(declared), "invalid_scope", "undeclared scope")
    if "prompt" in form:
        require(form["prompt"] in (prompts or PROMPTS), "invalid_request", "prompt")
    if "login_hint" in form:
        require(_is_account_name(form["login_hint"]), "invalid_request", "login_hint")


def parse_form(endpoint: str, request: httpx.Request) -> dict[str, str]:
    """A URL-encoded body: no parameter twice, and none that the endpoint doesn't know."""
    media_type = request.headers.get("content-type", "").partition(";")[0]
    require(media_type == "application/x-www-form-urlencoded", "invalid_request", "content type")
    require(not request.url.query, "invalid_request", "no query")
    pairs = parse_qsl(request.content.decode(), keep_blank_values=True)
    require(len(dict(pairs)) == len(pairs), "invalid_request", "a parameter came twice")
    known = _AUTHENTICATION | _PARAMETERS[endpoint]
    require(set(dict(pairs)) <= known, "invalid_request", "an unknown parameter")
    return dict(pairs)


def s256(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def _is_account_name(text: str) -> bool:
    try:
        if text.startswith("did:"):
            return bool(parse_did(text, development=True))
        return parse_handle(text, development=True) == text
    except (InvalidIdentifier, UnsupportedDidMethod):
        return False
