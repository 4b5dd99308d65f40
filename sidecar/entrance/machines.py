"""What machines ask: client metadata, public keys, health.

Owns: the JSON routes. They answer under any Host: authorization servers and monitors aren't browsers.
Doesn't belong here: what client metadata must say (atproto.oauth).
"""

import asyncio
import json
from collections.abc import Callable
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from sidecar.atproto.oauth.client_metadata import check_client, client_metadata
from sidecar.atproto.oauth.models import Client
from sidecar.errors import StoreUnavailable
from sidecar.sessions.feed import Feed
from sidecar.store import Store


class Machines:
    """The JSON routes of one configuration."""

    def __init__(self, client: Client, *, store: Store, feed: Feed, now: Callable[[], float]) -> None:
        check_client(client)
        self._client = client
        self._documents: _Documents | None = None
        self._store = store
        self._feed = feed
        self._now = now

    async def client_metadata(self, _: Request) -> Response:
        """`GET` of the client_id: exactly 200, `application/json`, no redirect (OAuth profile, "Client ID
        metadata").
        """
        return _public((await self._made()).metadata)

    async def jwks(self, _: Request) -> Response:
        """`GET /jwks.json`: the public keys, the active one first."""
        return _public((await self._made()).jwks)

    async def _made(self) -> "_Documents":
        """In a thread, since cryptography may have to be loaded."""
        if self._documents is None:
            self._documents = await asyncio.to_thread(_documents, self._client)
        return self._documents

    async def healthz(self, _: Request) -> Response:
        """`GET /healthz`: the process is alive."""
        return _status(200, "ok")

    async def readyz(self, _: Request) -> Response:
        """`GET /readyz`: the store can be written to, and checks can be decided."""
        try:
            await self._store.ping()
        except StoreUnavailable:
            return _status(503, "store unavailable")
        if not self._feed.usable(self._now()):
            return _status(503, "revocations not loaded")
        return _status(200, "ready")


class _Documents(NamedTuple):
    metadata: bytes
    jwks: bytes


def _documents(client: Client) -> _Documents:
    keys = client.keys.public_jwks() if client.keys is not None else {"keys": []}
    return _Documents(json.dumps(client_metadata(client)).encode(), json.dumps(keys).encode())


def _public(body: bytes) -> Response:
    headers = {"cache-control": "public, max-age=300", "x-content-type-options": "nosniff"}
    return Response(body, media_type="application/json", headers=headers)


def _status(status: int, text: str) -> Response:
    body = json.dumps({"status": text}).encode()
    return Response(body, status, media_type="application/json", headers={"cache-control": "no-store"})
