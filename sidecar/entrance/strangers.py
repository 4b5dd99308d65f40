"""What a peer gets that isn't one of `server.trusted_peers`: most often a Caddy that nobody has named there.

Owns: the page for people and the JSON for programs, and the log line that names the address, once a minute.
Doesn't belong here: who may connect (gate.py).
"""

import logging
from collections.abc import Callable, Iterable

from sidecar.errors import UntrustedPeer
from sidecar.replies.pages import Pages
from sidecar.replies.reply import Header, Reply, json_reply
from sidecar.replies.words import explain

log = logging.getLogger("sidecar")

_PAUSE = 60.0  # seconds between two lines about one address
_MOST = 10  # addresses remembered: anyone who can connect may have many


class Strangers:
    """The refusals of one process, and the memory of which addresses were logged."""

    def __init__(self, pages: Pages, *, now: Callable[[], float]) -> None:
        words = explain(UntrustedPeer())
        page = pages.prepared("check_error", "heading", "message", "code")
        self._page = page.reply(words.status, heading=words.title, message=words.message, code=words.code)
        self._json = json_reply(words.status, {"error": words.code, "message": words.message})
        self._code = words.code
        self._now = now
        self._logged: dict[str, float] = {}
        self._refused: dict[str, int] = {}

    def refuse(self, address: str, headers: Iterable[Header]) -> Reply:
        """The reply. A proxy passes on its visitor's Accept, which is all that is believed of it."""
        self._log(address)
        wanted = b",".join(value for name, value in headers if name == b"accept")
        return self._page if b"text/html" in wanted.lower() else self._json

    def _log(self, address: str) -> None:
        now = self._now()
        self._logged = {each: at for each, at in self._logged.items() if 0 <= now - at < _PAUSE}
        count = self._refused.get(address, 0) + 1
        if address in self._logged:
            self._refused[address] = count
        elif len(self._logged) < _MOST:
            self._logged[address] = now
            self._refused = {each: count for each, count in self._refused.items() if each in self._logged}
            self._refused[address] = 0
            details = {"event": self._code, "address": address, "setting": "server.trusted_peers"}
            log.warning("a peer that isn't trusted was refused", extra={**details, "count": count})
