"""What the supervisor orders its workers to do, and how a worker obeys.

Owns: both ends of the pipe between the two, and the app of the process that serves.
Doesn't belong here: when to order what (reload.py), starting and replacing workers (workers.py).

A worker obeys in a thread, so its event loop goes on with checks. The exchange itself is one assignment.
"""

import logging
import threading
from collections.abc import Callable
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

from starlette.types import ASGIApp

from sidecar import logs
from sidecar.config_file.inputs import Inputs
from sidecar.errors import ConfigError, SidecarError
from sidecar.figures.counters import Snapshot
from sidecar.sessions.cookie import Session

log = logging.getLogger("sidecar")

PREPARE, SWITCH, DROP, END, ENDED = "prepare", "switch", "drop", "end", "ended"
FIGURES = "figures"
_PATIENCE = 30.0  # seconds for a worker to obey

MakeApp = Callable[[Inputs], ASGIApp]


class Serving:
    """The app of this process, which can be changed while it serves. `make_app`: importable by name."""

    def __init__(self, make_app: MakeApp, inputs: Inputs) -> None:
        self._make_app = make_app
        self.inputs = inputs
        self._app: Any = None  # with `prepare` and `switch`, as app.Sidecar has them
        self._prepared: tuple[Inputs, Any] | None = None

    def make(self) -> ASGIApp:
        """The app, for uvicorn."""
        self._app = self._make_app(self.inputs)
        return self._app  # type: ignore[no-any-return]

    def prepare(self, inputs: Inputs) -> list[str]:
        """Make the new parts beside the old ones; what went wrong, empty if nothing did."""
        if self._app is None:
            return ["the sidecar is still starting; try again in a moment"]
        try:
            self._prepared = inputs, self._app.prepare(inputs)
        except ConfigError as error:
            return error.faults
        except Exception as error:
            log.exception("the new configuration can't be used", extra={"event": "reload_failed"})
            return [repr(error)]
        return []

    def switch(self) -> None:
        """Follow what was prepared."""
        if self._prepared is not None:
            self.inputs, wired = self._prepared
            self._app.switch(wired)
            self._prepared = None

    def drop(self) -> None:
        """Forget what was prepared."""
        self._prepared = None

    def end(self, did: str) -> list[str]:
        """End every session of the account; what went wrong, empty if nothing did."""
        try:
            self._app.end_account(did)
        except SidecarError as error:
            return [str(error)]
        return []

    def ended(self, session: Session) -> bool:
        """Whether the session was ended early, as far as this process knows."""
        known: bool = self._app.feed.ended(session.id, session.did, session.signed_in_at)
        return known

    def figures(self) -> Snapshot:
        """Those of this process."""
        found: Snapshot = self._app.figures()
        return found


class Orders:
    """The pipe to one worker, made before its process is."""

    def __init__(self) -> None:
        self._ours, self._theirs = Pipe()

    def begun(self) -> None:
        """The worker's process has its own end now. Without ours, its death ends every wait."""
        self._theirs.close()

    def give(self, order: str, about: Inputs | Session | str | None = None) -> None:
        """Send an order. Raises OSError if the worker is gone."""
        self._ours.send((order, about))

    def obeyed(self) -> Any:
        """What the method of `Serving` returns; None if the worker doesn't answer."""
        try:
            return self._ours.recv() if self._ours.poll(_PATIENCE) else None
        except (OSError, EOFError):
            return None

    def obey(self, serving: Serving) -> None:
        """In the worker: do as ordered, for as long as it lives."""
        threading.Thread(target=_obey, args=(self._theirs, serving), name="orders", daemon=True).start()

    def close(self) -> None:
        self._ours.close()
        self._theirs.close()


def _obey(connection: Connection, serving: Serving) -> None:
    while True:
        try:
            order, about = connection.recv()
            answer: list[str] | bool | Snapshot = []
            if order == PREPARE:
                answer = serving.prepare(about)
            elif order == END:
                answer = serving.end(about)
            elif order == ENDED:
                answer = serving.ended(about)
            elif order == FIGURES:
                answer = serving.figures()
            elif order == SWITCH:
                serving.switch()
                logs.configure(serving.inputs.settings.log)
            else:
                serving.drop()
            connection.send(answer)
        except (OSError, EOFError):
            return
