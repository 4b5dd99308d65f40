"""The composition root: opens the resources, wires the parts, serves, shuts down.

Owns: which part gets which, in one place, and the process's life. Nothing else makes a Store, a Feed or a
Fetcher.
Doesn't belong here: behaviour.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING

from starlette.types import Receive, Scope, Send
from uvicorn.config import STARTUP_FAILURE

from sidecar import __version__, logs, routes
from sidecar.access.policy import Policy
from sidecar.account.logout import Logout
from sidecar.account.profile import Profile
from sidecar.check.check import Check
from sidecar.check.refusals import Refusals
from sidecar.check.tally import Tally
from sidecar.entrance.descriptors import Descriptors
from sidecar.entrance.gate import GATE, Gate
from sidecar.entrance.machines import Machines
from sidecar.errors import StoreUnavailable
from sidecar.network.identity import client
from sidecar.network.network import Network
from sidecar.replies.pages import Pages
from sidecar.request.return_to import Destinations
from sidecar.sessions.bearers import Bearers
from sidecar.sessions.cookie import Sessions
from sidecar.sessions.feed import Feed
from sidecar.sessions.reverify import Reverifier
from sidecar.settings import Settings
from sidecar.signin.callback import Callback
from sidecar.signin.login import Login
from sidecar.signin.pending import PendingSignIns
from sidecar.store import Store
from sidecar.store.memory import MemoryStore
from sidecar.store.sqlite import SqliteStore
from sidecar.visit.limits import Slots
from sidecar.visit.visitors import Visitors

if TYPE_CHECKING:  # for tests, which bring a network of their own
    import httpx

    from sidecar.atproto.transport import Resolve

log = logging.getLogger("sidecar")

_PRUNE_EVERY = 300.0  # seconds


def create(settings: Settings) -> "Sidecar":
    """The app as uvicorn's workers make it.

    Raises SystemExit if there can be no app. Its code tells uvicorn that a new worker would fail too:
    otherwise it would start them without end.
    """
    try:
        logs.configure(settings.log)
        return Sidecar(settings)
    except Exception as error:
        log.exception("start failed", extra={"event": "start_failed", "reason": str(error)})
        raise SystemExit(STARTUP_FAILURE) from error


class Sidecar:
    """The ASGI app. What may be given beside the settings is for tests: a store, a network, a clock."""

    def __init__(
        self,
        settings: Settings,
        *,
        store: Store | None = None,
        transport: "httpx.AsyncBaseTransport | None" = None,
        resolve: "Resolve | None" = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings
        self.now = now
        self.store = store or _store(settings, now)
        self.client = client(settings)
        self.network = Network(settings, self.client, transport=transport, resolve=resolve, now=now)
        self.feed = Feed(self.store, max_stale=settings.session.revocation_max_stale, now=now)
        self.tally = Tally(log)
        self.descriptors = Descriptors()
        self.reverifier = Reverifier(
            self.store,
            self.feed,
            self.network.verified_handle,
            self.network.lost_standing,
            max_age=min(settings.identity.handle_max_age, settings.identity.standing_max_age),
            retention=settings.session.absolute,
            now=now,
        )
        self.sessions = Sessions(settings)
        self.bearers = Bearers(settings, sessions=self.sessions, feed=self.feed)
        self.gate = self._wire()
        self._life = AsyncExitStack()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            scope.get("state", {})[GATE] = self.gate  # the fast path finds it there
            await self._lifespan(receive, send)
        else:
            await self.gate(scope, receive, send)

    def _wire(self) -> Gate:
        settings, now, store, feed, sessions = self.settings, self.now, self.store, self.feed, self.sessions
        policy = Policy(settings.apps, settings.groups, scheme=settings.scheme)
        pages = Pages(settings)
        destinations = Destinations(settings, policy.knows)
        visitors = Visitors(settings, sessions=sessions, store=store, feed=feed, now=now)
        slots = Slots(settings.limits.concurrent_sign_ins)
        pending = PendingSignIns(
            store, settings.session.cookie_secrets, secure=not settings.loopback, now=now
        )
        refusals = Refusals(settings, pages=pages, destinations=destinations, deletions=sessions.deletions)
        check = Check(
            settings,
            policy=policy,
            sessions=sessions,
            bearers=self.bearers,
            refusals=refusals,
            tally=self.tally,
            seen=self.reverifier.seen,
            now=now,
        )
        login = Login(
            settings,
            network=self.network,
            pending=pending,
            slots=slots,
            visitors=visitors,
            destinations=destinations,
            pages=pages,
            now=now,
        )
        callback = Callback(
            settings,
            network=self.network,
            pending=pending,
            slots=slots,
            sessions=sessions,
            store=store,
            feed=feed,
            visitors=visitors,
            destinations=destinations,
            pages=pages,
            now=now,
        )
        logout = Logout(settings, sessions=sessions, feed=feed, visitors=visitors, pages=pages)
        profile = Profile(
            settings,
            network=self.network,
            visitors=visitors,
            destinations=destinations,
            pages=pages,
        )
        machines = Machines(self.client, store=store, feed=feed, now=now)
        router = routes.router(settings, login, callback, logout, profile, machines)
        return Gate(
            settings,
            check=check,
            routes=router,
            sessions=sessions,
            pages=pages,
            destinations=destinations,
            now=now,
        )

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self.start()
        except Exception as error:
            log.exception("start failed", extra={"event": "start_failed"})
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.stop()
        await send({"type": "lifespan.shutdown.complete"})

    async def start(self) -> None:
        """Open the store, learn what it knows, start what runs beside the requests."""
        life = self._life
        life.push_async_callback(self.network.aclose)
        life.push_async_callback(self.store.close)
        with suppress(StoreUnavailable):  # the feed keeps trying; until then checks answer 503
            await self.store.open()
        for part in (self.feed, self.reverifier, self.tally, self.descriptors):
            await part.start()
            life.push_async_callback(part.stop)
        pruning = asyncio.create_task(self._prune())
        life.push_async_callback(_cancelled, pruning)
        self._announce()

    async def stop(self) -> None:
        """The reverse of `start`."""
        await self._life.aclose()

    async def _prune(self) -> None:
        while True:
            await asyncio.sleep(_PRUNE_EVERY)
            try:
                await self.store.prune()
            except StoreUnavailable as error:
                log.warning("pruning failed", extra={"event": "prune_failed", "reason": str(error)})

    def _announce(self) -> None:
        details = {"event": "started", "version": __version__, "public_url": self.settings.public_url}
        log.info("started", extra=details)


def _store(settings: Settings, now: Callable[[], float]) -> Store:
    bound = settings.limits.pending_sign_ins
    if settings.store.kind == "memory":
        return MemoryStore(now=now, max_records=bound)
    return SqliteStore(settings.store.path, now=now, max_records=bound)


async def _cancelled(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
