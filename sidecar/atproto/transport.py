"""The guarded transport: how a request travels to a server that a stranger named.

Owns: resolve, check every address, connect to a checked one, and read no more than was asked for. The guard sits below
httpcore's connection pool, so connections are pooled by host name and certificates checked against it, while the
address that was checked is the one connected to.
Doesn't belong here: deadlines, redirects and what an answer means (fetch.py); which addresses are public (addresses.py).

`resolve` and `connect` are the two ends that touch the network; tests put their own in place.
"""

import asyncio
import ipaddress
import socket
import ssl
import zlib
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Sequence
from enum import Enum

import httpcore
import httpx

from .addresses import IPv4, IPv6, is_loopback, is_public
from .errors import ForbiddenAddress, HostNotFound, ServerUnreachable, UnexpectedResponse

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]  # host, port → addresses
Connect = Callable[[str, int], Awaitable[httpcore.AsyncNetworkStream]]  # checked address, port → stream

# One address that swallows packets must not use up the time of the next.
_CONNECT_TIMEOUT = 3.0
_DEFAULT_LIMIT = 64 * 1024


class Reach(Enum):
    """Where a request may go."""

    PUBLIC = "public unicast addresses"
    PUBLIC_OR_LOOPBACK = "public unicast addresses, or loopback only"
    LOOPBACK = "loopback only"
    ANYWHERE = "anywhere: the operator named the server"

    def permits(self, addresses: Sequence[IPv4 | IPv6]) -> bool:
        """Whether all of a host's addresses may be connected to; one bad address condemns the host."""
        public, loopback = all(map(is_public, addresses)), all(map(is_loopback, addresses))
        return {
            Reach.PUBLIC: public,
            Reach.PUBLIC_OR_LOOPBACK: public or loopback,
            Reach.LOOPBACK: loopback,
            Reach.ANYWHERE: True,
        }[self]


async def resolve(host: str, port: int) -> Sequence[str]:
    """The host's addresses in the order the system prefers. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(sockaddr[0]) for *_, sockaddr in found]


async def connect(address: str, port: int) -> httpcore.AsyncNetworkStream:
    """A TCP connection to one address, which has been checked. Raises httpcore.ConnectError and ConnectTimeout."""
    return await httpcore.AnyIOBackend().connect_tcp(address, port, timeout=_CONNECT_TIMEOUT)


async def checked_addresses(host: str, port: int, *, reach: Reach, resolve: Resolve) -> list[str]:
    """The host's addresses, all of them permitted. Raises ForbiddenAddress, HostNotFound, ServerUnreachable."""
    try:
        addresses = [ipaddress.ip_address(text) for text in await resolve(host, port)]
    except socket.gaierror as exc:
        if exc.errno in (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)):
            raise HostNotFound(f"{host} has no address") from exc
        raise ServerUnreachable(f"{host}: name resolution failed ({exc})") from exc
    except (OSError, ValueError) as exc:  # UnicodeError is a ValueError: a name that DNS can't hold
        raise ServerUnreachable(f"{host}: name resolution failed ({type(exc).__name__})") from exc
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
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature; the caller's deadline rules
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        *others, last = await checked_addresses(host, port, reach=self._reach, resolve=self._resolve)
        for address in others:
            try:
                return await self._connect(address, port)
            except (httpcore.NetworkError, httpcore.TimeoutException, OSError):
                continue
        return await self._connect(last, port)


class GuardedTransport(httpx.AsyncBaseTransport):
    """httpx's way to the guarded pools, one per reach: a connection opened for one is never used for another.

    The request's `reach` extension says which.
    """

    def __init__(self, *, resolve: Resolve, connect: Connect) -> None:
        tls = ssl.create_default_context()  # the system's trust store, or SSL_CERT_FILE
        self._pools = {
            reach: httpcore.AsyncConnectionPool(
                ssl_context=tls,
                max_connections=100,
                max_keepalive_connections=20,
                keepalive_expiry=10.0,
                network_backend=_GuardedBackend(reach, resolve, connect),
            )
            for reach in Reach
        }

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        response = await self._pools[request.extensions["reach"]].handle_async_request(
            httpcore.Request(
                method=request.method,
                url=httpcore.URL(
                    scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
                ),
                headers=request.headers.raw,
                content=request.stream,
                extensions=request.extensions,
            )
        )
        if not isinstance(response.stream, AsyncIterable):
            raise TypeError("an asynchronous pool answers with an asynchronous stream")
        return httpx.Response(response.status, headers=response.headers, stream=_Body(response))

    async def aclose(self) -> None:
        for pool in self._pools.values():
            await pool.aclose()


class _Body(httpx.AsyncByteStream):
    def __init__(self, response: httpcore.Response) -> None:
        self._response = response

    def __aiter__(self):  # type: ignore
        return self._response.aiter_stream()

    async def aclose(self) -> None:
        await self._response.aclose()


class BoundedTransport(httpx.AsyncBaseTransport):
    """Reads every answer in full, up to the request's `limit` extension in decoded bytes, whoever asks for the body."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self._inner.handle_async_request(request)
        try:
            body = await _read(response, limit=request.extensions.get("limit", _DEFAULT_LIMIT))
        finally:
            await response.aclose()
        framing = {"content-encoding", "content-length", "transfer-encoding"}
        headers = [
            (name, value)
            for name, value in response.headers.raw
            if name.decode("latin-1").lower() not in framing
        ]
        return httpx.Response(response.status_code, headers=headers, content=body)

    async def aclose(self) -> None:
        await self._inner.aclose()


async def _read(response: httpx.Response, *, limit: int) -> bytes:
    """We ask for no compression; storage that compresses all the same is read, one bounded step at a time."""
    coding = response.headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("identity", "", "gzip", "deflate"):
        raise UnexpectedResponse(f"content-encoding {coding[:40]!r}, which we didn't ask for")
    inflate = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32) if coding in ("gzip", "deflate") else None
    body = bytearray()
    if not isinstance(response.stream, httpx.AsyncByteStream):
        raise TypeError("a synchronous response")
    async for chunk in response.stream:
        body += inflate.decompress(chunk, limit + 1 - len(body)) if inflate else chunk
        if len(body) > limit:
            raise UnexpectedResponse(f"more than {limit} bytes")
    return bytes(body)
