"""`[metrics]`: the figures of all workers, in Prometheus' text form, at an address of their own.

Owns: that address, who may read it, the text. Loaded only if metrics are on.
Doesn't belong here: what is counted (figures/), how workers are asked (orders.py).
"""

import hmac
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CollectorRegistry, exposition
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)

from sidecar import __version__
from sidecar.errors import ConfigError
from sidecar.figures.counters import BOUNDS, FIGURES, Figure, Snapshot, Values
from sidecar.process.listening import SocketFile, bind
from sidecar.settings import Metrics, Server

log = logging.getLogger("sidecar")

_PREFIX = "sidecar_"


class Exposition:
    """Serves `GET /metrics` in threads. `snapshot`: the figures of all workers. Raises ConfigError."""

    def __init__(self, settings: Metrics, snapshot: Callable[[], Snapshot]) -> None:
        self._file: SocketFile | None = None
        address = Server(listen=settings.listen, socket_mode=0o660)
        try:
            listening = bind(address)
        except ConfigError as error:
            raise ConfigError(
                [each.replace("server.listen", "metrics.listen") for each in error.faults]
            ) from error
        if address.socket_path is not None:
            self._file = SocketFile(address.socket_path)
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Collector(snapshot))
        token = settings.token_file.read_text("utf-8").strip() if settings.token_file else ""
        self._server = _server(listening, _handler(registry, token))

    def start(self) -> None:
        threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        if self._file is not None:
            self._file.remove()


class _Collector:
    def __init__(self, snapshot: Callable[[], Snapshot]) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        snapshot = self._snapshot()
        for name, figure in FIGURES.items():
            yield _family(name, figure, snapshot.get(name, {}))
        yield InfoMetricFamily(f"{_PREFIX}build", "The version that runs.", value={"version": __version__})


def _family(name: str, figure: Figure, values: Values) -> Metric:
    full = _PREFIX + name
    if figure.kind == "histogram":
        histogram = HistogramMetricFamily(full, figure.about, labels=figure.labels)
        for labels in sorted({labels[:-1] for labels in values}):
            bounds = [*map(str, BOUNDS), "+Inf"]
            buckets = [(bound, values.get((*labels, bound), 0)) for bound in bounds]
            histogram.add_metric(labels, buckets, sum_value=values.get((*labels, "sum"), 0))
        return histogram
    family: CounterMetricFamily | GaugeMetricFamily
    kind = CounterMetricFamily if figure.kind == "counter" else GaugeMetricFamily
    family = kind(full, figure.about, labels=figure.labels)
    for labels, value in sorted(values.items()):
        family.add_metric(labels, value)
    return family


def _server(listening: socket.socket, handler: type[BaseHTTPRequestHandler]) -> ThreadingHTTPServer:
    """On a socket that listens already."""
    made = ThreadingHTTPServer(("", 0), handler, bind_and_activate=False)
    made.socket.close()
    made.socket = listening
    made.daemon_threads = True
    return made


def _handler(registry: CollectorRegistry, token: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10.0  # seconds for a request to arrive
        server_version, sys_version = "sidecar", ""

        def do_GET(self) -> None:
            if token and not hmac.compare_digest(self._offered(), f"Bearer {token}".encode()):
                self._say(401, "text/plain", b"metrics.token_file has the token to send as Bearer\n")
            elif self.path.partition("?")[0] != "/metrics":
                self._say(404, "text/plain", b"the figures are at /metrics\n")
            else:
                encode, kind = exposition.choose_encoder(self.headers.get("Accept", ""))
                self._say(200, kind, encode(registry))

        def _offered(self) -> bytes:
            return self.headers.get("Authorization", "").encode("latin-1", "replace")

        def _say(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body)

        def address_string(self) -> str:
            return ""  # a unix socket has none

        def log_message(self, *_: Any) -> None:
            """The log has no line for each reading."""

    return Handler
