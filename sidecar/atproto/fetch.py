"""Fetching from servers that strangers name: one `Fetcher`, everything it says checked.

Owns: which URLs are asked at all, the overall deadline, redirects, and how an answer's status, type and JSON are read.
Doesn't belong here: addresses and connections (transport.py), what a document means (identity/, oauth/).

    httpx.AsyncClient          auth, forms, headers; no cookies, no proxies from the environment
      └─ BoundedTransport      reads answers in full, capped in decoded bytes
           └─ GuardedTransport one connection pool per reach
                └─ _GuardedBackend   resolve → check every address → connect to a checked one
"""

import asyncio
import json
from collections.abc import Collection, Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Never

import httpcore
import httpx

from . import transport as _transport
from .errors import FetchError, ForbiddenAddress, RequestRefused, ServerUnreachable, UnexpectedResponse
from .transport import BoundedTransport, Connect, GuardedTransport, Reach, Resolve

JSON = ("application/json",)
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_TRY_LATER = frozenset({408, 425, 429})


class Fetcher:
    """The one way out to the network. Safe to share between tasks; belongs to one event loop.

    `deadline`: seconds for one request as a whole. `operator_origins`: origins (`https://plc.directory`) the operator
    named himself: their addresses aren't checked and they may speak http, but never as the target of a redirect.
    `development`: hosts that resolve to loopback only are reachable too, over http and on any port.
    `resolve`, `connect`: in place of the system's name resolution and TCP. `transport`: in place of the guard (tests).
    """

    def __init__(
        self,
        *,
        user_agent: str,
        deadline: float = 10.0,
        operator_origins: frozenset[str] = frozenset(),
        development: bool = False,
        resolve: Resolve | None = None,
        connect: Connect | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._deadline = deadline
        self._operator_origins = operator_origins
        self._development = development
        self._resolve = resolve or _transport.resolve
        guarded = transport or GuardedTransport(resolve=self._resolve, connect=connect or _transport.connect)
        self._client = httpx.AsyncClient(
            transport=BoundedTransport(guarded),
            headers={"User-Agent": user_agent, "Accept": "*/*", "Accept-Encoding": "identity"},
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # nobody gets to mark us
            timeout=None,  # noqa: S113 - httpx's timeouts are per operation; ours is the overall deadline
            trust_env=False,
            follow_redirects=False,
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
        limit: int = 64 * 1024,
        deadline: float | None = None,
        redirects: int = 0,
    ) -> httpx.Response:
        """The answer, whatever its status, read in full: at most `limit` decoded bytes within `deadline` seconds.

        Up to `redirects` redirects of a GET are followed, to https on port 443 only; form and auth stay behind.
        Raises ServerUnreachable (transport faults, deadline), ForbiddenAddress, UnexpectedResponse (size, redirect).
        """
        target = _parse(url)
        try:
            async with asyncio.timeout(self._deadline if deadline is None else deadline):
                response = await self._send(method, target, self._reach(target), data, headers, auth, limit)
                for _ in range(redirects if method == "GET" else 0):
                    if not _is_redirect(response):
                        break
                    target = _next_hop(target, response)
                    response = await self._send(method, target, self._public, None, headers, None, limit)
        except FetchError:
            raise
        except TimeoutError as exc:
            raise ServerUnreachable(f"{_origin(target)}: no complete answer in time") from exc
        except (
            httpx.HTTPError,
            httpx.InvalidURL,
            httpcore.NetworkError,
            httpcore.TimeoutException,
            httpcore.ProtocolError,
            httpcore.UnsupportedProtocol,
            OSError,
        ) as exc:
            raise ServerUnreachable(f"{_origin(target)}: {type(exc).__name__} {str(exc)[:200]}") from exc
        if redirects and _is_redirect(response):
            raise UnexpectedResponse(f"{_origin(target)}: too many redirects", status=response.status_code)
        return response

    async def json(
        self,
        url: str,
        *,
        limit: int = 64 * 1024,
        content_types: Collection[str] = JSON,
        headers: Mapping[str, str] | None = None,
        deadline: float | None = None,
    ) -> dict[str, object]:
        """The JSON object at the URL: status exactly 200, no redirect, one of the content types.

        Raises what `request` does, ServerUnreachable for 5xx and 429, RequestRefused for 403, and
        UnexpectedResponse, whose `status` tells a 404 from the rest.
        """
        accept = {"Accept": ", ".join(content_types), **(headers or {})}
        response = await self.request("GET", url, headers=accept, limit=limit, deadline=deadline)
        raise_for_fault(response)
        origin = _origin(response.url)
        if response.status_code != 200:
            raise UnexpectedResponse(f"{origin} answered {response.status_code}", status=response.status_code)
        media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type not in content_types:
            raise UnexpectedResponse(f"{origin}: content type {media_type[:80]!r}")
        try:
            return parse_json_object(response.content)
        except ValueError as exc:
            raise UnexpectedResponse(f"{origin}: {str(exc)[:200]}") from exc

    async def check_url(self, url: str) -> None:
        """Check a URL before a browser is sent there. Raises ForbiddenAddress, ServerUnreachable."""
        target = _parse(url)
        reach = self._reach(target)
        port = target.port or (443 if target.scheme == "https" else 80)
        try:
            async with asyncio.timeout(self._deadline):
                await _transport.checked_addresses(target.host, port, reach=reach, resolve=self._resolve)
        except TimeoutError as exc:
            raise ServerUnreachable(f"{target.host}: name resolution took too long") from exc

    @property
    def _public(self) -> Reach:
        return Reach.PUBLIC_OR_LOOPBACK if self._development else Reach.PUBLIC

    def _reach(self, target: httpx.URL) -> Reach:
        if _origin(target) in self._operator_origins:
            return Reach.ANYWHERE
        if target.scheme == "https":
            return self._public
        if self._development:
            return Reach.LOOPBACK
        raise ForbiddenAddress(f"{_origin(target)} is not https")

    async def _send(
        self,
        method: str,
        target: httpx.URL,
        reach: Reach,
        data: Mapping[str, str] | None,
        headers: Mapping[str, str] | None,
        auth: httpx.Auth | None,
        limit: int,
    ) -> httpx.Response:
        request = self._client.build_request(
            method, target, data=data, headers=headers, extensions={"reach": reach, "limit": limit}
        )
        return await self._client.send(request, auth=auth)


def raise_for_fault(response: httpx.Response) -> None:
    """Raise where the server failed rather than answered: RequestRefused for 403, ServerUnreachable for 5xx and 429."""
    origin, status = _origin(response.url), response.status_code
    if status == 403:
        raise RequestRefused(
            f"{origin} answered 403: it, or the edge before it, refuses clients like ours or our address"
        )
    if status >= 500 or status in _TRY_LATER:
        raise ServerUnreachable(f"{origin} answered {status}")


def parse_json_object(content: bytes) -> dict[str, object]:
    """One JSON object in UTF-8, without what parsers disagree about. Raises ValueError.

    Refused: doubled names and NaN (RFC 8259 leaves them open), nesting too deep, surrogates that no text can hold.
    """
    try:
        value = json.loads(content.decode(), object_pairs_hook=_unique, parse_constant=_no_constant)
        json.dumps(value, ensure_ascii=False).encode()
    except RecursionError as exc:
        raise ValueError("JSON nested too deeply") from exc
    if not isinstance(value, dict):
        raise ValueError("JSON, but not an object")  # noqa: TRY004 - a wrong value from outside, not a wrong call
    return value


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
        raise ForbiddenAddress(f"not a URL: {url[:80]!r}") from exc
    if target.scheme not in ("https", "http") or not target.host or target.userinfo:
        raise ForbiddenAddress(f"not a plain https URL: {url[:80]!r}")
    return target


def _next_hop(target: httpx.URL, response: httpx.Response) -> httpx.URL:
    try:
        hop = _parse(str(target.join(response.headers["location"])))
    except (httpx.InvalidURL, ForbiddenAddress) as exc:
        raise UnexpectedResponse(
            f"{_origin(target)}: redirect to no URL", status=response.status_code
        ) from exc
    if hop.scheme != "https" or hop.port is not None:
        raise UnexpectedResponse(
            f"{_origin(target)}: redirect to other than https", status=response.status_code
        )
    return hop


def _is_redirect(response: httpx.Response) -> bool:
    return response.status_code in _REDIRECTS and "location" in response.headers


def _origin(url: httpx.URL) -> str:
    """As browsers spell it: default ports left out (httpx has dropped them already)."""
    return f"{url.scheme}://{url.netloc.decode('ascii')}"
