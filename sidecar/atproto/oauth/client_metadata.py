"""The client metadata document. Authorization servers know us by its URL, which is our `client_id`.

Owns: its members, and the rules by which servers judge them. No client is made that servers would refuse.
Doesn't belong here: serving it, which takes exactly 200, `application/json`, and no redirect.
"""

import ipaddress
import re
from urllib.parse import quote, unquote, urlencode, urlsplit

from ..errors import InvalidIdentifier
from ..syntax import parse_origin
from .models import SCOPE, Client

# Servers refuse names under these [RFC 2606].
_RESERVED = (
    ".test",
    ".local",
    ".localhost",
    ".invalid",
    ".example",
    ".example.com",
    ".example.org",
    ".example.net",
)
_VISIBLE = re.compile(r"[\x21-\x7e]+")
_IN_PATHS = "/!$&'()*+,;=:@"  # plain in a path, like letters and digits [RFC 3986, section 3.3]


def loopback_client(redirect_uri: str) -> Client:
    """A public client for development. It has no document: the `client_id` itself holds all that is needed.

    `redirect_uri`: http on 127.0.0.1 or [::1], any port. Raises ValueError.
    """
    query = urlencode({"redirect_uri": redirect_uri, "scope": SCOPE})
    client = Client(client_id=f"http://localhost?{query}", redirect_uri=redirect_uri)
    check_client(client)
    return client


def client_metadata(client: Client) -> dict[str, object]:
    """The document's members (OAuth profile, "Client Metadata"). Raises ValueError, as `check_client`."""
    check_client(client)
    document: dict[str, object] = {
        "client_id": client.client_id,
        "application_type": "native" if client.keys is None else "web",
        "grant_types": ["authorization_code"],
        "response_types": ["code"],
        "scope": SCOPE,
        "redirect_uris": [client.redirect_uri],
        "dpop_bound_access_tokens": True,
    }
    shown = {
        "client_name": client.name,
        "client_uri": client.client_uri,
        "logo_uri": client.logo_uri,
        "tos_uri": client.tos_uri,
        "policy_uri": client.policy_uri,
    }
    return document | _authentication(client) | {name: value for name, value in shown.items() if value}


def check_client(client: Client) -> None:
    """Check a client against the rules. Raises ValueError."""
    if client.keys is None:
        _check_loopback(client)
        return
    _check_client_id(client.client_id)
    _check_client_uri(client.client_uri, client.client_id)
    _check_public_name(client.redirect_uri)
    for address in filter(None, (client.jwks_uri, client.logo_uri, client.tos_uri, client.policy_uri)):
        _https_origin(address)


def _authentication(client: Client) -> dict[str, object]:
    if client.keys is None:
        return {"token_endpoint_auth_method": "none"}
    return {
        "token_endpoint_auth_method": "private_key_jwt",
        "token_endpoint_auth_signing_alg": "ES256",
        **({"jwks_uri": client.jwks_uri} if client.jwks_uri else {"jwks": client.keys.public_jwks()}),
    }


def _check_loopback(client: Client) -> None:
    redirect = urlsplit(client.redirect_uri)
    if redirect.scheme != "http" or redirect.hostname not in ("127.0.0.1", "::1") or redirect.fragment:
        raise ValueError(
            f"a loopback client comes back to http://127.0.0.1 or http://[::1]: {client.redirect_uri}"
        )
    if not client.client_id.startswith("http://localhost?"):
        raise ValueError("a client without keys is for loopback only; make it with loopback_client()")


def _check_client_id(client_id: str) -> None:
    """https, a public name, no port, a path in its canonical spelling."""
    _check_public_name(client_id)
    if urlsplit(client_id).port is not None:
        raise ValueError(f"client_id can't have a port: {client_id}")
    path = urlsplit(client_id).path
    if path != quote(unquote(path), safe=_IN_PATHS):
        raise ValueError(f"the path of client_id isn't in its canonical spelling: {client_id}")
    if not path or any(segment in ("", ".", "..") for segment in path.split("/")[1:]):
        raise ValueError(f"client_id needs a plain path that doesn't end in a slash: {client_id}")


def _check_public_name(url: str) -> None:
    """https, and a name that can be public; an IP address isn't one."""
    _https_origin(url)
    host = urlsplit(url).hostname or ""
    if "." not in host or _is_address(host):
        raise ValueError(f"not under a full domain name: {url}")
    if f".{host}".endswith(_RESERVED):
        raise ValueError(f"under a reserved name: {url}")


def _check_client_uri(client_uri: str, client_id: str) -> None:
    """The same origin, and a parent of the client_id's path."""
    if not client_uri:
        return
    parent = client_uri if client_uri.endswith("/") else client_uri + "/"
    if not client_id.startswith(parent) or _https_origin(client_uri) != _https_origin(client_id):
        raise ValueError(f"client_uri must be on the client_id's origin, above its path: {client_uri}")


def _https_origin(url: str) -> str:
    """The origin of a plain https URL without userinfo, fragment or spaces."""
    parts = urlsplit(url)
    try:
        origin = str(parse_origin(f"{parts.scheme}://{parts.netloc}"))
    except InvalidIdentifier as exc:
        raise ValueError(f"not a plain https address: {url}") from exc
    if "#" in url or not url.startswith(origin) or not _VISIBLE.fullmatch(url):
        raise ValueError(f"not a plain https address: {url}")
    return origin


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
