"""One connection to a server that a stranger named: how it is opened, what travels on it, how it ends.

Owns: the race of a host's addresses (RFC 8305), the bound on an answer's bytes on the wire, kept connections
that the server has ended, what was wrong with a certificate.
Doesn't belong here: which addresses may be dialled, the pools (transport.py).
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from itertools import zip_longest
from typing import Any

import httpcore

from .errors import (
    CertificateExpired,
    CertificateForAnotherName,
    CertificateFromUnknownIssuer,
    CertificateRefused,
)

_APART = 0.25  # seconds between two attempts (RFC 8305, section 5)
_MOST_ADDRESSES = 10  # dialled for one connection: a name may have thousands, of a victim's hosts
# Bytes on the wire beside the body: headers, framing, informational answers.
_OVERHEAD = 32 * 1024
# Bytes parsed at once. Between two pieces other tasks run.
_PIECE = 1024
# OpenSSL's X509_V_ERR_…, by number (openssl/x509_vfy.h).
_EXPIRED = frozenset({10})
_ANOTHER_NAME = frozenset({62, 64})  # host name, address
_UNKNOWN_ISSUER = frozenset({2, 18, 19, 20, 21, 27, 32})

Dial = Callable[[str], Awaitable[httpcore.AsyncNetworkStream]]


async def race(addresses: Sequence[str], dial: Dial) -> httpcore.AsyncNetworkStream:
    """The connection that is there first. The others are given up.

    The attempts begin 250 ms apart, or as soon as the one before has failed: an address that swallows packets
    holds up nobody. Raises the fault of the last attempt.
    """
    waiting = in_turn(addresses)[:_MOST_ADDRESSES]
    dials: set[asyncio.Future[httpcore.AsyncNetworkStream]] = set()
    winner: httpcore.AsyncNetworkStream | None = None
    fault: Exception = httpcore.ConnectError("no address to dial")
    try:
        while waiting or dials:
            if waiting:
                dials.add(asyncio.ensure_future(dial(waiting.pop(0))))
            done, _ = await asyncio.wait(
                dials, timeout=_APART if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            for attempt in done:
                try:
                    winner = attempt.result()
                except (httpcore.NetworkError, httpcore.TimeoutException, OSError) as exc:
                    dials.discard(attempt)
                    fault = exc
                else:
                    return winner
        raise fault
    finally:
        await _give_up(dials, winner)


async def _give_up(
    dials: set[asyncio.Future[httpcore.AsyncNetworkStream]], winner: httpcore.AsyncNetworkStream | None
) -> None:
    """End the attempts; close a connection that came too late."""
    for attempt in dials:
        attempt.cancel()
    for outcome in await asyncio.gather(*dials, return_exceptions=True):
        if isinstance(outcome, httpcore.AsyncNetworkStream) and outcome is not winner:
            await outcome.aclose()


def in_turn(addresses: Sequence[str]) -> list[str]:
    """IPv6 and IPv4 by turns, the family that the system prefers first (RFC 8305, section 4)."""
    preferred = [each for each in addresses if (":" in each) == (":" in addresses[0])]
    others = [each for each in addresses if each not in preferred]
    return [each for pair in zip_longest(preferred, others) for each in pair if each is not None]


class Allowance:
    """Bytes that may come beside the body of one answer. What of the body has been read is given back."""

    def __init__(self) -> None:
        self.left = _OVERHEAD


# Of the request that this task sends; httpcore, in between, would not pass it on.
allowance: ContextVar[Allowance] = ContextVar("allowance")


class ConnectionEnded(httpcore.ReadError):
    """The server ended a kept connection, and nothing of an answer had come."""


class Metered(httpcore.AsyncNetworkStream):
    """A connection on which the wrapping of an answer is bounded, and whose end is noticed in time.

    A server may send any number of informational answers, and a body in chunks of one byte. All of that is
    parsed, at our expense, before anybody counts decoded bytes.
    """

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream
        self._allowance: Allowance | None = None
        self._may_have_ended = False  # kept from an earlier request, and no byte has come for this one

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - httpcore's
        if self._allowance is not allowance.get():
            self._may_have_ended = self._allowance is not None
            self._allowance = allowance.get()
        await self._stream.write(buffer, timeout)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - httpcore's
        try:
            received = await self._stream.read(min(max_bytes, _PIECE), timeout)
        except (httpcore.ReadError, OSError) as exc:
            if self._may_have_ended:
                raise ConnectionEnded(f"a kept connection broke: {exc}") from exc
            raise
        if self._may_have_ended and not received:
            raise ConnectionEnded("a kept connection was closed without an answer")
        self._may_have_ended = False
        if self._allowance is not None:
            self._allowance.left -= len(received)
            if self._allowance.left < 0:
                raise httpcore.RemoteProtocolError("an answer without end")
        return received

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's
    ) -> httpcore.AsyncNetworkStream:
        """Raises CertificateRefused."""
        try:
            return Metered(await self._stream.start_tls(ssl_context, server_hostname, timeout))
        except httpcore.ConnectError as exc:
            if isinstance(exc.__cause__, ssl.SSLCertVerificationError):
                raise _refusal_of(exc.__cause__, server_hostname) from exc
            raise

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable" and _has_more(self._stream.get_extra_info("ssl_object")):
            return True  # httpcore then drops the connection, instead of sending the next request there
        return self._stream.get_extra_info(info)

    async def aclose(self) -> None:
        await self._stream.aclose()


def _has_more(tls: ssl.SSLObject | None) -> bool:
    """Whether an idle connection has received an end or bytes that nobody asked for.

    The server's close_notify may have come together with the last answer. Then the socket shows nothing.
    """
    if tls is None:
        return False
    try:
        tls.read(1)
    except ssl.SSLWantReadError:
        return False
    except ssl.SSLError:
        return True
    return True


def _refusal_of(fault: ssl.SSLCertVerificationError, host: str | None) -> CertificateRefused:
    number = fault.verify_code
    kind = CertificateRefused
    if number in _EXPIRED:
        kind = CertificateExpired
    elif number in _ANOTHER_NAME:
        kind = CertificateForAnotherName
    elif number in _UNKNOWN_ISSUER:
        kind = CertificateFromUnknownIssuer
    return kind(f"certificate of {host}: {fault.verify_message} (OpenSSL's X509 error {number})")
