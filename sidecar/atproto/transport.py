"""The guarded transport: how a request travels to a server that a stranger named.

Owns: resolve, check every address, connect to a checked one, read no more than was asked for. The guard sits
below httpcore's pool: connections are pooled by host name and certificates checked against it, while the
address that was checked is the one connected to.
Doesn't belong here: deadlines, redirects, what answers mean (fetch.py); which addresses are public
(addresses.py).

`resolve` and `connect` are the two ends that touch the network. A Fetcher takes others in their place;
tests that can't reach the Fetcher replace them here before it is made.
"""

import asyncio
import ipaddress
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import Future
from enum import Enum
from functools import cached_property
from typing import Any

import httpcore
import httpx

from .addresses import Address, is_loopback, is_public
from .connections import Allowance, ConnectionEnded, Metered, allowance, race
from .errors import ForbiddenAddress, HostNotFound, ServerUnreachable

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
LOOKUPS = threading.BoundedSemaphore(512)
_NO_ADDRESS = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}
_KEPT = 20  # connections in each pool, for the next request to the same server
_IDEMPOTENT = ("GET", "HEAD")


class Reach(Enum):
    """Where a request may go; one bad address condemns a host."""

    PUBLIC = "public unicast addresses"
    PUBLIC_OR_LOOPBACK = "public unicast addresses, or loopback only"
    LOOPBACK = "loopback only"
    ANYWHERE = "anywhere, because the operator named the server"

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
    if not LOOKUPS.acquire(blocking=False):
        raise OSError("too many names are being looked up")
    lookup: Future[Sequence[tuple[Any, ...]]] = Future()
    lookup.set_running_or_notify_cancel()  # from here on nobody can cancel it, only stop waiting

    def look_up() -> None:
        try:
            try:
                found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            finally:
                LOOKUPS.release()  # before anybody hears of the answer, and asks for the next name
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is for who waits
            lookup.set_exception(exc)
        else:
            lookup.set_result(found)

    try:
        threading.Thread(target=look_up, daemon=True).start()
    except RuntimeError as exc:
        LOOKUPS.release()
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
    """How httpcore opens connections: only to addresses that were checked just now."""

    def __init__(self, reach: Reach, resolve: Resolve, connect: Connect) -> None:
        self._reach = reach
        self._resolve = resolve
        self._connect = connect

    async def connect_tcp(
        self, host: str, port: int, *_: object, **__: object
    ) -> httpcore.AsyncNetworkStream:
        addresses = await checked_addresses(host, port, reach=self._reach, resolve=self._resolve)
        return Metered(await race(addresses, lambda address: self._connect(address, port)))


class GuardedTransport(httpx.AsyncBaseTransport):
    """httpx's way to the guarded pools. The request's `reach` extension says which one.

    There is one pool for each scheme and reach: a connection that was opened for one is never used for
    another. A second try has a pool of its own, which keeps no connections. Each is made when it is first
    needed: OpenSSL and the trust store are 2 MB.
    """

    def __init__(self, *, resolve: Resolve, connect: Connect) -> None:
        self._resolve = resolve
        self._connect = connect
        self._pools: dict[tuple[str, Reach, int], httpcore.AsyncConnectionPool] = {}

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return ssl.create_default_context()  # the system's trust store, or SSL_CERT_FILE

    def _pool(self, scheme: str, reach: Reach, kept: int) -> httpcore.AsyncConnectionPool:
        if (scheme, reach, kept) not in self._pools:
            self._pools[scheme, reach, kept] = httpcore.AsyncConnectionPool(
                ssl_context=self._tls if scheme == "https" else None,
                max_connections=_CONNECTIONS,
                max_keepalive_connections=kept,
                keepalive_expiry=_IDLE,
                network_backend=_GuardedBackend(reach, self._resolve, self._connect),
            )
        return self._pools[scheme, reach, kept]

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            return await self._send(request, kept=_KEPT)
        except ConnectionEnded:
            # The server may have acted on it, so only what may be repeated is (RFC 9110, section 9.2.2).
            if request.method not in _IDEMPOTENT:
                raise
            return await self._send(request, kept=0)

    async def _send(self, request: httpx.Request, *, kept: int) -> httpx.Response:
        url, own = request.url, Allowance()
        allowance.set(own)
        response = await self._pool(url.scheme, request.extensions["reach"], kept).handle_async_request(
            httpcore.Request(
                request.method,
                httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
                headers=request.headers.raw,
                content=request.stream,
                extensions=request.extensions,
            )
        )
        return httpx.Response(response.status, headers=response.headers, stream=_Body(response, own))

    async def aclose(self) -> None:
        for pool in self._pools.values():
            await pool.aclose()


class _Body(httpx.AsyncByteStream):
    def __init__(self, response: httpcore.Response, own: Allowance) -> None:
        self._response = response
        self._allowance = own

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._response.aiter_stream():
            self._allowance.left += len(chunk)
            yield chunk

    async def aclose(self) -> None:
        await self._response.aclose()


def origin_of(url: httpx.URL) -> str:
    """As browsers spell it; httpx has lower-cased it and dropped a default port.

    Never by `url.host`: that decodes `xn--…`, and raises an error for names that IDNA 2008 doesn't know.
    """
    return f"{url.scheme}://{url.netloc.decode('ascii')}"
