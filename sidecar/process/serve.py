"""Serving: uvicorn on our socket.

Owns: uvicorn's options, signals, how a run ends. Inputs are read before `serve`, and at a reload. Every
worker gets them from here, also one that replaces another.
Doesn't belong here: the app itself (app.py), the socket (listening.py), what is special to several workers
(workers.py).

A stop by SIGTERM or SIGINT lets running requests finish, for `server.stop_timeout` at most. SIGHUP and
`sidecar reload` read the configuration again (reload.py).
"""

import gc
import logging
import math
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn
from starlette.types import ASGIApp

from sidecar import logs
from sidecar.config_file import advice
from sidecar.config_file.inputs import Inputs
from sidecar.entrance import fastpath
from sidecar.process.control import Control, Message, path_of
from sidecar.process.listening import Listener
from sidecar.process.orders import MakeApp, Serving
from sidecar.process.reload import Reload, Reread, Workers
from sidecar.process.watch import Watch
from sidecar.process.workers import Supervisor
from sidecar.sessions.cookie import Session
from sidecar.settings import Server, Settings

if TYPE_CHECKING:
    from sidecar.process.metrics import Exposition

log = logging.getLogger("sidecar")

# Python looks for garbage after every 700 new objects. A session that is remembered has 8, and is none: with
# the usual thresholds, the search is a quarter of the cost of a cookie that wasn't seen lately.
_RARELY = (10_000, 20, 20)


def worker_app(inputs: Inputs) -> ASGIApp:
    """The app as each worker makes it. Imported there: the supervisor of several workers never needs it."""
    from sidecar.app import create  # noqa: PLC0415 - see above

    gc.set_threshold(*_RARELY)
    app = create(inputs)
    gc.freeze()  # modules and settings stay: a look at them all would hold every check for 20 ms
    return app


def serve(inputs: Inputs, reread: Reread, make_app: MakeApp = worker_app) -> int:
    """Serve until told to stop, and return the exit code. `make_app`: importable by name, for the workers.

    Raises ConfigError if we can't listen.
    """
    settings = inputs.settings
    logs.configure(settings.log)
    listener = Listener(settings.server)
    log.info("listening", extra={"event": "listening", "address": settings.server.listen})
    for warning in advice.warnings(settings):
        log.warning(warning, extra={"event": "config_warning"})
    serving = Serving(make_app, inputs)
    config = uvicorn_config(settings.server, serving.make)
    try:
        run = _supervise if config.workers > 1 else _run
        return run(config, listener.socket, serving, reread)
    finally:
        listener.close()


@contextmanager
def _controlled(workers: Workers, serving: Serving, reread: Reread) -> Iterator[Reload]:
    """While the block runs, commands are answered."""
    reload = Reload(serving.inputs, reread, workers)

    def by_command(message: Message) -> Message:
        outcome = reload.reload(f"command by uid {message['uid']}")
        return {"faults": outcome.faults, "waiting": outcome.waiting, "advice": outcome.advice}

    def end(message: Message) -> Message:
        did = str(message.get("did"))
        faults = workers.end(did)
        if not faults:
            log.info(
                "sessions ended",
                extra={"event": "sessions_ended", "did": did, "why": f"command by uid {message['uid']}"},
            )
        return {"faults": faults}

    def ended(message: Message) -> Message:
        return {"ended": workers.ended(Session(**message["session"]))}

    commands = {"reload": by_command, "end": end, "ended": ended}
    control = Control(path_of(serving.inputs.settings), commands)
    watch = Watch(lambda: reload.inputs.settings.list_files, lambda: reload.reload("a list changed"))
    with ExitStack() as running:
        if serving.inputs.settings.metrics.listen:
            running.callback(_exposed(serving.inputs.settings, workers).stop)
        for each in (control, watch):
            each.start()
            running.callback(each.stop)
        yield reload


def _exposed(settings: Settings, workers: Workers) -> "Exposition":
    from sidecar.process.metrics import Exposition  # noqa: PLC0415 - only for those who want it

    made = Exposition(settings.metrics, workers.figures)
    made.start()
    return made


def _signals_of_worker() -> None:
    """A terminal sends SIGHUP to all of them, but only their parent answers it. uvicorn raises SIGTERM once
    more when it has stopped: the end that follows must write the last lines of the log.
    """
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end)


def uvicorn_config(server: Server, factory: Callable[[], ASGIApp]) -> uvicorn.Config:
    """uvicorn without what costs or harms: access log, proxy headers, server and date header, WebSockets.

    With `ws="none"` an upgrade on a check is a plain request; with proxy headers uvicorn would hide the peer.
    """
    return uvicorn.Config(
        factory,
        factory=True,
        workers=server.workers,
        http=fastpath.protocol(wanted=server.fast_path),
        loop="auto",  # uvloop where it is installed
        ws="none",
        lifespan="on",
        interface="asgi3",
        access_log=False,
        log_config=None,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=math.ceil(server.keep_alive),
        timeout_graceful_shutdown=math.ceil(server.stop_timeout),
    )


def _run(config: uvicorn.Config, listener: socket.socket, serving: Serving, reread: Reread) -> int:
    """One worker: this very process."""
    signal.signal(signal.SIGTERM, _end)  # uvicorn raises the signal once more when it has stopped
    with _controlled(serving, serving, reread) as reload:

        def by_signal(*_: object) -> None:  # in a thread: the event loop goes on meanwhile
            threading.Thread(target=reload.reload, args=("SIGHUP",), daemon=True).start()

        signal.signal(signal.SIGHUP, by_signal)
        try:
            uvicorn.Server(config).run([listener])
        except KeyboardInterrupt:
            return 0
        except SystemExit as end:
            return int(bool(end.code))
    return 0


def _supervise(config: uvicorn.Config, listener: socket.socket, serving: Serving, reread: Reread) -> int:
    """Several workers, started anew when they die, unless none can start at all."""
    supervisor = Supervisor(
        config,
        [listener],
        serving,
        on_worker=_signals_of_worker,
    )
    with _controlled(supervisor, serving, reread) as reload:
        supervisor.on_hup = lambda: reload.reload("SIGHUP")
        supervisor.run()
    return int(supervisor.failed)


def _end(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)
