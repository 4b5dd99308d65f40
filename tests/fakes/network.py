"""The ATProto network in memory: PLC directory, did:web, well-known handles, PDSes, issuers, client metadata.

    network = FakeNetwork()
    alice = network.add_account(handle="alice.pds.net", pds="https://pds.net")
    network.serve("https://app.net", httpx.ASGITransport(app).handle_async_request)
    fetcher = Fetcher(user_agent="…", transport=network, resolve=network.resolve)
    directory = Directory(fetcher, handle_resolver=network.resolver_url)
    ...
    callback = network.approve(authorization_url, account=alice)

A PDS is its own issuer unless it is told another (`add_pds(origin, issuer="https://entryway.net")`). What
anyone says can be bent: documents are data (`pds.metadata`, `issuer.metadata`, `account.document`), `answer`
puts a whole answer in place of the right one, `hang` gives none, `unplug` takes a host off the network,
`addresses` says where a name leads, `rewrite` changes what we send before it arrives. `requests`: all that
was sent, in order.
"""

import asyncio
import hashlib
import socket
import time
from base64 import b32encode
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

import httpx

from tests.fakes.accounts import Account, Pds, did_document
from tests.fakes.authorization_server import AuthorizationServer

PUBLIC_ADDRESS = "93.184.216.34"
PLC = "https://plc.directory"
RESOLVER = "https://resolver.net"

Handler = Callable[[httpx.Request], httpx.Response | Awaitable[httpx.Response]]


