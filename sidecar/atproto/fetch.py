"""Fetching from servers that strangers name: one `Fetcher`, and everything an answer says doubted.

Owns: which URLs are asked at all, the overall deadline, redirects, how status, type and JSON are read.
Doesn't belong here: addresses and connections (transport.py), what a document means (identity/, oauth/).

    httpx.AsyncClient              forms and auth; no cookies, no proxies from the environment
      └─ BoundedTransport          reads answers in full, capped in decoded bytes
           └─ GuardedTransport     one connection pool per reach
                └─ _GuardedBackend resolve → check every address → connect to a checked one
"""

import asyncio
import json
import re
from collections.abc import Collection, Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Never

import httpcore
import httpx

from . import transport as network
from .answers import BoundedTransport
from .errors import ForbiddenAddress, RequestRefused, ServerUnreachable, UnexpectedResponse
from .transport import Connect, GuardedTransport, Reach, Resolve, origin_of

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_TRY_LATER = frozenset({408, 425, 429})  # beside 5xx
# Bytes: the largest document that the reference implementation reads. What real servers have is under that.
LIMIT = 512 * 1024
# In one document. So many are read within 10 ms or so; nobody else is served meanwhile.
_MAX_VALUES = 50_000
_ESCAPED_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_TRANSPORT_FAULTS = (
    httpx.HTTPError,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.TimeoutException,
    OSError,
)


