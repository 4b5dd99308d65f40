"""The app of one process: opens the resources, serves, exchanges the rest at a reload, shuts down.

Owns: what lasts as long as the process. Nothing else makes a Store, a Feed or a Network.
Doesn't belong here: which part gets which (wiring.py), behaviour.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING

from starlette.types import Receive, Scope, Send
from uvicorn.config import STARTUP_FAILURE

from sidecar import __version__, logs
from sidecar.check.tally import Tally
from sidecar.config_file import inputs
from sidecar.config_file.inputs import Contents, Inputs
from sidecar.entrance.descriptors import Descriptors
from sidecar.entrance.gate import DOOR
from sidecar.errors import StoreUnavailable
from sidecar.figures.counters import Counters, Snapshot
from sidecar.network.identity import client
from sidecar.network.network import Network
from sidecar.sessions.feed import Feed
from sidecar.sessions.reverify import Reverifier
from sidecar.settings import Settings
from sidecar.store import Store
from sidecar.store.memory import MemoryStore
from sidecar.store.sqlite import SqliteStore
from sidecar.wiring import Lasting, Wired, wire

if TYPE_CHECKING:  # for tests, which bring a network of their own
    import httpx

    from sidecar.atproto.transport import Resolve

log = logging.getLogger("sidecar")

_PRUNE_EVERY = 300.0  # seconds


def create(inputs: Inputs) -> "Sidecar":
    """The app as uvicorn's workers make it.

    Raises SystemExit if there can be no app. Its code tells uvicorn that a new worker would fail too:
    otherwise it would start them without end.
    """
    try:
        logs.configure(inputs.settings.log)
        return Sidecar(inputs.settings, inputs.contents)
    except Exception as error:
        log.exception("start failed", extra={"event": "start_failed", "reason": str(error)})
        raise SystemExit(STARTUP_FAILURE) from error


class Sidecar:
    """The ASGI app. What may be given beside the inputs is for tests: a store, a network, a clock.

    `contents`: of the files that the settings name; read here if they aren't given.
    """

    def __init__(
        self,
        settings: Settings,
        contents: Contents | None = None,
        *,
        store: Store | None = None,
        transport: "httpx.AsyncBaseTransport | None" = None,
        resolve: "Resolve | None" = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.now = now
        self._transport = transport
        self._resolve = resolve
        self.store = store or _store(settings, now)
        self.feed = Feed(self.store, max_stale=settings.session.revocation_max_stale, now=now)
        self.counters = Counters()
        self.tally = Tally(log, self.counters)
        self.descriptors = Descriptors()
        self.reverifier = Reverifier(
            self.store,
            self.feed,
            lambda did: self.network.verified_handle(did),  # noqa: PLW0108 # another one after a reload
            lambda did: self.network.lost_standing(did),  # noqa: PLW0108
            **_ages(settings),
            now=now,
        )
        self._retired: list[Network] = []  # questions may still be under way
        self._adopt(self.prepare(Inputs(settings, contents or inputs.contents(settings))))
        self._life = AsyncExitStack()
        self._loop: asyncio.AbstractEventLoop | None = None

    def _adopt(self, wired: Wired) -> None:
        self.settings = wired.settings
        self.client = wired.client
        self.network = wired.network
        self.sessions = wired.sessions
        self.bearers = wired.bearers
        self.gate = wired.gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            scope.get("state", {})[DOOR] = self  # the fast path finds the gate of the moment there
            await self._lifespan(receive, send)
        else:
            await self.gate(scope, receive, send)

    def prepare(self, given: Inputs) -> Wired:
        """What `switch` puts in place. Leaves no trace in what runs. Raises ConfigError or ValueError.

        May be called in another thread than the event loop's.
        """
        who = client(given.settings, given.contents.keys)
        network = Network(given.settings, who, transport=self._transport, resolve=self._resolve, now=self.now)
        lasting = Lasting(self.store, self.feed, self.tally, self.reverifier.seen, self.now)
        return wire(given, who, network, lasting)

    def switch(self, wired: Wired) -> None:
        """Follow the new inputs from the next request on, also on connections that are open.

        May be called in another thread: each request reads the gate once.
        """
        self._retired.append(self.network)
        self.feed.max_stale = wired.settings.session.revocation_max_stale
        self.reverifier.follow(**_ages(wired.settings))
        self._adopt(wired)

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

    def figures(self) -> Snapshot:
        """Of this process, now. May be called from another thread."""
        feed, none = self.feed, ()
        found = self.counters.snapshot()
        allowed = {(app, "allowed"): float(count) for app, count in list(self.tally.allowed.items())}
        found["checks"] = found.get("checks", {}) | allowed
        gauges = {
            "cookies_remembered": len(self.bearers),
            "ended_sessions": len(feed.ended_sessions.keys),
            "ended_accounts": len(feed.ended_accounts.entries),
            "feed_age_seconds": feed.age(self.now()),
            "feed_read_seconds": feed.took,
            "people_seen": len(self.reverifier.waiting),
            "people_waiting": len(self.reverifier.pauses),
            "log_lines_dropped": logs.dropped(),
            "workers": 1,
        }
        return found | {name: {none: float(value)} for name, value in gauges.items()}

    def end_account(self, did: str) -> None:
        """End every session of the account that began until now. From another thread. StoreUnavailable."""
        now = self.now()
        ending = self.feed.revoke_account(did, before=now, expires=now + self.settings.session.absolute)
        if self._loop is None:
            ending.close()
            raise StoreUnavailable("the sidecar is still starting")
        asyncio.run_coroutine_threadsafe(ending, self._loop).result()

    async def start(self) -> None:
        """Open the store, learn what it knows, start what runs beside the requests."""
        self._loop = asyncio.get_running_loop()
        life = self._life
        life.push_async_callback(self._close_networks)
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

    async def _close_networks(self) -> None:
        for network in (*self._retired, self.network):
            await network.aclose()

    async def _prune(self) -> None:
        while True:
            retired = len(self._retired)
            await asyncio.sleep(_PRUNE_EVERY)
            for _ in range(retired):  # what they were asked is answered by now
                await self._retired.pop(0).aclose()
            try:
                await self.store.prune()
            except StoreUnavailable as error:
                log.warning("pruning failed", extra={"event": "prune_failed", "reason": str(error)})

    def _announce(self) -> None:
        details = {"event": "started", "version": __version__, "public_url": self.settings.public_url}
        log.info("started", extra=details)


def _ages(settings: Settings) -> dict[str, float]:
    """How often people are asked about, and how long the answers are kept."""
    identity = settings.identity
    return {
        "max_age": min(identity.handle_max_age, identity.standing_max_age),
        "retention": settings.session.absolute,
    }


def _store(settings: Settings, now: Callable[[], float]) -> Store:
    bound = settings.limits.pending_sign_ins
    if settings.store.kind == "memory":
        return MemoryStore(now=now, max_records=bound)
    return SqliteStore(settings.store.path, now=now, max_records=bound)


async def _cancelled(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
