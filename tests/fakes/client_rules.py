"""What a strict authorization server wants of a client's metadata (OAuth profile, "Client Metadata").

Where the reference server drops or tolerates something, this one refuses it.
"""

import ipaddress
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import httpx

from tests.fakes.refusals import Refused, require

ERROR = "invalid_client_metadata"
MAX_DOCUMENT = 512 * 1024
REFUSED_TLDS = {"test", "local", "localhost", "invalid", "example"}
EXAMPLES = ("example.com", "example.org", "example.net")
VISIBLE = re.compile(r"[\x21-\x7e]+")
KNOWN_GRANTS = {"authorization_code", "refresh_token"}


def check_client_id(client_id: str) -> None:
    """Of a client with a document: https, a real name, no port, a plain path."""
    require(VISIBLE.fullmatch(client_id), ERROR, "client_id has characters that no address has")
    parts = urlsplit(client_id)
    host = parts.hostname or ""
    require(parts.scheme == "https" and host, ERROR, "client_id must be https")
    require("#" not in client_id and "@" not in parts.netloc, ERROR, "client_id has userinfo or a fragment")
    require(parts.netloc == host, ERROR, "client_id has a port or isn't canonical")
    require(_is_public_name(host), ERROR, "client_id must have a domain name that the internet knows")
    require(parts.path not in ("", "/") and not parts.path.endswith("/"), ERROR, "client_id needs a path")
    require(str(httpx.URL(client_id)) == client_id, ERROR, "client_id isn't canonical")
    segments = unquote(parts.path).split("/")[1:]
    require(not {"", ".", ".."} & set(segments), ERROR, "client_id's path isn't canonical")


def read_document(response: httpx.Response) -> dict[str, Any]:
    """Client metadata or a JWK set as served: exactly 200, JSON, no redirect, at most 512 kB."""
    require(response.status_code == 200, ERROR, f"answered {response.status_code}")
    media_type = response.headers.get("content-type", "").partition(";")[0].strip()
    require(media_type == "application/json", ERROR, f"content type {media_type}")
    require(len(response.content) <= MAX_DOCUMENT, ERROR, "too large")
    try:
        document = json.loads(response.content)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise Refused(ERROR, "no JSON object")
    return document


def check_document(client_id: str, document: Mapping[str, Any]) -> None:
    """Every field rule; keys are checked where they are (`check_keys`)."""
    require(document.get("client_id") == client_id, ERROR, "client_id is not the URL it was fetched from")
    require(document.get("application_type") == "web", ERROR, "application_type")
    grants = _texts(document, "grant_types")
    require("authorization_code" in grants and set(grants) <= KNOWN_GRANTS, ERROR, "grant_types")
    require(_texts(document, "response_types") == ["code"], ERROR, "response_types")
    scopes = str(document.get("scope", "")).split(" ")
    require("atproto" in scopes and len(scopes) == len(set(scopes)), ERROR, "scope")
    require(document.get("dpop_bound_access_tokens") is True, ERROR, "dpop_bound_access_tokens")
    redirects = _texts(document, "redirect_uris")
    require(redirects and all(map(_is_redirect, redirects)), ERROR, "redirect_uris")
    _check_authentication(document)
    _check_shown(client_id, document)


def check_keys(jwks: object) -> dict[str, Mapping[str, Any]]:
    """A public JWK set: by kid. Bad keys are refused where the reference server drops them silently."""
    keys = jwks.get("keys") if isinstance(jwks, dict) else None
    require(isinstance(keys, list) and keys, ERROR, "jwks")
    found: dict[str, Mapping[str, Any]] = {}
    for key in keys or []:
        kid = key.get("kid")
        require(isinstance(kid, str) and kid and kid not in found, ERROR, "a key without a kid of its own")
        require("d" not in key, ERROR, "a private key, for all to see")
        require(key.get("key_ops", ["verify"]) == ["verify"], ERROR, "key_ops")
        require((key.get("kty"), key.get("crv")) == ("EC", "P-256"), ERROR, "not for ES256")
        require(key.get("alg", "ES256") == "ES256" and key.get("use", "sig") == "sig", ERROR, "not for ES256")
        found[kid] = key
    return found


def loopback_document(client_id: str) -> dict[str, Any]:
    """The virtual metadata of `http://localhost?...` (OAuth profile, "Localhost Client Development")."""
    parts = urlsplit(client_id)
    require(parts.scheme == "http" and parts.netloc == "localhost", ERROR, "localhost, without a port")
    require(parts.path in ("", "/") and "#" not in client_id, ERROR, "a localhost client has no path")
    query = parse_qsl(parts.query, keep_blank_values=True)
    require({name for name, _ in query} <= {"redirect_uri", "scope"}, ERROR, "an unknown parameter")
    scopes = [value for name, value in query if name == "scope"] or ["atproto"]
    require(len(scopes) == 1, ERROR, "scope twice")
    redirects = [value for name, value in query if name == "redirect_uri"]
    redirects = redirects or ["http://127.0.0.1/", "http://[::1]/"]
    for redirect in redirects:
        host = urlsplit(redirect).hostname
        require(redirect.startswith("http://") and host in ("127.0.0.1", "::1"), ERROR, "redirect host")
    return {
        "client_id": client_id,
        "application_type": "native",
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "scope": scopes[0],
        "redirect_uris": redirects,
        "dpop_bound_access_tokens": True,
        "token_endpoint_auth_method": "none",
    }


def _check_authentication(document: Mapping[str, Any]) -> None:
    method = document.get("token_endpoint_auth_method")
    algorithm = document.get("token_endpoint_auth_signing_alg")
    keys = ("jwks" in document) + ("jwks_uri" in document)
    if method == "private_key_jwt":
        require(algorithm == "ES256", ERROR, "token_endpoint_auth_signing_alg")
        require(keys == 1, ERROR, "exactly one of jwks and jwks_uri")
        require(_is_https(document.get("jwks_uri", "https://none.net/")), ERROR, "jwks_uri")
    else:
        require(method == "none", ERROR, "token_endpoint_auth_method")
        require(algorithm is None and keys == 0, ERROR, "a public client has no keys")


def _check_shown(client_id: str, document: Mapping[str, Any]) -> None:
    for name in ("client_uri", "logo_uri", "tos_uri", "policy_uri"):
        require(_is_https(document.get(name, "https://none.net/")), ERROR, name)
    client_uri = document.get("client_uri")
    if client_uri is not None:
        parent = client_uri if client_uri.endswith("/") else client_uri + "/"
        require(client_id.startswith(parent), ERROR, "client_uri is no parent of client_id")


def _texts(document: Mapping[str, Any], name: str) -> list[str]:
    value = document.get(name)
    require(isinstance(value, list) and all(isinstance(each, str) for each in value), ERROR, name)
    return list(value or [])


def _is_https(url: object) -> bool:
    return isinstance(url, str) and url.startswith("https://") and "#" not in url


def _is_redirect(url: str) -> bool:
    parts = urlsplit(url)
    return _is_https(url) and not parts.netloc.endswith(":443") and _is_public_name(parts.hostname or "")


def _is_public_name(host: str) -> bool:
    """A name, no address, and none of those that are reserved (RFC 2606)."""
    reserved = host.rpartition(".")[2] in REFUSED_TLDS or f".{host}".endswith(
        tuple(f".{e}" for e in EXAMPLES)
    )
    return "." in host and not _is_address(host) and not reserved


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
