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
import threading
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import Future
from contextvars import ContextVar
from enum import Enum
from functools import cached_property
from typing import Any, cast

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
# Of names, for the whole process. A lookup outlives its caller: that one gives up after 5 seconds, libc after
# 30 (resolv.conf(5): three nameservers, 5 seconds, 2 tries). 50 callers at once who ask for one silent name
# after the other so keep 50 * 30 / 5 = 300 lookups alive; the rest is for everybody else. Each is a thread:
# where systemd counts those (TasksMax), it has to allow as many for every process.
_LOOKUPS = threading.BoundedSemaphore(512)
# What comes with a body: headers, framing, informational answers.
_OVERHEAD = 32 * 1024
# Bytes parsed in one go; between two pieces others get their turn.
_PIECE = 1024
_allowance: ContextVar[int] = ContextVar("allowance")
_NO_ADDRESS = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}
# What a body that was read and decoded has no use for. Location: see BoundedTransport.
_LEFT_OUT = frozenset({b"content-encoding", b"content-length", b"transfer-encoding", b"location"})


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
    """The host's addresses, in the order the system prefers. Raises OSError, UnicodeError.

    In a thread of its own: a name whose servers are silent keeps its thread long after we have given up, and
    the few that an event loop has for names would soon all wait for such ones. Nor does a stop wait for it.
    """
    if not _LOOKUPS.acquire(blocking=False):
        raise OSError("too many names are being looked up")
    lookup: Future[Sequence[tuple[Any, ...]]] = Future()
    lookup.set_running_or_notify_cancel()  # from here on nobody can cancel it, only stop waiting

    def look_up() -> None:
        try:
            try:
                found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            finally:
                _LOOKUPS.release()  # before anybody hears of the answer, and asks for the next name
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is for who waits
            lookup.set_exception(exc)
        else:
            lookup.set_result(found)

    try:
        threading.Thread(target=look_up, daemon=True).start()
    except RuntimeError as exc:
        _LOOKUPS.release()
        raise OSError("no thread for a lookup") from exc
    return [str(sockaddr[0]) for *_, sockaddr in await asyncio.wrap_future(lookup)]


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
                return _Metered(await self._connect(address, port))
            except (httpcore.NetworkError, httpcore.TimeoutException, OSError):
                continue
        return _Metered(await self._connect(last, port))


class _Metered(httpcore.AsyncNetworkStream):
    """A connection on which no answer is longer than the request's limit and what comes with a body.

    A server may put as many informational answers before its answer, and as much framing into it, as it
    likes; all of that is parsed, at our expense, before anybody counts decoded bytes.
    """

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream
        self._left = 0

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - httpcore's
        self._left = _allowance.get()
        await self._stream.write(buffer, timeout)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - httpcore's
        received = await self._stream.read(min(max_bytes, _PIECE), timeout)
        self._left -= len(received)
        if self._left < 0:
            raise httpcore.RemoteProtocolError("an answer without end")
        return received

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's
    ) -> httpcore.AsyncNetworkStream:
        return _Metered(await self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

    async def aclose(self) -> None:
        await self._stream.aclose()


class GuardedTransport(httpx.AsyncBaseTransport):
    """httpx's way to the guarded pools. The request's `reach` extension says which one.

    One pool per scheme and reach: a connection that was opened for one is never used for another. Each is
    made when it is first needed: OpenSSL and the trust store are 2 MB.
    """

    def __init__(self, *, resolve: Resolve, connect: Connect) -> None:
        self._resolve = resolve
        self._connect = connect
        self._pools: dict[tuple[str, Reach], httpcore.AsyncConnectionPool] = {}

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return ssl.create_default_context()  # the system's trust store, or SSL_CERT_FILE

    def _pool(self, scheme: str, reach: Reach) -> httpcore.AsyncConnectionPool:
        if (scheme, reach) not in self._pools:
            self._pools[scheme, reach] = httpcore.AsyncConnectionPool(
                ssl_context=self._tls if scheme == "https" else None,
                max_connections=_CONNECTIONS,
                max_keepalive_connections=20,
                keepalive_expiry=_IDLE,
                network_backend=_GuardedBackend(reach, self._resolve, self._connect),
            )
        return self._pools[scheme, reach]

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        _allowance.set(request.extensions["limit"] + _OVERHEAD)
        response = await self._pool(url.scheme, request.extensions["reach"]).handle_async_request(
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

    It does so below httpx, which would read without a bound for an `httpx.Auth` that looks at bodies. Nor
    does httpx get to see `Location`, which it would read though it follows nothing, and fall over hosts that
    IDNA 2008 refuses: where there is one, it is the `location` extension of the answer.
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


def origin_of(url: httpx.URL) -> str:
    """As browsers spell it; httpx has lower-cased it and dropped a default port.

    Never by `url.host`, which decodes `xn--…` and raises where IDNA 2008 doesn't know such a name.
    """
    return f"{url.scheme}://{url.netloc.decode('ascii')}"


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
