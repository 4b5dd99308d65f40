"""Serving: uvicorn on our socket.

Owns: uvicorn's options, signals, how a run ends. Settings are read once, before `serve`, and handed to every
worker, also to one that replaces another.
Doesn't belong here: the app itself (app.py), the socket (listening.py), what is special to several workers
(workers.py).

A stop by SIGTERM or SIGINT lets running requests finish, for `server.stop_timeout` at most. SIGHUP, which
many programs read as "load your configuration again", changes nothing here. Without a handler it would end
the process.
"""

import gc
import logging
import math
import signal
import socket
from collections.abc import Callable
from functools import partial
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from sidecar import logs
from sidecar.config_file import advice
from sidecar.entrance import fastpath
from sidecar.process.listening import SocketFile, bind, socket_path
from sidecar.process.workers import Supervisor, log_sighup
from sidecar.settings import Server, Settings

log = logging.getLogger("sidecar")

# Python looks for garbage after every 700 new objects. A session that is remembered has 8, and is none: with
# the usual thresholds, the search is a quarter of the cost of a cookie that wasn't seen lately.
_RARELY = (10_000, 20, 20)


def worker_app(settings: Settings) -> ASGIApp:
    """The app as each worker makes it. Imported there: the supervisor of several workers never needs it."""
    from sidecar.app import create  # noqa: PLC0415 - see above

    gc.set_threshold(*_RARELY)
    app = create(settings)
    gc.freeze()  # modules and settings stay: a look at them all would hold every check for 20 ms
    return app


def serve(settings: Settings, make_app: Callable[[Settings], ASGIApp] = worker_app) -> int:
    """Serve until told to stop, and return the exit code. `make_app`: importable by name, for the workers.

    Raises ConfigError if we can't listen.
    """
    logs.configure(settings.log)
    listener = bind(settings.server)
    path = socket_path(settings.server)
    file = None if path is None else SocketFile(path)
    log.info("listening", extra={"event": "listening", "address": settings.server.listen})
    for warning in advice.warnings(settings):
        log.warning(warning, extra={"event": "config_warning"})
    try:
        signal.signal(signal.SIGHUP, log_sighup)
        config = uvicorn_config(settings.server, partial(make_app, settings))
        return _supervise(config, listener) if config.workers > 1 else _run(config, listener)
    finally:
        if file is not None:
            file.remove()
        listener.close()


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


def _run(config: uvicorn.Config, listener: socket.socket) -> int:
    """One worker: this very process."""
    signal.signal(signal.SIGTERM, _end)  # uvicorn raises the signal once more when it has stopped
    try:
        uvicorn.Server(config).run([listener])
    except KeyboardInterrupt:
        return 0
    except SystemExit as end:
        return int(bool(end.code))
    return 0


def _supervise(config: uvicorn.Config, listener: socket.socket) -> int:
    """Several workers, started anew when they die, unless none can start at all."""
    supervisor = Supervisor(config, [listener], _signals_of_worker)
    supervisor.run()
    return int(supervisor.failed)


def _end(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)
