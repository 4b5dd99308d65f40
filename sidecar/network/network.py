"""Questions to other people's servers, and the loading of what they need.

Owns: that HTTP and OAuth are loaded with the first question, in a thread, so that checks go on meanwhile. A
worker that signs nobody in never pays for them.
Doesn't belong here: how the parts are made (parts.py).
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

from sidecar.atproto.errors import AtprotoError
from sidecar.atproto.oauth.models import Client, Grant, PendingSignIn, Prompt, SignedIn
from sidecar.atproto.syntax import Did, Handle, ServerUrl
from sidecar.figures.counters import Counters
from sidecar.settings import Settings

if TYPE_CHECKING:  # loaded with the first question
    import httpx

    from sidecar.atproto.identity import Identity
    from sidecar.atproto.transport import Resolve
    from sidecar.network.parts import Parts


class Network:
    """Asks for one `client`. `transport` and `resolve` are for tests.

    Every question raises what the same method of atproto's `OAuthClient`, `Directory` or `Fetcher` raises.
    """

    def __init__(
        self,
        settings: Settings,
        client: Client,
        *,
        transport: "httpx.AsyncBaseTransport | None" = None,
        resolve: "Resolve | None" = None,
        now: Callable[[], float] = time.time,
        counters: Counters | None = None,
    ) -> None:
        self._counters = counters or Counters()
        self._settings = settings
        self._client = client
        self._transport = transport
        self._resolve = resolve
        self._now = now
        self._parts: Parts | None = None

    async def start(
        self,
        identifier: Did | Handle | ServerUrl,
        *,
        prompt: Prompt | None = None,
        login_hint: str | None = None,
    ) -> tuple[PendingSignIn, str]:
        """Begin a sign-in: the record to keep, and the URL to send the browser to."""
        async with self._asked("start") as parts:
            return await parts.oauth.start(identifier, prompt=prompt, login_hint=login_hint)

    async def finish(self, pending: PendingSignIn, params: Sequence[tuple[str, str]]) -> SignedIn:
        """Finish a sign-in: who came back."""
        async with self._asked("finish") as parts:
            return await parts.oauth.finish(pending, params)

    async def revoke(self, grant: Grant) -> None:
        """Revoke the tokens of a sign-in; never raises."""
        async with self._asked("revoke") as parts:
            await parts.oauth.revoke(grant)

    async def lookup(self, did: Did) -> "Identity":
        """The account's document and its verified handle, perhaps from the cache."""
        async with self._asked("identity") as parts:
            return await parts.directory.lookup(did)

    async def verified_handle(self, did: str) -> str | None:
        """The handle that holds both ways right now, or None."""
        async with self._asked("handle") as parts:
            return await parts.directory.verified_handle(Did(did))

    async def lost_standing(self, did: str) -> str | None:
        """Why the account isn't active at its own server, or None."""
        async with self._asked("standing") as parts:
            return await parts.lost_standing(Did(did))

    async def json(self, url: str) -> dict[str, Any]:
        """A JSON object from somebody's server."""
        async with self._asked("profile") as parts:
            return await parts.fetcher.json(url)

    async def aclose(self) -> None:
        """Close the connections, if any were opened."""
        if self._parts is not None:
            await self._parts.fetcher.aclose()

    @asynccontextmanager
    async def _asked(self, kind: str) -> AsyncIterator["Parts"]:
        """The parts, for a question of that kind, which is counted with its result."""
        parts = await self._loaded()
        result = "failed"
        try:
            with self._counters.timed("question_seconds", kind):
                yield parts
            result = "ok"
        except AtprotoError as error:
            result = error.code
            raise
        finally:
            self._counters.count("questions", kind, result)

    async def _loaded(self) -> "Parts":
        if self._parts is None:
            parts = await asyncio.to_thread(import_module, "sidecar.network.parts")
            if self._parts is None:  # two first questions may have waited
                self._parts = parts.make(
                    self._settings,
                    self._client,
                    transport=self._transport,
                    resolve=self._resolve,
                    now=self._now,
                )
        return self._parts
