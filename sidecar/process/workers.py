"""Several workers: uvicorn's supervisor, and what ours does otherwise.

Owns: what each worker process does before it serves, when it ends, when another takes its place, and that all
of them follow the same inputs.
Doesn't belong here: uvicorn's options and the run of a single process (serve.py), what a worker does with
inputs (orders.py).

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
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import Process

from sidecar import logs
from sidecar.config_file.inputs import Inputs
from sidecar.figures.counters import Snapshot, counted, together
from sidecar.process.orders import DROP, END, ENDED, FIGURES, PREPARE, SWITCH, Orders, Serving
from sidecar.sessions.cookie import Session

log = logging.getLogger("sidecar")

_GLANCE = 0.2  # seconds
_LONGEST_START = 60.0  # seconds
_PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)  # seconds before the next try of a worker that can't start


class Supervisor(Multiprocess):
    """Starts workers, and replaces those that die. A worker that can't start never ends those that serve.

    `on_worker`: called in each worker before it serves. `on_hup`: what SIGHUP asks for. `failed`: no worker
    ever came to serve. `prepare`, `switch` and `drop` (reload.Workers) come from another thread.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        sockets: list[socket.socket],
        serving: Serving,
        *,
        on_worker: Callable[[], None],
    ) -> None:
        super().__init__(config, sockets)
        self.failed = False
        self._serving = serving
        self._on_worker = on_worker
        self.on_hup: Callable[[], object] = bool
        self._places: list[_Place] = []
        self._any_served = False
        self._changing = threading.RLock()  # nobody is started or replaced between `prepare` and `switch`
        self._next: Inputs | None = None
        self._past: Snapshot = {}

    def init_processes(self) -> None:
        for _ in range(self.processes_num):
            worker = self._started()
            self._places.append(_Place(worker.orders, self._serving.inputs))
            self.processes.append(worker)

    def keep_subprocess_alive(self) -> None:
        for number, place in enumerate(self._places):
            if self.should_exit.is_set():
                return
            with self._changing:
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
            place.orders.close()
            self._past = together([self._past, counted(place.figures)])
            place.figures = {}
            self._replace(number, place)

    def _goes_on(self, worker: Process) -> bool:
        return worker.is_alive(timeout=self.config.timeout_worker_healthcheck)

    def _begins(self, worker: Process, place: "_Place") -> bool:
        """Whether a worker that didn't serve yet does now, or still may."""
        if not worker.process.is_alive():
            return False
        if worker.is_ready(timeout=_GLANCE):
            if place.inputs is not self._serving.inputs and not self._catches_up(place):
                return False
            place.serves = self._any_served = True
            place.tries = 0
            log.info("a worker serves", extra={"event": "worker_serves", "worker": worker.pid})
        return place.serves or time.monotonic() - place.started_at < _LONGEST_START

    def _catches_up(self, place: "_Place") -> bool:
        """Have a worker that was starting during a reload follow it. Whether it does."""
        for order, inputs in ((PREPARE, self._serving.inputs), (SWITCH, None)):
            with suppress(OSError):
                place.orders.give(order, inputs)
            if place.orders.obeyed() != []:
                return False
        place.inputs = self._serving.inputs
        return True

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
        worker = self._started()
        place.orders, place.inputs = worker.orders, self._serving.inputs
        self.processes[number] = worker

    def _started(self) -> "_Worker":
        worker = _Worker(self.config, self.sockets, self._serving, self._on_worker)
        worker.start()
        worker.orders.begun()
        return worker

    # a new configuration

    def prepare(self, inputs: Inputs) -> list[str]:
        """In every worker that serves. A later start begins with them if `switch` follows."""
        self._changing.acquire()
        try:
            self._next = inputs
            return self._order(PREPARE, inputs)
        except BaseException:
            self._changing.release()
            raise

    def switch(self) -> None:
        """In every worker. One that is still starting follows as soon as it serves."""
        try:
            self._order(SWITCH)
            if self._next is not None:
                self._serving.inputs = self._next
            for place in self._places:
                if place.serves:
                    place.inputs = self._serving.inputs
        finally:
            self._changing.release()

    def drop(self) -> None:
        try:
            self._order(DROP)
        finally:
            self._changing.release()

    def end(self, did: str) -> list[str]:
        """End every session of an account: one worker writes it down, and all follow."""
        faults: list[str] | None = self._ask_one(END, did)
        return ["no worker answers; try again in a moment"] if faults is None else faults

    def ended(self, session: Session) -> bool | None:
        """Whether it was ended early; None if no worker answers."""
        known: bool | None = self._ask_one(ENDED, session)
        return known

    def figures(self) -> Snapshot:
        """Of all workers that serve, and what the ended ones had counted. A counter must not fall."""
        own: Snapshot = {"log_lines_dropped": {(): float(logs.dropped())}}
        with self._changing:
            for place in self._places:
                with suppress(OSError):
                    if place.serves:
                        place.orders.give(FIGURES)
                        place.figures = place.orders.obeyed() or place.figures
            return together([own, self._past, *(place.figures for place in self._places)])

    def _ask_one(self, order: str, about: Session | str) -> Any:
        with self._changing:
            for place in self._places:
                with suppress(OSError):
                    if place.serves:
                        place.orders.give(order, about)
                        answer = place.orders.obeyed()
                        if answer is not None:
                            return answer
        return None

    def _order(self, order: str, inputs: Inputs | None = None) -> list[str]:
        """To all that serve, at once. What went wrong; a worker that doesn't obey is killed, and replaced."""
        serving = [
            (place, worker)
            for place, worker in zip(self._places, self.processes, strict=True)
            if place.serves and worker.process.is_alive()
        ]
        for place, _ in serving:
            with suppress(OSError):
                place.orders.give(order, inputs)
        faults = []
        for place, worker in serving:
            found = place.orders.obeyed()
            if found is None:
                worker.process.kill()
            else:
                faults += found
        return faults

    def handle_hup(self) -> None:
        """uvicorn would replace the workers."""
        self.on_hup()

    def handle_ttin(self) -> None:
        """The number of workers is a setting."""

    handle_ttou = handle_ttin


@dataclass
class _Place:
    """Of one worker and those that replace it."""

    orders: Orders
    inputs: Inputs  # that it follows
    serves: bool = False
    started_at: float = field(default_factory=time.monotonic)
    figures: Snapshot = field(default_factory=dict)  # as they were asked for last
    tries: int = 0  # in vain, since the last one that served
    again_at: float | None = None  # on the monotonic clock


class _Worker(Process):
    def __init__(
        self,
        config: uvicorn.Config,
        sockets: list[socket.socket],
        serving: Serving,
        on_worker: Callable[[], None],
    ) -> None:
        self.orders = Orders()
        self._serving = serving
        self._on_worker = on_worker
        super().__init__(config, sockets)

    def target(self, sockets: list[socket.socket] | None = None) -> None:
        """In the new process."""
        self._on_worker()
        self.orders.obey(self._serving)
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
