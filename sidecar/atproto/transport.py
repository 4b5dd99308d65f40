"""The guarded transport: how a request travels to a server that a stranger named.

Owns: resolve, check every address, connect to a checked one, read no more than was asked for. The guard sits
below httpcore's pool: connections are pooled by host name and certificates checked against it, while the
address that was checked is the one connected to.
Doesn't belong here: deadlines, redirects, what answers mean (fetch.py); which addresses are public
(addresses.py).

`resolve` and `connect` are the two ends that touch the network. A Fetcher takes others in their place;
whoever can't reach the Fetcher replaces them here before it is made.
"""

import asyncio
import ipaddress
import socket
import ssl
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from enum import Enum
from typing import cast

import httpcore
import httpx

from .addresses import Address, is_loopback, is_public
from .errors import ForbiddenAddress, HostNotFound, ServerUnreachable, UnexpectedResponse

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]  # host, port → addresses
Connect = Callable[[str, int], Awaitable[httpcore.AsyncNetworkStream]]  # checked address, port → stream

# Seconds; one address that swallows packets must not use up the time of the next.
_CONNECT_TIMEOUT = 3.0
# For each reach; above what callers let happen at once, so that stuck servers hold up nobody else.
_CONNECTIONS = 2000
# Node, and so the reference PDS, closes an idle connection after 5 seconds: no request may race that.
_IDLE = 3.0
_NO_ADDRESS = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}
_FRAMING = frozenset({b"content-encoding", b"content-length", b"transfer-encoding"})


class Reach(Enum):
    """Where a request may go; one bad address condemns a host."""

    PUBLIC = "public unicast addresses"
    PUBLIC_OR_LOOPBACK = "public unicast addresses, or loopback only"
    LOOPBACK = "loopback only"
    ANYWHERE = "anywhere, for the operator named the server"

    def permits(self, addresses: Sequence[Address]) -> bool:
        public, loopback = all(map(is_public, addresses)), all(map(is_loopback, addresses))
        return {
            Reach.PUBLIC: public,
            Reach.PUBLIC_OR_LOOPBACK: public or loopback,
            Reach.LOOPBACK: loopback,
            Reach.ANYWHERE: True,
        }[self]


async def resolve(host: str, port: int) -> Sequence[str]:
    """The host's addresses, in the order the system prefers. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(sockaddr[0]) for *_, sockaddr in found]


async def connect(address: str, port: int) -> httpcore.AsyncNetworkStream:
    """A TCP connection to a checked address. Raises httpcore's ConnectError, ConnectTimeout."""
    return await httpcore.AnyIOBackend().connect_tcp(address, port, timeout=_CONNECT_TIMEOUT)


async def checked_addresses(host: str, port: int, *, reach: Reach, resolve: Resolve) -> list[str]:
    """The host's addresses, every one permitted. Raises ForbiddenAddress, HostNotFound, ServerUnreachable."""
    try:
        addresses = [ipaddress.ip_address(text) for text in await resolve(host, port)]
    except socket.gaierror as exc:
        fault = HostNotFound if exc.errno in _NO_ADDRESS else ServerUnreachable
        raise fault(f"{host}: {exc}") from exc
    except (OSError, ValueError) as exc:  # UnicodeError is a ValueError: a name that DNS can't hold
        raise ServerUnreachable(f"{host}: no name resolution ({type(exc).__name__})") from exc
    if not addresses:
        raise HostNotFound(f"{host} has no address")
    if not reach.permits(addresses):
        raise ForbiddenAddress(f"{host} resolves to an address we don't connect to")
    return [str(address) for address in addresses]


class _GuardedBackend(httpcore.AsyncNetworkBackend):
    """What httpcore opens its connections with: nothing is connected to that wasn't checked just now."""

    def __init__(self, reach: Reach, resolve: Resolve, connect: Connect) -> None:
        self._reach = reach
        self._resolve = resolve
        self._connect = connect

    async def connect_tcp(
        self, host: str, port: int, *_: object, **__: object
    ) -> httpcore.AsyncNetworkStream:
        *others, last = await checked_addresses(host, port, reach=self._reach, resolve=self._resolve)
        for address in others:
            try:
                return await self._connect(address, port)
            except (httpcore.NetworkError, httpcore.TimeoutException, OSError):
                continue
        return await self._connect(last, port)


class GuardedTransport(httpx.AsyncBaseTransport):
    """httpx's way to the guarded pools. The request's `reach` extension says which one.

    One pool per reach: a connection that was opened for one is never used for another.
    """

    def __init__(self, *, resolve: Resolve, connect: Connect) -> None:
        tls = ssl.create_default_context()  # the system's trust store, or SSL_CERT_FILE
        self._pools = {
            reach: httpcore.AsyncConnectionPool(
                ssl_context=tls,
                max_connections=_CONNECTIONS,
                max_keepalive_connections=20,
                keepalive_expiry=_IDLE,
                network_backend=_GuardedBackend(reach, resolve, connect),
            )
            for reach in Reach
        }

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        response = await self._pools[request.extensions["reach"]].handle_async_request(
            httpcore.Request(
                request.method,
                httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
                headers=request.headers.raw,
                content=request.stream,
                extensions=request.extensions,
            )
        )
        return httpx.Response(response.status, headers=response.headers, stream=_Body(response))

    async def aclose(self) -> None:
        for pool in self._pools.values():
            await pool.aclose()


class _Body(httpx.AsyncByteStream):
    def __init__(self, response: httpcore.Response) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._response.aiter_stream():
            yield chunk

    async def aclose(self) -> None:
        await self._response.aclose()


class BoundedTransport(httpx.AsyncBaseTransport):
    """Reads every answer in full, up to the request's `limit` extension in decoded bytes.

    It does so below httpx, which would read without a bound for an `httpx.Auth` that looks at bodies.
    """

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self._inner.handle_async_request(request)
        try:
            body = await _read(response, limit=request.extensions["limit"])
        except (ValueError, zlib.error) as exc:
            raise UnexpectedResponse(f"{request.url.host}: {exc}") from exc
        finally:
            await response.aclose()
        headers = [header for header in response.headers.raw if header[0].lower() not in _FRAMING]
        return httpx.Response(response.status_code, headers=headers, content=body)

    async def aclose(self) -> None:
        await self._inner.aclose()


async def _read(response: httpx.Response, *, limit: int) -> bytes:
    """The decoded body. Raises ValueError and zlib.error.

    We ask for no compression, but storage that keeps its files gzipped sends them so all the same.
    """
    coding = response.headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("identity", "gzip"):
        raise ValueError(f"content-encoding {coding[:40]!r}, which nobody asked for")
    gunzip = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16) if coding == "gzip" else None
    body, received = bytearray(), 0
    async for chunk in cast("httpx.AsyncByteStream", response.stream):
        received += len(chunk)
        body += gunzip.decompress(chunk, limit + 1 - len(body)) if gunzip else chunk
        if max(len(body), received) > limit:
            raise ValueError(f"more than {limit} bytes")
    return bytes(body)
