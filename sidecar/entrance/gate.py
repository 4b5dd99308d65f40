"""What every request passes before its route: the one way in.

Owns: who may connect, sizes, the public host, the request id, and the page for whatever was raised.
Doesn't belong here: routes (routes.py), the check's own answers (check/check.py).
"""

import ipaddress
import logging
import secrets
from collections.abc import Callable
from functools import lru_cache
from typing import Protocol

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from sidecar.check.check import Check
from sidecar.entrance.strangers import Strangers
from sidecar.entrance.turns import Turns
from sidecar.errors import DuplicateCookies, RequestTooLarge, RequestTooSlow, SidecarError
from sidecar.hosts import canonical_host
from sidecar.logs import request_id
from sidecar.replies.pages import Pages
from sidecar.replies.reply import Reply, redirect, text
from sidecar.replies.words import explain
from sidecar.request import forwarded
from sidecar.request.return_to import Destinations
from sidecar.sessions.cookie import Sessions
from sidecar.settings import Settings

log = logging.getLogger("sidecar")

MAX_HEADERS = 64 * 1024  # bytes
DOOR = "door"  # where the app's lifespan state has the Door, for the fast path
_READING = ("GET", "HEAD")
_ANY_HOST = ("/jwks.json", "/healthz", "/readyz")
_MOVED = b"moved=1"  # marks our redirect to the public host: a proxy that rewrites Host must not make it loop


class Door(Protocol):
    """Who has the gate of the moment: a reload puts another one in its place."""

    @property
    def gate(self) -> "Gate": ...


class Gate:
    """ASGI app for http requests: the check at once, everything else through the routes."""

    def __init__(
        self,
        settings: Settings,
        *,
        check: Check,
        routes: ASGIApp,
        sessions: Sessions,
        pages: Pages,
        destinations: Destinations,
        now: Callable[[], float],
    ) -> None:
        self.check_path = settings.prefix + "/check"
        self._any_host = {settings.client_id_path, *(settings.prefix + path for path in _ANY_HOST)}
        self._public_url = settings.public_url
        self._public_host = settings.public_host
        self._scheme = settings.scheme
        self._unix = settings.server.listen.startswith("unix:")
        self.check = check
        self._routes = routes
        self._sessions = sessions
        self.pages = pages
        self._destinations = destinations
        self._turns = Turns()
        self._strangers = Strangers(pages, now=now)
        networks = settings.server.trusted_peers

        @lru_cache(maxsize=256)
        def trusted(peer: str) -> bool:
            address = ipaddress.ip_address(peer)
            return any(address in network for network in networks)

        self._trusted = trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"{scope['type']} is not served: run uvicorn with ws='none'")
        if not self.may_connect(scope["client"]):
            await _send(send, self._strangers.refuse(_address(scope["client"]), scope["headers"]))
        elif scope["path"] == self.check_path:
            await _send(send, self._checked(scope))
        else:
            await self._serve(scope, receive, send)

    def may_connect(self, client: tuple[str, int] | None) -> bool:
        """A unix socket has no address; its mode is the guard (uvicorn then gives None)."""
        return self._unix if client is None else self._trusted(client[0])

    def _checked(self, scope: Scope) -> Reply:
        if size(scope["headers"]) > MAX_HEADERS:
            return text(413, "More headers than a check needs.")
        if scope["method"] not in _READING:
            return text(405, "A check is a GET.", [(b"allow", b"GET, HEAD")])
        try:
            return self.check.answer(scope["headers"])
        except Exception:
            log.exception("check failed", extra={"event": "internal_error"})
            return text(500, "The sign-in gate failed. Its log says why.")

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        identifier = secrets.token_hex(6)
        token = request_id.set(identifier)
        started = False

        async def send_once_started(message: object) -> None:
            nonlocal started
            started = True
            await send(message)  # type: ignore[arg-type] # passed on as it came

        try:
            refusal = self._refuse(scope)
            if refusal is not None:
                await _send(send, refusal)
                return
            await self._turns.run(self._page(scope, receive, send_once_started))
        except Exception as error:
            if started:
                raise
            await _send(send, self._explain(error, identifier, scope["path"]))
        finally:
            request_id.reset(token)

    async def _page(self, scope: Scope, receive: Receive, send: Send) -> None:
        # makes starlette raise its 404 and 405 instead of answering in plain text
        scope["app"] = self._routes
        await self._routes(scope, receive, send)

    def _refuse(self, scope: Scope) -> Reply | None:
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        if size(headers) > MAX_HEADERS:
            raise RequestTooLarge("headers over 64 kB")
        if scope["path"] in self._any_host or self._on_public_host(headers):
            return None
        return self._elsewhere(scope)

    def _on_public_host(self, headers: list[tuple[bytes, bytes]]) -> bool:
        hosts = [value for name, value in headers if name == b"host"]
        try:
            return (
                len(hosts) == 1
                and canonical_host(hosts[0].decode("ascii"), scheme=self._scheme) == self._public_host
            )
        except ValueError:
            return False

    def _elsewhere(self, scope: Scope) -> Reply:
        """Under another Host our cookies don't live: pages move to the public URL, forms can't (RFC 9110
        15.5.20).
        """
        query = scope["query_string"]
        if scope["method"] in _READING and _MOVED not in query.split(b"&"):
            moved = b"&".join(part for part in (query, _MOVED) if part)
            where = scope["raw_path"] + b"?" + moved
            if not forwarded.is_uri(where):  # `*`, bytes beyond ASCII
                raise HTTPException(400)
            return redirect(302, self._public_url + where.decode("ascii"))
        raise HTTPException(421)

    def _explain(self, error: Exception, identifier: str, path: str) -> Reply:
        explanation = explain(error)
        if explanation.status >= 500 and not isinstance(error, SidecarError | HTTPException):
            log.error("request failed", exc_info=error, extra={"event": explanation.code})
        elif not isinstance(error, HTTPException):
            log.info("request refused", extra={"event": explanation.code, "reason": str(error)[:500]})
        headers = [(b"x-request-id", identifier.encode())]
        if isinstance(error, RequestTooSlow):
            headers.append((b"connection", b"close"))  # RFC 9110 section 15.5.9
        if isinstance(error, DuplicateCookies):
            headers += [(b"set-cookie", each.encode()) for each in self._sessions.deletions(path)]
        if isinstance(error, HTTPException) and error.headers:
            headers += [(name.lower().encode(), value.encode()) for name, value in error.headers.items()]
        try:
            return self.pages.page(
                explanation.status,
                "error",
                headers,
                explanation=explanation,
                login_url=self._destinations.login(""),
                switch_url=self._destinations.login("", switch=True),
                request_id=identifier,
            )
        except Exception:  # an operator's template
            log.exception("no page", extra={"event": "template_failed"})
            return text(explanation.status, f"{explanation.title}. {explanation.message}", headers)


def _address(client: tuple[str, int] | None) -> str:
    return "" if client is None else client[0]


def size(headers: list[tuple[bytes, bytes]]) -> int:
    """In bytes; the line of the request isn't counted."""
    return sum(len(name) + len(value) for name, value in headers)


async def _send(send: Send, reply: Reply) -> None:
    await send({"type": "http.response.start", "status": reply.status, "headers": reply.headers})
    await send({"type": "http.response.body", "body": reply.body})
