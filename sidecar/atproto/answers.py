"""Answers in full, and no larger than they may be.

Owns: the bound on decoded bytes, and how a body is decoded.
Doesn't belong here: what travels on the wire (connections.py), what an answer means (fetch.py).
"""

import zlib
from typing import cast

import httpx

from .errors import UnexpectedResponse
from .transport import origin_of

# Headers that mean nothing for a body that was read and decoded. Location: see BoundedTransport.
_LEFT_OUT = frozenset({b"content-encoding", b"content-length", b"transfer-encoding", b"location"})


class BoundedTransport(httpx.AsyncBaseTransport):
    """Reads every answer in full, up to the request's `limit` extension in decoded bytes.

    It does so below httpx, because httpx reads without a bound for an `httpx.Auth` that looks at bodies.
    `Location` becomes the `location` extension of the answer: httpx would parse the header, though it follows
    no redirect, and fail at hosts that IDNA 2008 refuses.
    """

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self._inner.handle_async_request(request)
        try:
            body = await _read(response, limit=request.extensions["limit"])
        except (ValueError, zlib.error) as exc:
            raise UnexpectedResponse(f"{origin_of(request.url)}: {exc}") from exc
        finally:
            await response.aclose()
        headers = [header for header in response.headers.raw if header[0].lower() not in _LEFT_OUT]
        location = response.headers.get("location")
        extensions = {} if location is None else {"location": location}
        return httpx.Response(response.status_code, headers=headers, content=body, extensions=extensions)

    async def aclose(self) -> None:
        await self._inner.aclose()


async def _read(response: httpx.Response, *, limit: int) -> bytes:
    """The decoded body. Raises ValueError and zlib.error.

    We ask for no compression. But some storage keeps its files gzipped, and sends them as they are.
    """
    coding = response.headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("identity", "gzip"):
        raise ValueError(f"content-encoding {coding[:40]!r}, which we didn't ask for")
    gunzip = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16) if coding == "gzip" else None
    body, received = bytearray(), 0
    async for chunk in cast("httpx.AsyncByteStream", response.stream):
        received += len(chunk)
        body += gunzip.decompress(chunk, limit + 1 - len(body)) if gunzip else chunk
        if max(len(body), received) > limit:
            raise ValueError(f"more than {limit} bytes")
    return bytes(body)
