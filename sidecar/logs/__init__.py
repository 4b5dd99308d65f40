"""The log: which records are written and at what level, what a line looks like, how it gets out.

Not here: what is worth a record (each caller decides that), summing up (check/tally.py).
From outside: `configure`, `dropped`, `request_id`.
"""

import logging
from typing import TextIO

from sidecar.logs.records import JsonFormatter, TextFormatter
from sidecar.logs.records import request_id as request_id
from sidecar.logs.writer import Handler, QueueingHandler, StreamHandler
from sidecar.settings import Log

# uvicorn logs this for each WebSocket whose check it answers, but Caddy and the app handle the WebSocket
_NOT_SO = ("Unsupported upgrade request", "No supported WebSocket library detected")


def configure(settings: Log, stream: TextIO | None = None) -> None:
    """Send every record in our format to stderr, and never wait for it; a second call replaces the first.

    Ours and uvicorn's from the configured level on; other libraries', which may quote URLs, from warning.
    `stream`: written to at once instead, for tests.
    """
    root = logging.getLogger()
    for each in [each for each in root.handlers if isinstance(each, Handler)]:
        root.removeHandler(each)
        each.close()
    handler = QueueingHandler() if stream is None else StreamHandler(stream)
    handler.setFormatter(JsonFormatter() if settings.format == "json" else TextFormatter())
    handler.addFilter(_is_so)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    for name in ("sidecar", "uvicorn"):
        logging.getLogger(name).setLevel(settings.level.upper())


def dropped() -> int:
    """How many lines found no room, since `configure`."""
    handlers = logging.getLogger().handlers
    return sum(each.dropped for each in handlers if isinstance(each, QueueingHandler))


def _is_so(record: logging.LogRecord) -> bool:
    return not (record.name == "uvicorn.error" and record.getMessage().startswith(_NOT_SO))
