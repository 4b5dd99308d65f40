"""The files of lists, looked at while the service runs.

Owns: noticing that one of them has changed.
Doesn't belong here: what follows from it (reload.py).
"""

import threading
from collections.abc import Callable, Iterable
from pathlib import Path

_EVERY = 15.0  # seconds

_Seen = tuple[int, int, int] | None


class Watch:
    """Looks in a thread. `files`: those to look at now. `changed`: called after a change, in that thread.

    `every`: seconds, for tests.
    """

    def __init__(
        self, files: Callable[[], Iterable[Path]], changed: Callable[[], object], every: float = _EVERY
    ) -> None:
        self._files = files
        self._changed = changed
        self._every = every
        self._seen = self._look()
        self._stopped = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self._watch, name="watch", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()

    def _watch(self) -> None:
        while not self._stopped.wait(self._every):
            found = self._look()
            if found != self._seen:
                self._seen = found
                self._changed()

    def _look(self) -> dict[Path, _Seen]:
        return {path: _state(path) for path in self._files()}


def _state(path: Path) -> _Seen:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
