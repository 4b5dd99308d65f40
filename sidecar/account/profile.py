"""Who am I: the signed-in visitor's own page.

Owns: `GET /`, and the display name, read from the person's own PDS.
Doesn't belong here: what apps learn (access/identity_headers.py); the name is decoration and no app gets
it.
"""

import asyncio

from starlette.requests import Request
from starlette.responses import Response

from sidecar.atproto.errors import AtprotoError
from sidecar.atproto.syntax import Did
from sidecar.errors import TooManyRequests
from sidecar.network.network import Network
from sidecar.replies.pages import Pages
from sidecar.replies.responses import response, see_other
from sidecar.replies.visible import visible
from sidecar.request.return_to import Destinations
from sidecar.settings import Settings
from sidecar.visit.limits import Slots
from sidecar.visit.visitors import Visitors

_PATIENCE = 2.0  # seconds
_MAX_NAME = 64  # characters; the lexicon app.bsky.actor.profile allows 64 graphemes


class Profile:
    """The profile page under one configuration."""

    def __init__(
        self,
        settings: Settings,
        *,
        network: Network,
        visitors: Visitors,
        destinations: Destinations,
        pages: Pages,
    ) -> None:
        self._own_address = settings.base_url + "/"
        self._network = network
        self._visitors = visitors
        self._destinations = destinations
        self._pages = pages
        self._slots = Slots(settings.limits.concurrent_sign_ins)  # each view asks a server

    async def show(self, request: Request) -> Response:
        """`GET /`: the page, or to the sign-in for who is signed out."""
        session = await self._visitors.session(request)
        if session is None:
            return see_other(self._destinations.login(self._own_address))
        who = self._visitors.principal(session)
        name = await self._display_name(Did(session.did))
        return response(self._pages.page(200, "profile", did=who.did, handle=who.handle, display_name=name))

    async def _display_name(self, did: Did) -> str:
        """The name in the person's own profile record, or "": the page never waits for it or fails by it."""
        try:
            with self._slots.take():
                async with asyncio.timeout(_PATIENCE):
                    identity = await self._network.lookup(did)
                    url = f"{identity.pds}/xrpc/com.atproto.repo.getRecord"
                    query = f"?repo={did}&collection=app.bsky.actor.profile&rkey=self"
                    record = (await self._network.json(url + query)).get("value")
        except (AtprotoError, TimeoutError, TooManyRequests):
            return ""
        name = record.get("displayName") if isinstance(record, dict) else None
        return visible(name, _MAX_NAME) if isinstance(name, str) else ""
