"""From a server to the authorization server that speaks for it, every rule of the profile checked.

Owns: the two well-known documents: protected resource (RFC 9728) and authorization server (RFC 8414).
Doesn't belong here: which server an account is on (identity/), talking to the endpoints (back_channel.py).

Nothing is remembered: the end of a sign-in needs answers as fresh as those at its start.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import (
    AtprotoError,
    InvalidIdentifier,
    InvalidServerMetadata,
    ServerUnreachable,
    UnexpectedResponse,
)
from ..fetch import Fetcher
from ..syntax import ServerUrl, parse_origin

_ENDPOINT = re.compile(r"(https?)://([^/?#\\\s]+)((?:[/?][\x21\x24-\x5b\x5d-\x7e]*)?)", re.IGNORECASE)
_MAX_ENDPOINT = 2048

# Lists that must contain these [OAuth profile, "Authorization Servers"].
_REQUIRED_MEMBERS = {
    "response_types_supported": {"code"},
    "grant_types_supported": {"authorization_code", "refresh_token"},
    "code_challenge_methods_supported": {"S256"},
    "token_endpoint_auth_methods_supported": {"none", "private_key_jwt"},
    "token_endpoint_auth_signing_alg_values_supported": {"ES256"},
    "scopes_supported": {"atproto"},
    "dpop_signing_alg_values_supported": {"ES256"},
}
_REQUIRED_TRUE = (
    "authorization_response_iss_parameter_supported",
    "require_pushed_authorization_requests",
    "client_id_metadata_document_supported",
)


@dataclass(frozen=True, slots=True)
class ServerMetadata:
    """The part of an authorization server's metadata that we need. None if the server doesn't say."""

    issuer: ServerUrl
    authorization_endpoint: str
    token_endpoint: str
    pushed_authorization_request_endpoint: str
    revocation_endpoint: str | None
    prompt_values_supported: frozenset[str] | None
    protected_resources: frozenset[str] | None


class Discovery:
    """Every method raises InvalidServerMetadata for a broken rule, and what `Fetcher.json` raises."""

    def __init__(self, fetcher: Fetcher, *, development: bool = False) -> None:
        self._fetcher = fetcher
        self._development = development

    async def for_pds(self, pds: ServerUrl) -> ServerMetadata:
        """The authorization server of a PDS."""
        return await self._for_resource(pds, await self._issuer_of(pds))

    async def for_server(self, url: ServerUrl) -> ServerMetadata:
        """A server that a person named: tried as a PDS, then as an authorization server.

        A server without the document of a PDS may still be an authorization server. If it isn't one either,
        and the first answer was a fault, report the first: it may be a PDS that is down.
        """
        try:
            issuer = await self._issuer_of(url)
        except UnexpectedResponse:
            return await self._for_issuer(url)
        except ServerUnreachable as fault:
            if fault.status is None:
                raise  # nobody answered
            try:
                return await self._for_issuer(url)
            except AtprotoError:
                raise fault from None
        return await self._for_resource(url, issuer)

    async def _for_resource(self, pds: ServerUrl, issuer: ServerUrl) -> ServerMetadata:
        """Each must name the other, if the authorization server names any (RFC 9728, section 4)."""
        server = await self._for_issuer(issuer)
        if server.protected_resources is not None and pds not in server.protected_resources:
            raise InvalidServerMetadata(f"{issuer} doesn't list {pds} as its resource")
        return server

    async def _for_issuer(self, issuer: ServerUrl) -> ServerMetadata:
        document = await self._fetcher.json(f"{issuer}/.well-known/oauth-authorization-server")
        return parse_server_metadata(issuer, document, development=self._development)

    async def _issuer_of(self, pds: ServerUrl) -> ServerUrl:
        document = await self._fetcher.json(f"{pds}/.well-known/oauth-protected-resource")
        return parse_resource_metadata(pds, document, development=self._development)


def parse_resource_metadata(
    pds: ServerUrl, document: Mapping[str, object], *, development: bool = False
) -> ServerUrl:
    """The one issuer that a PDS names. Raises InvalidServerMetadata."""
    if document.get("resource") != pds:
        raise InvalidServerMetadata(f"{pds} describes another resource than itself")
    servers = document.get("authorization_servers")
    if not isinstance(servers, list) or len(servers) != 1:
        raise InvalidServerMetadata(f"{pds} must name exactly one authorization server")
    try:
        return parse_origin(str(servers[0]), development=development)
    except InvalidIdentifier as exc:
        raise InvalidServerMetadata(f"{pds}: its authorization server isn't an origin: {exc}") from exc


def parse_server_metadata(
    issuer: ServerUrl, document: Mapping[str, object], *, development: bool = False
) -> ServerMetadata:
    """The metadata fetched from `issuer`, every rule checked. Raises InvalidServerMetadata.

    An optional member that is null counts as absent: some languages write it so.
    """
    if document.get("issuer") != issuer:
        raise InvalidServerMetadata(f"{issuer} says that it is another issuer")
    _check_promises(issuer, document)

    def endpoint(name: str) -> str:
        return _endpoint(issuer, name, document.get(name), development=development)

    return ServerMetadata(
        issuer=issuer,
        authorization_endpoint=endpoint("authorization_endpoint"),
        token_endpoint=endpoint("token_endpoint"),
        pushed_authorization_request_endpoint=endpoint("pushed_authorization_request_endpoint"),
        revocation_endpoint=(
            None if document.get("revocation_endpoint") is None else endpoint("revocation_endpoint")
        ),
        prompt_values_supported=_texts(document, "prompt_values_supported"),
        protected_resources=_texts(document, "protected_resources"),
    )


def _check_promises(issuer: ServerUrl, document: Mapping[str, object]) -> None:
    for name, required in _REQUIRED_MEMBERS.items():
        if missing := required - (_texts(document, name) or frozenset()):
            raise InvalidServerMetadata(f"{issuer}: {name} lacks {', '.join(sorted(missing))}")
    if "none" in (_texts(document, "token_endpoint_auth_signing_alg_values_supported") or ()):
        raise InvalidServerMetadata(f"{issuer} takes unsigned client assertions")
    for name in _REQUIRED_TRUE:
        if document.get(name) is not True:
            raise InvalidServerMetadata(f"{issuer}: {name} must be true")
    if document.get("require_request_uri_registration") not in (None, True):
        raise InvalidServerMetadata(f"{issuer}: require_request_uri_registration must not be false")


def _texts(document: Mapping[str, object], name: str) -> frozenset[str] | None:
    """A list of texts as a set; None if it is absent or something else."""
    values = document.get(name)
    if not isinstance(values, list):
        return None
    return frozenset(value for value in values if isinstance(value, str))


def _endpoint(issuer: ServerUrl, name: str, value: object, *, development: bool) -> str:
    """A plain https URL, in the one spelling in which every parser reads the same host.

    Its scheme and host may come in upper case, and https with its port.
    """
    match = _ENDPOINT.fullmatch(value) if isinstance(value, str) and len(value) <= _MAX_ENDPOINT else None
    if match is None:
        raise InvalidServerMetadata(f"{issuer}: {name} isn't a plain https URL")
    scheme, authority = match[1].lower(), match[2].lower()
    if scheme == "https":
        authority = authority.removesuffix(":443")
    try:
        return parse_origin(f"{scheme}://{authority}", development=development) + match[3]
    except InvalidIdentifier as exc:
        raise InvalidServerMetadata(f"{issuer}: {name}: {exc}") from exc