class Fetcher:
    """The one way out to the network. Tasks may share it; it belongs to one event loop.

    `deadline`: seconds for one request as a whole.
    `operator_origins`: origins the operator named (`https://plc.directory`). For requests made with
    `operator`, their addresses aren't checked and they may speak http. If a stranger names them, and as the
    target of a redirect, they are like any other.
    `private_origins`: https origins of servers of the operator's own, at whatever address. A request may go
    there, also if a stranger names it, but never by a redirect, and to no other name or port at the same
    address.
    `development`: hosts that resolve to loopback only are reachable too, over http and on any port.
    `resolve`, `connect`: in place of the system's. `transport`: in place of all that is guarded, for tests.
    """

    def __init__(
        self,
        *,
        user_agent: str,
        deadline: float = 10.0,
        operator_origins: frozenset[str] = frozenset(),
        private_origins: frozenset[str] = frozenset(),
        development: bool = False,
        resolve: Resolve | None = None,
        connect: Connect | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._deadline = deadline
        self._operator_origins = frozenset(origin_of(httpx.URL(url)) for url in operator_origins)
        self._private_origins = frozenset(origin_of(httpx.URL(url)) for url in private_origins)
        self._development = development
        self._public = Reach.PUBLIC_OR_LOOPBACK if development else Reach.PUBLIC
        self._resolve = resolve or network.resolve
        guarded = transport or GuardedTransport(resolve=self._resolve, connect=connect or network.connect)
        self._headers = {"User-Agent": user_agent, "Accept-Encoding": "identity", "Accept": "*/*"}
        self._client = httpx.AsyncClient(
            transport=BoundedTransport(guarded),
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # nobody gets to mark us
            timeout=None,  # noqa: S113 - httpx counts per operation; `deadline` bounds the whole
            trust_env=False,
        )

    async def aclose(self) -> None:
        await self._client.aclose()

    async def request(
        self,
        method: str,
        url: str,
        *,
        data: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        auth: httpx.Auth | None = None,
        limit: int = LIMIT,
        deadline: float | None = None,
        redirects: int = 0,
        operator: bool = False,
    ) -> httpx.Response:
        """The answer, whatever its status, read in full: at most `limit` decoded bytes.

        `deadline` can only shorten the Fetcher's own. Up to `redirects` redirects of a GET are followed, to
        https on port 443 only; auth stays behind. `operator`: the URL's origin is one that the operator's own
        settings name, and nobody else's word. Raises ServerUnreachable (transport faults, deadline),
        ForbiddenAddress, UnexpectedResponse (size, redirects).
        """
        target = _parse(url)
        reach = self._reach(target, operator=operator)
        hops = redirects if method == "GET" else 0
        try:
            async with asyncio.timeout(self._deadline if deadline is None else min(deadline, self._deadline)):
                response = await self._send(
                    method, target, reach, limit, data=data, headers=headers, auth=auth
                )
                while hops and _is_redirect(response):
                    hops -= 1
                    target = _next_hop(response)
                    response = await self._send("GET", target, self._public, limit, headers=headers)
        except TimeoutError as exc:
            raise ServerUnreachable(f"{origin_of(target)}: no whole answer in time") from exc
        except _TRANSPORT_FAULTS as exc:
            raise ServerUnreachable(f"{origin_of(target)}: {type(exc).__name__} {str(exc)[:200]}") from exc
        return response

    async def json(
        self,
        url: str,
        *,
        limit: int = LIMIT,
        content_types: Collection[str] = ("application/json",),
        headers: Mapping[str, str] | None = None,
        deadline: float | None = None,
        operator: bool = False,
    ) -> dict[str, object]:
        """The JSON object at the URL: status exactly 200, no redirect, one of the content types or `*/*`.

        Raises what `request` and `raise_for_fault` do, and UnexpectedResponse, whose `status` tells a 404
        from the rest.
        """
        accept = {"Accept": ", ".join(content_types), **(headers or {})}
        response = await self.request(
            "GET", url, headers=accept, limit=limit, deadline=deadline, operator=operator
        )
        raise_for_fault(response)
        origin = origin_of(response.url)
        if response.status_code != 200:
            raise UnexpectedResponse(f"{origin} answered {response.status_code}", status=response.status_code)
        media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type not in content_types and "*/*" not in content_types:
            raise UnexpectedResponse(f"{origin}: content type {media_type[:80]!r}")
        try:
            return parse_json_object(response.content)
        except ValueError as exc:
            raise UnexpectedResponse(f"{origin}: {str(exc)[:200]}") from exc

    async def check_url(self, url: str) -> None:
        """Judge a URL before a browser is sent there. Raises ForbiddenAddress, ServerUnreachable."""
        target = _parse(url)
        reach = self._reach(target)
        port = target.port or (443 if target.scheme == "https" else 80)
        try:
            async with asyncio.timeout(self._deadline):
                host = target.raw_host.decode("ascii")
                await network.checked_addresses(host, port, reach=reach, resolve=self._resolve)
        except TimeoutError as exc:
            raise ServerUnreachable(f"{origin_of(target)}: no name resolution in time") from exc

    async def _send(
        self,
        method: str,
        target: httpx.URL,
        reach: Reach,
        limit: int,
        *,
        data: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        auth: httpx.Auth | None = None,
    ) -> httpx.Response:
        host = {"Host": target.netloc.decode("ascii")}  # httpx would ask for `url.host` (see origin_of)
        request = httpx.Request(
            method,
            target,
            data=data,
            headers={**host, **self._headers, **(headers or {})},
            extensions={"reach": reach, "limit": limit},
        )
        return await self._client.send(request, auth=auth)

    def _reach(self, target: httpx.URL, *, operator: bool = False) -> Reach:
        origin = origin_of(target)
        if origin in self._private_origins or (operator and origin in self._operator_origins):
            return Reach.ANYWHERE
        if target.scheme == "https":
            return self._public
        if self._development:
            return Reach.LOOPBACK
        raise ForbiddenAddress(f"{origin} is not https")


def raise_for_fault(response: httpx.Response) -> None:
    """Raise if the server failed instead of answering: ServerUnreachable for 5xx, 408, 425 and 429.

    403 too (RequestRefused): with it the edges of large hosts refuse some clients and some networks, whatever
    they ask for.
    """
    origin, status = origin_of(response.url), response.status_code
    if status == 403:
        raise RequestRefused(
            f"{origin} answered 403: it, or an edge before it, refuses our client or network", status=status
        )
    if status >= 500 or status in _TRY_LATER:
        raise ServerUnreachable(f"{origin} answered {status}", status=status)


def parse_json_object(content: bytes) -> dict[str, object]:
    """One JSON object in UTF-8; a byte order mark before it is dropped (RFC 8259, section 8.1).

    Raises ValueError, also for what parsers read differently (doubled names, NaN), for lone surrogates, which
    no text can hold, and for what takes too long to read (deep nesting, too many values).
    """
    content = content.removeprefix(b"\xef\xbb\xbf")
    if _values(content) > _MAX_VALUES:
        raise ValueError("JSON with too many values")
    try:
        value = json.loads(content.decode(), object_pairs_hook=_unique, parse_constant=_no_constant)
        if _ESCAPED_SURROGATE.search(content):
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError as exc:
        raise ValueError("JSON nested too deeply") from exc
    if not isinstance(value, dict):
        raise ValueError("JSON, but not an object")  # noqa: TRY004 - a stranger's value, not a caller's mistake
    return value


def _values(content: bytes) -> int:
    """At least as many values as the JSON has. Strings don't count: they are quick to read."""
    between_quotes = content.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2]
    outside = b"".join(between_quotes)
    return sum(map(outside.count, (b",", b"[", b"{")))


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("JSON with a doubled name")
    return members


def _no_constant(name: str) -> Never:
    raise ValueError(f"JSON with {name}")


def _parse(url: str) -> httpx.URL:
    try:
        target = httpx.URL(url)
    except httpx.InvalidURL as exc:
        raise ForbiddenAddress(f"no URL: {url[:80]!r}") from exc
    plain = target.scheme in ("https", "http") and target.raw_host and not target.userinfo
    if not plain or not 0 < (443 if target.port is None else target.port) < 2**16:
        raise ForbiddenAddress(f"no plain https URL: {url[:80]!r}")
    return target


def _is_redirect(response: httpx.Response) -> bool:
    return response.status_code in _REDIRECTS and "location" in response.extensions


def _next_hop(response: httpx.Response) -> httpx.URL:
    try:
        hop = _parse(str(response.url.join(response.extensions["location"])))
    except (httpx.InvalidURL, ForbiddenAddress) as exc:
        raise UnexpectedResponse(f"{origin_of(response.url)} redirects to no URL") from exc
    if hop.scheme != "https" or hop.port is not None:
        raise UnexpectedResponse(f"{origin_of(response.url)} redirects to other than https on port 443")
    return hop
