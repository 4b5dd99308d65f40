"""What machines ask: client metadata, public keys, health.

Owns: the JSON routes. They answer under any Host: authorization servers and monitors aren't browsers.
Doesn't belong here: what client metadata must say (atproto.oauth).
"""

import json
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response

from sidecar.atproto.oauth.client_metadata import client_metadata
from sidecar.atproto.oauth.models import Client
from sidecar.errors import StoreUnavailable
from sidecar.sessions.feed import Feed
from sidecar.store import Store


class Machines:
    """The JSON routes of one configuration."""

    def __init__(self, client: Client, *, store: Store, feed: Feed, now: Callable[[], float]) -> None:
        keys = client.keys.public_jwks() if client.keys is not None else {"keys": []}
        self._metadata = json.dumps(client_metadata(client)).encode()
        self._jwks = json.dumps(keys).encode()
        self._store = store
        self._feed = feed
        self._now = now

    async def client_metadata(self, _: Request) -> Response:
        """`GET` of the client_id: exactly 200, `application/json`, no redirect (OAuth profile, "Client ID
        metadata").
        """
        return _public(self._metadata)

    async def jwks(self, _: Request) -> Response:
        """`GET /jwks.json`: the public keys, the active one first."""
        return _public(self._jwks)

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


def _public(body: bytes) -> Response:
    headers = {"cache-control": "public, max-age=300", "x-content-type-options": "nosniff"}
    return Response(body, media_type="application/json", headers=headers)


def _status(status: int, text: str) -> Response:
    body = json.dumps({"status": text}).encode()
    return Response(body, status, media_type="application/json", headers={"cache-control": "no-store"})
