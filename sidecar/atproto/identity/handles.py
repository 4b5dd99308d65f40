"""Which DID a handle names, as the handle's own domain says it.

Owns: the ways to ask. DNS TXT and HTTPS well-known are asked at once, and DNS wins. If a `server` is set, for
networks without DNS, only this server is asked (com.atproto.identity.resolveHandle), and its answers are
trusted.
Doesn't belong here: whether the DID names the handle in return (directory.py).

"Nobody claims it" is an answer: NXDOMAIN, no `did=` record, 404, a body that isn't a DID. A fault isn't an
answer: SERVFAIL, time out, refused connections, 403, 429 and 5xx. If one way finds nothing and the other
fails, we can't know.
"""

import asyncio
import ipaddress
from collections.abc import Sequence
from urllib.parse import urlsplit

import httpx

from ..errors import (
    ForbiddenAddress,
    HandleMismatch,
    HandleNotFound,
    HostNotFound,
    InvalidIdentifier,
    ServerUnreachable,
    UnexpectedResponse,
    UnsupportedDidMethod,
)
from ..fetch import Fetcher, raise_for_fault
from ..syntax import Did, Handle, parse_did

DNS_LIFETIME = 5.0  # seconds, as the next; the two run at the same time
WELL_KNOWN_DEADLINE = 5.0
_WELL_KNOWN_LIMIT = 10_000
_WELL_KNOWN_REDIRECTS = 3
_LONGEST_NAME = 253


class HandleResolver:
    """`nameservers`: "addr", "addr:port" or "[v6]:port"; none: the system's. `server`: an origin."""

    def __init__(
        self,
        fetcher: Fetcher,
        *,
        nameservers: Sequence[str] = (),
        server: str | None = None,
        development: bool = False,
    ) -> None:
        self._fetcher = fetcher
        self._nameservers = [nameserver(text) for text in nameservers]
        self._server = server
        self._development = development

    async def resolve(self, handle: Handle) -> Did:
        """Raises HandleNotFound, HandleMismatch (two DIDs in DNS), ServerUnreachable."""
        did = await (self._ask_server(handle) if self._server else self._ask_domain(handle))
        if did is None:
            raise HandleNotFound(f"nobody claims {handle}")
        return did

    async def _ask_domain(self, handle: Handle) -> Did | None:
        https = asyncio.create_task(self._ask_https(handle))
        try:
            try:
                return await self._ask_dns(handle) or await https
            except ServerUnreachable as fault:
                # Either way is enough; but "HTTPS has none" isn't an answer while DNS may have one.
                if did := await https:
                    return did
                raise fault from None
        finally:
            https.cancel()
            await asyncio.gather(https, return_exceptions=True)

    async def _ask_dns(self, handle: Handle) -> Did | None:
        name = f"_atproto.{handle}"
        if len(name) > _LONGEST_NAME:
            return None
        from .txt import texts  # noqa: PLC0415 - see there

        found = await texts(name, self._nameservers, lifetime=DNS_LIFETIME)
        dids = {self._did(text[4:]) for text in found if text.startswith(b"did=")} - {None}
        if len(dids) > 1:
            raise HandleMismatch(f"DNS names {len(dids)} DIDs for {handle}")
        return dids.pop() if dids else None

    async def _ask_https(self, handle: Handle) -> Did | None:
        try:
            response = await self._fetcher.request(
                "GET",
                f"https://{handle}/.well-known/atproto-did",
                limit=_WELL_KNOWN_LIMIT,
                deadline=WELL_KNOWN_DEADLINE,
                redirects=_WELL_KNOWN_REDIRECTS,
            )
        except (HostNotFound, ForbiddenAddress, UnexpectedResponse):
            return None
        raise_for_fault(response)
        return self._did(_first_line(response.content)) if response.is_success else None

    async def _ask_server(self, handle: Handle) -> Did | None:
        query = httpx.QueryParams({"handle": handle})
        try:
            answer = await self._fetcher.json(
                f"{self._server}/xrpc/com.atproto.identity.resolveHandle?{query}", operator=True
            )
        except UnexpectedResponse as exc:
            if exc.status in (400, 404):
                return None
            raise ServerUnreachable(f"the handle resolver failed: {exc}") from exc
        return self._did(str(answer.get("did")).encode())

    def _did(self, text: bytes) -> Did | None:
        try:
            return parse_did(text.decode("ascii"), development=self._development)
        except (InvalidIdentifier, UnsupportedDidMethod, UnicodeDecodeError):
            return None


def _first_line(content: bytes) -> bytes:
    """Editors put a byte order mark before it. Later lines are for others: comments, scripts."""
    lines = content.removeprefix(b"\xef\xbb\xbf").strip().splitlines()
    return lines[0].strip() if lines else b""


def nameserver(text: str) -> tuple[str, int]:
    """Address and port. Raises ValueError."""
    bracketed = f"[{text}]" if text.count(":") > 1 and not text.startswith("[") else text
    parts = urlsplit(f"//{bracketed}")
    return str(ipaddress.ip_address(parts.hostname or "")), parts.port or 53
