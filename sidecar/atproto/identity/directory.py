"""The directory: from a handle or a DID to who that is and which server speaks for them.

Owns: fetching DID documents (plc, web), holding handle and DID against each other, remembering both for
minutes.
Doesn't belong here: reading a document (document.py), resolving a handle (handles.py).
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..errors import (
    DidNotFound,
    FetchError,
    HandleMismatch,
    HandleNotFound,
    InvalidDidDocument,
    ServerUnreachable,
    UnexpectedResponse,
)
from ..fetch import Fetcher
from ..syntax import Did, Handle, ServerUrl
from .cache import Cache
from .document import DidDocument, parse_did_document
from .handles import HandleResolver

_LONGEST_TTL = 600.0  # the OAuth profile wants identities for sign-in cached under 10 minutes
# Any type, for files on all kinds of web servers: the document says itself whose it is.
_DOCUMENT_TYPES = ("application/did+ld+json", "application/json", "*/*")


@dataclass(frozen=True, slots=True)
class Identity:
    """`handle` is None if it couldn't be verified both ways; `undecided`: because a server failed."""

    did: Did
    handle: Handle | None
    pds: ServerUrl
    undecided: bool = False


class Directory:
    """`ttl` in seconds, under 600; `size` bounds each of two caches; `plc_url`, `handle_resolver`: origins.

    If a server fails, every method raises ServerUnreachable: a fault isn't an answer, and never remembered.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        *,
        plc_url: str = "https://plc.directory",
        handle_resolver: str | None = None,
        nameservers: Sequence[str] = (),
        ttl: float = 300.0,
        size: int = 10_000,
        development: bool = False,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        if not 0 <= ttl < _LONGEST_TTL:
            raise ValueError("identities are remembered for less than 10 minutes")
        self._fetcher = fetcher
        self._plc_url = plc_url
        self._development = development
        resolver = HandleResolver(
            fetcher, nameservers=nameservers, server=handle_resolver, development=development
        )
        self._dids = Cache(resolver.resolve, ttl=ttl, size=size, now=now)
        self._documents = Cache(self._fetch_document, ttl=ttl, size=size, now=now)

    async def lookup(self, identifier: Did | Handle, *, fresh: bool = False) -> Identity:
        """Who that is; `fresh` asks anew whatever is remembered.

        A handle must hold both ways, else HandleNotFound or HandleMismatch; a DID goes on without its handle
        then.
        Raises DidNotFound, InvalidDidDocument, FetchError.
        """
        if isinstance(identifier, Handle):
            return await self._lookup_handle(identifier, fresh=fresh)
        document = await self.document(identifier, fresh=fresh)
        try:
            return Identity(document.did, await self._verified(document, fresh=fresh), _pds(document))
        except FetchError:
            return Identity(document.did, None, _pds(document), undecided=True)

    async def verified_handle(self, did: Did) -> Handle | None:
        """The handle that holds both ways, asked anew; None if it has none. Raises ServerUnreachable."""
        try:
            return await self._verified(await self.document(did, fresh=True), fresh=True)
        except (DidNotFound, InvalidDidDocument):
            return None
        except ServerUnreachable:
            raise
        except FetchError as exc:
            raise ServerUnreachable(f"no usable answer about {did}: {exc}") from exc

    async def document(self, did: Did, *, fresh: bool = False) -> DidDocument:
        """Raises DidNotFound, InvalidDidDocument, FetchError."""
        return await self._documents.get(did, fresh=fresh)

    async def _lookup_handle(self, handle: Handle, *, fresh: bool) -> Identity:
        did = await self._dids.get(handle, fresh=fresh)
        document = await self.document(did, fresh=fresh)
        if document.handle == handle:
            return Identity(did, handle, _pds(document))
        if not fresh:  # one of the two may have changed since we remembered it
            return await self._lookup_handle(handle, fresh=True)
        raise HandleMismatch(f"{handle} names {did}, which doesn't name it")

    async def _verified(self, document: DidDocument, *, fresh: bool) -> Handle | None:
        if document.handle is None:
            return None
        try:
            did = await self._dids.get(document.handle, fresh=fresh)
        except (HandleNotFound, HandleMismatch):
            return None
        return document.handle if did == document.did else None

    async def _fetch_document(self, did: Did) -> DidDocument:
        try:
            document = await self._fetcher.json(
                self._document_url(did),
                content_types=_DOCUMENT_TYPES,
                operator=did.startswith("did:plc:"),  # a did:web names its own host
            )
        except UnexpectedResponse as exc:
            if exc.status in (404, 410):
                raise DidNotFound(f"{did} is gone") from exc
            raise
        return parse_did_document(did, document, development=self._development)

    def _document_url(self, did: Did) -> str:
        if did.startswith("did:plc:"):
            return f"{self._plc_url}/{did}"
        host = did.removeprefix("did:web:").replace("%3A", ":")
        scheme = "http" if host.partition(":")[0] == "localhost" else "https"  # development only (parse_did)
        return f"{scheme}://{host}/.well-known/did.json"


def _pds(document: DidDocument) -> ServerUrl:
    if document.pds is None:
        raise InvalidDidDocument(f"{document.did} names no usable server")
    return document.pds
