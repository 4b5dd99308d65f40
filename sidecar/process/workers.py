"""Several workers: uvicorn's supervisor, and what ours does otherwise.

Owns: what each worker process does before it serves, when it ends, when another takes its place.
Doesn't belong here: uvicorn's options and the run of a single process (serve.py), the app (app.py).

It leans on uvicorn's `Multiprocess` (`processes`, `keep_subprocess_alive`) and `Process` (`target`,
`is_alive`, `is_ready`, `kill`, `join`).
"""

import logging
import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import uvicorn
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import Process

log = logging.getLogger("sidecar")

_GLANCE = 0.2  # seconds
_LONGEST_START = 60.0  # seconds
_PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)  # seconds before the next try of a worker that can't start


class Supervisor(Multiprocess):
    """Starts workers, and replaces those that die. A worker that can't start never ends those that serve.

    `on_worker`: called in each worker before it serves. `failed`: no worker ever came to serve.
    """

    def __init__(
        self, config: uvicorn.Config, sockets: list[socket.socket], on_worker: Callable[[], None]
    ) -> None:
        super().__init__(config, sockets)
        self.failed = False
        self._on_worker = on_worker
        self._places: list[_Place] = []
        self._any_served = False

    def init_processes(self) -> None:
        for _ in range(self.processes_num):
            self._places.append(_Place())
            self.processes.append(self._started())

    def keep_subprocess_alive(self) -> None:
        for number, place in enumerate(self._places):
            if self.should_exit.is_set():
                return
            self._look_at(number, place)
        if not self._any_served and all(place.tries for place in self._places):
            self.failed = True
            self.should_exit.set()

    def _look_at(self, number: int, place: "_Place") -> None:
        worker = self.processes[number]
        if place.again_at is not None:
            if time.monotonic() >= place.again_at:
                self._start(number, place)
        elif not (self._goes_on(worker) if place.serves else self._begins(worker, place)):
            worker.kill()  # it may hang
            worker.join()
            self._replace(number, place)

    def _goes_on(self, worker: Process) -> bool:
        return worker.is_alive(timeout=self.config.timeout_worker_healthcheck)

    def _begins(self, worker: Process, place: "_Place") -> bool:
        """Whether a worker that didn't serve yet does now, or still may."""
        if not worker.process.is_alive():
            return False
        if worker.is_ready(timeout=_GLANCE):
            place.serves = self._any_served = True
            place.tries = 0
            log.info("a worker serves", extra={"event": "worker_serves", "worker": worker.pid})
        return place.serves or time.monotonic() - place.started_at < _LONGEST_START

    def _replace(self, number: int, place: "_Place") -> None:
        worker = self.processes[number]
        details = {"worker": worker.pid, "exit_code": worker.exitcode}
        if place.serves:
            log.warning("a worker ended; another takes its place", extra={"event": "worker_ended", **details})
            self._start(number, place)
            return
        pause = _PAUSES[min(place.tries, len(_PAUSES) - 1)]
        place.tries += 1
        place.again_at = time.monotonic() + pause
        if self._any_served:
            log.error(
                "a worker can't start; the log above says why, and the others go on",
                extra={"event": "worker_not_started", **details, "again_in": pause},
            )

    def _start(self, number: int, place: "_Place") -> None:
        place.serves, place.again_at, place.started_at = False, None, time.monotonic()
        self.processes[number] = self._started()

    def _started(self) -> Process:
        worker = _Worker(self.config, self.sockets, self._on_worker)
        worker.start()
        return worker

    def handle_hup(self) -> None:
        """uvicorn would replace the workers: they would start with the same settings."""
        log_sighup()

    def handle_ttin(self) -> None:
        """The number of workers is a setting."""

    handle_ttou = handle_ttin


@dataclass
class _Place:
    """Of one worker and those that replace it."""

    serves: bool = False
    started_at: float = field(default_factory=time.monotonic)
    tries: int = 0  # in vain, since the last one that served
    again_at: float | None = None  # on the monotonic clock


class _Worker(Process):
    def __init__(
        self, config: uvicorn.Config, sockets: list[socket.socket], on_worker: Callable[[], None]
    ) -> None:
        self._on_worker = on_worker
        super().__init__(config, sockets)

    def target(self, sockets: list[socket.socket] | None = None) -> None:
        """In the new process."""
        self._on_worker()
        patience = float(self.config.timeout_graceful_shutdown or 0) + 1
        threading.Thread(target=_end_with_parent, args=(patience,), daemon=True).start()
        super().target(sockets)


def _end_with_parent(patience: float) -> None:
    """A worker that outlives its supervisor would hold the address, and a new service couldn't start."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(patience)
    os._exit(1)


def log_sighup(*_: object) -> None:
    log.warning(
        "SIGHUP changes nothing; restart the sidecar to change its configuration",
        extra={"event": "sighup_ignored"},
    )
