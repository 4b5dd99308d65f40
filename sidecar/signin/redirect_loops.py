"""Stops a visitor from being sent back and forth without arriving.

Owns: counting straight-on returns in a cookie of the visitor's own, so that it works across workers. Pure.
Someone signed in here whom the app's host sends back each time has a cookie that doesn't reach that host.
"""

from sidecar.errors import LoopDetected

WINDOW = 30  # seconds
MOST = 3  # the third return within the window ends on a page


def count(cookie: str, now: float) -> str:
    """The cookie's next value, given its present one ("" for none). Raises LoopDetected."""
    recent = [t for t in _times(cookie) if 0 <= now - t < WINDOW]
    if len(recent) + 1 >= MOST:
        raise LoopDetected("sent back three times within 30 seconds")
    return ".".join(str(t) for t in [*recent, int(now)])


def _times(cookie: str) -> list[int]:
    parts = cookie.split(".")[-MOST:]
    return [int(p) for p in parts if p.isascii() and p.isdigit() and len(p) < 16]
