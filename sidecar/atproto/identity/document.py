"""What a DID document says: the handle it claims, the server it names, the key it signs with.

Owns: reading one, tolerant of what the network serves, strict about whose it is.
Doesn't belong here: fetching it (directory.py); whether the claimed handle is true (handles.py).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ..errors import InvalidDidDocument, InvalidIdentifier
from ..syntax import Did, Handle, ServerUrl, is_valid_handle_syntax, origin_of_endpoint, parse_handle
from .multikey import to_multikey


@dataclass(frozen=True, slots=True)
class DidDocument:
    """`handle` is only claimed. `signing_key` is a Multikey. None: the document has no usable one."""

    did: Did
    handle: Handle | None
    pds: ServerUrl | None
    signing_key: str | None


def parse_did_document(did: Did, document: object, *, development: bool = False) -> DidDocument:
    """Raises InvalidDidDocument if it isn't this DID's document; `@context` doesn't matter."""
    if not isinstance(document, Mapping) or document.get("id") != did:
        raise InvalidDidDocument(f"the document of {did} has another id")
    return DidDocument(
        did=did,
        handle=_claimed_handle(document, development=development),
        pds=_pds(did, document, development=development),
        signing_key=_signing_key(did, document),
    )


def _claimed_handle(document: Mapping[str, object], *, development: bool) -> Handle | None:
    """The first `at://` entry that is a handle and nothing more; none, if its TLD isn't resolved."""
    known_as = document.get("alsoKnownAs")
    for entry in known_as if isinstance(known_as, list) else []:
        if isinstance(entry, str) and entry.startswith("at://") and is_valid_handle_syntax(entry[5:]):
            try:
                return parse_handle(entry[5:], development=development)
            except InvalidIdentifier:
                return None
    return None


def _pds(did: Did, document: Mapping[str, object], *, development: bool) -> ServerUrl | None:
    for service in _entries(document, "service", did, "#atproto_pds"):
        endpoint = service.get("serviceEndpoint")
        if service.get("type") == "AtprotoPersonalDataServer":
            try:
                return origin_of_endpoint(str(endpoint), development=development)
            except InvalidIdentifier:
                return None
    return None


def _signing_key(did: Did, document: Mapping[str, object]) -> str | None:
    for method in _entries(document, "verificationMethod", did, "#atproto"):
        kind, value = method.get("type"), method.get("publicKeyMultibase")
        if method.get("controller") == did and isinstance(kind, str) and isinstance(value, str):
            return to_multikey(kind, value)
    return None


def _entries(
    document: Mapping[str, object], name: str, did: Did, fragment: str
) -> Iterator[Mapping[str, object]]:
    """The entries of a list whose id is the fragment, relative or fully qualified."""
    entries = document.get(name)
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, Mapping) and entry.get("id") in (fragment, f"{did}{fragment}"):
            yield entry