class FakeNetwork(httpx.AsyncBaseTransport):
    """In place of the transport of a `Fetcher`. `now` is the clock of every server here."""

    def __init__(self, *, now: Callable[[], float] = time.time, plc_url: str = PLC) -> None:
        self.now = now
        self.plc_url = plc_url
        self.resolver_url = RESOLVER
        self.requests: list[httpx.Request] = []
        self.accounts: dict[str, Account] = {}
        self.issuers: dict[str, AuthorizationServer] = {}
        self.pdses: dict[str, Pds] = {}
        self.addresses: dict[str, list[str]] = {}
        self.rewrite: dict[str, Callable[[httpx.Request], httpx.Request]] = {}
        self._unplugged: set[str] = set()
        self._answers: dict[str, Handler] = {}
        self._sites: dict[str, Handler] = {plc_url: self._plc, RESOLVER: self._resolve_handle}

    # Who is there

    def add_issuer(self, origin: str) -> AuthorizationServer:
        if origin not in self.issuers:
            self.issuers[origin] = AuthorizationServer(origin, self._fetch, self.now)
        return self.issuers[origin]

    def add_pds(self, origin: str, *, issuer: str | None = None) -> Pds:
        if origin not in self.pdses:
            self.pdses[origin] = Pds(origin, self.add_issuer(issuer or origin))
        return self.pdses[origin]

    def add_account(
        self,
        handle: str | None = None,
        *,
        did: str | None = None,
        pds: str = "https://pds.net",
        display_name: str | None = None,
    ) -> Account:
        """A did:plc made from the handle, unless `did` says which."""
        digest = b32encode(hashlib.sha256((handle or str(did)).encode()).digest()).decode().lower()
        account = Account(did or f"did:plc:{digest[:24]}", handle, self.add_pds(pds).origin, display_name)
        self.accounts[account.did] = account
        return account

    def serve(self, origin: str, handler: Handler) -> None:
        """A site of the test's own: `httpx.ASGITransport(app).handle_async_request`, or a function."""
        self._sites[origin] = handler

    # What goes wrong

    def answer(
        self, url: str, status: int = 200, *, headers: dict[str, str] | None = None, **content: Any
    ) -> None:
        """Always answer so at this URL (without query). `content`: arguments of httpx.Response."""
        self.handle(url, lambda _: httpx.Response(status, headers=headers, **content))

    def handle(self, url: str, handler: Handler) -> None:
        self._answers[url] = handler

    def hang(self, url: str) -> asyncio.Event:
        """Never answer at this URL; the event is set once a request has come."""
        arrived = asyncio.Event()

        async def wait(_: httpx.Request) -> httpx.Response:
            arrived.set()
            await asyncio.Event().wait()
            raise AssertionError("nobody sets this event")

        self.handle(url, wait)
        return arrived

    def unplug(self, origin: str) -> None:
        """Nobody listens there any more; the name still resolves."""
        self._unplugged.add(origin)

    def mend(self, url: str) -> None:
        """Undo `answer`, `handle`, `hang` or `unplug`."""
        self._answers.pop(url, None)
        self._unplugged.discard(url)

    # The person in front of the browser

    def approve(self, authorization_url: str, *, account: Account | str) -> str:
        """Sign in over there and consent: the callback URL. `account`: itself, its DID or its handle."""
        found = account if isinstance(account, Account) else self._find(account)
        issuer = self._issuer(authorization_url)
        if self.pdses[found.pds].issuer is not issuer:
            raise LookupError(f"{found.did} has no account at {issuer.origin}")
        return issuer.approve(authorization_url, found.did)

    def deny(self, authorization_url: str, error: str = "access_denied") -> str:
        """Say no over there: the callback URL."""
        return self._issuer(authorization_url).deny(authorization_url, error)

    def request_of(self, authorization_url: str) -> dict[str, str]:
        """What was pushed for this authorization URL: login_hint, prompt, …"""
        return self._issuer(authorization_url).request_of(authorization_url)

    # What was asked

    def asked(self, origin: str, path: str = "") -> list[httpx.Request]:
        """The requests to an origin, or to one path there."""
        return [r for r in self.requests if _origin(r.url) == origin and (not path or r.url.path == path)]

    # The wires

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self.requests.append(request)
        place = f"{_origin(request.url)}{request.url.path}"
        if place in self.rewrite:
            request = self.rewrite[place](request)
        return await self._dispatch(request)

    async def resolve(self, host: str, _port: int) -> Sequence[str]:
        """For `Fetcher(resolve=…)`, or in place of `sidecar.atproto.transport.resolve`."""
        if host in self.addresses:
            return self.addresses[host]
        origins = {*self._sites, *self.pdses, *self.issuers, f"https://{host}"}
        if any(urlsplit(origin).hostname == host and self._site(origin) for origin in origins):
            return [PUBLIC_ADDRESS]
        raise socket.gaierror(socket.EAI_NONAME, "name unknown")

    def _site(self, origin: str) -> Handler | None:
        if origin in self._sites:
            return self._sites[origin]
        if origin in self.pdses or origin in self.issuers:
            return self._server
        host = urlsplit(origin).netloc
        if any(host in (a.handle, a.did.removeprefix("did:web:")) for a in self.accounts.values()):
            return self._domain
        return None

    async def _fetch(self, url: str) -> httpx.Response:
        """As an authorization server fetches client metadata; not among `requests`, which are ours."""
        request = httpx.Request("GET", url)
        try:
            response = await self._dispatch(request)
        except httpx.ConnectError:
            return httpx.Response(502)
        await response.aread()
        return response

    async def _dispatch(self, request: httpx.Request) -> httpx.Response:
        origin = _origin(request.url)
        handler: Handler | None = self._answers.get(f"{origin}{request.url.path}") or self._site(origin)
        if handler is None or origin in self._unplugged:
            raise httpx.ConnectError(f"nobody at {origin}", request=request)
        response = handler(request)
        return response if isinstance(response, httpx.Response) else await response

    async def _server(self, request: httpx.Request) -> httpx.Response:
        """A host that is a PDS, an issuer or both."""
        origin, path = _origin(request.url), request.url.path
        pds = self.pdses.get(origin)
        if pds and path == "/.well-known/oauth-protected-resource":
            return httpx.Response(
                200,
                content=pds.issuer.habits.document(pds.metadata),
                headers={"Content-Type": "application/json"},
            )
        if pds and path == "/xrpc/com.atproto.repo.getRecord":
            return self._get_record(request)
        if pds and path == "/xrpc/com.atproto.sync.getRepoStatus":
            return self._repo_status(request)
        if pds and path == "/xrpc/com.atproto.identity.resolveHandle":
            return self._resolve_handle(request)
        if origin in self.issuers:
            return await self.issuers[origin].handle(request)
        return httpx.Response(404, json={"error": "NotFound"})

    def _get_record(self, request: httpx.Request) -> httpx.Response:
        query = request.url.params
        account = self.accounts.get(query.get("repo", ""))
        wanted = (query.get("collection"), query.get("rkey"))
        if account is None or account.display_name is None or account.pds != _origin(request.url):
            return httpx.Response(400, json={"error": "RecordNotFound"})
        if wanted != ("app.bsky.actor.profile", "self"):
            return httpx.Response(400, json={"error": "RecordNotFound"})
        value = {"$type": "app.bsky.actor.profile", "displayName": account.display_name}
        uri = f"at://{account.did}/app.bsky.actor.profile/self"
        return httpx.Response(200, json={"uri": uri, "cid": "bafyreib", "value": value})

    def _repo_status(self, request: httpx.Request) -> httpx.Response:
        """As the reference PDS answers it."""
        account = self.accounts.get(request.url.params.get("did", ""))
        if account is None or account.pds != _origin(request.url):
            return httpx.Response(
                400, json={"error": "RepoNotFound", "message": "Could not find repo for DID"}
            )
        if account.status is not None:
            gone = {"did": account.did, "active": False, "status": account.status}
            return httpx.Response(200, json=gone)
        return httpx.Response(200, json={"did": account.did, "active": True, "rev": "3l4qpz7ajrc2v"})

    def _resolve_handle(self, request: httpx.Request) -> httpx.Response:
        account = self._claimed_by(request.url.params.get("handle", ""))
        if account is None:
            return httpx.Response(400, json={"error": "HandleNotFound"})
        return httpx.Response(200, json={"did": account.did})

    def _domain(self, request: httpx.Request) -> httpx.Response:
        """A handle's own domain, or that of a did:web."""
        host = request.url.netloc.decode()
        if request.url.path == "/.well-known/did.json" and (account := self.accounts.get(f"did:web:{host}")):
            return httpx.Response(200, json=did_document(account))
        if request.url.path == "/.well-known/atproto-did" and (account := self._claimed_by(host)):
            return httpx.Response(200, text=account.did)
        return httpx.Response(404)

    def _plc(self, request: httpx.Request) -> httpx.Response:
        account = self.accounts.get(request.url.path.removeprefix("/"))
        if account is None or not account.did.startswith("did:plc:"):
            return httpx.Response(404, json={"message": "DID not registered"})
        content_type = {"Content-Type": "application/did+ld+json; charset=utf-8"}
        return httpx.Response(200, json=did_document(account), headers=content_type)

    def _claimed_by(self, handle: str) -> Account | None:
        claims = [a for a in self.accounts.values() if a.handle == handle and a.resolves]
        return claims[-1] if claims else None

    def _find(self, name: str) -> Account:
        for account in self.accounts.values():
            if name in (account.did, account.handle):
                return account
        raise LookupError(name)

    def _issuer(self, authorization_url: str) -> AuthorizationServer:
        for issuer in self.issuers.values():
            if authorization_url.startswith(
                issuer.metadata["authorization_endpoint"].partition("?")[0] + "?"
            ):
                return issuer
        raise LookupError(f"no issuer for {authorization_url}")


def _origin(url: httpx.URL) -> str:
    return f"{url.scheme}://{url.netloc.decode()}"
