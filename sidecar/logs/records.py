"""How a log record is written: one line of text, or one JSON object, that no value in it can forge.

Owns: the two formatters, the request id, and the last guard against secrets. A record's `extra` is its
`event` (a stable code) and named fields.
Doesn't belong here: what is worth a record (each caller decides that), summing up (check/tally.py), where
the lines go (writer.py).

Callers keep secrets out. As a safety net, some field names, query parameters and JWTs are always redacted.
"""

import json
import logging
import re
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""Of the request being answered; "" outside of one."""

REDACTED = "[redacted]"

_SECRET_NAME = re.compile(
    r"(?i)d|jwk|nonce|state|code(_verifier)?|verifier|authorization|request_uri|(set[_-])?cookies?|dpop(_key)?"
    r"|.*(assertion|password|private_key|secrets?|token)|key"
)
_SECRET_PARAMETER = re.compile(
    r"\b(access_token|client_assertion|code|code_verifier|id_token|password|refresh_token|request_uri|state)"
    r"(=|%3[Dd])[^&\s\"']+"
)
_JWT = re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*){1,3}")
_SESSION_COOKIE = re.compile(r"\b((?:__Host-|__Secure-)?sidecar[A-Za-z0-9_-]*)=[^;\s\"']+")

_PLAIN = re.compile(r"[A-Za-z0-9._:/@*+-]+")
_MAX_TEXT = 2000
_STANDARD = {*logging.makeLogRecord({}).__dict__, "message", "asctime", "color_message"}


class TextFormatter(logging.Formatter):
    """`time level event "message" key=value …`; a traceback follows in lines that begin with a bar."""

    def format(self, record: logging.LogRecord) -> str:
        fields = _fields(record)
        event = fields.pop("event")
        message = json.dumps(_clean(record.getMessage()))
        pairs = [f"{name}={_shown(value)}" for name, value in fields.items()]
        lines = [" ".join([_time(record), record.levelname, _shown(event), message, *pairs])]
        if record.exc_info:
            trace = _redacted(self.formatException(record.exc_info))
            lines += ["  | " + json.dumps(line)[1:-1].replace('\\"', '"') for line in trace.splitlines()]
        return "\n".join(lines)


class JsonFormatter(logging.Formatter):
    """One object: time, level, event, message, the record's fields, and `traceback` if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        fields = _fields(record)
        entry = {"time": _time(record), "level": record.levelname, "event": fields.pop("event")}
        entry["message"] = _clean(record.getMessage())
        if record.exc_info:
            fields["traceback"] = _redacted(self.formatException(record.exc_info))
        return json.dumps({**fields, **entry})


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """`event` and the named values, redacted, each text, a number, a truth value or None."""
    found: dict[str, Any] = {"event": record.name.partition(".")[0]}
    found |= {name: _safe(name, value) for name, value in vars(record).items() if name not in _STANDARD}
    identifier = request_id.get()
    if identifier:
        found.setdefault("request_id", identifier)
    return found


def _safe(name: str, value: Any) -> Any:
    if _SECRET_NAME.fullmatch(name):
        return REDACTED
    return value if value is None or isinstance(value, bool | int | float) else _clean(str(value))


def _clean(text: str) -> str:
    text = _redacted(text)
    return text if len(text) <= _MAX_TEXT else text[:_MAX_TEXT] + "…"


def _redacted(text: str) -> str:
    """The text without what looks like a secret."""
    text = _SECRET_PARAMETER.sub(rf"\1\2{REDACTED}", text)
    text = _SESSION_COOKIE.sub(rf"\1={REDACTED}", text)
    return _JWT.sub(REDACTED, text)


def _shown(value: Any) -> str:
    """A value as text: bare if it is plain, else as a JSON string, which has no control characters."""
    if value is None:
        return "-"
    text = json.dumps(value) if isinstance(value, bool) else str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text)


def _time(record: logging.LogRecord) -> str:
    return (
        datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )
