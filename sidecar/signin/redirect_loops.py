"""Stops a visitor from being sent back and forth without arriving.

Owns: which returns count, and counting them in a cookie of the visitor's own, so that it works across
workers. Pure.

If the check sends somebody here who is signed in here, their session cookie doesn't reach the app's host. The
check says when it looked. If that was before the sign-in, it had to find nobody: that is an old tab that was
reloaded, and doesn't count.
"""

from sidecar.errors import LoopDetected

WINDOW = 30  # seconds
MOST = 3  # the third return within the window ends on a page


def counts(checked: str, signed_in_at: float) -> bool:
    """Whether the check looked after the sign-in, and found no session all the same.

    `checked`: what the check said, in seconds since the epoch; "" if no check sent the visitor here.
    """
    return checked.isascii() and checked.isdigit() and len(checked) < 16 and int(checked) >= signed_in_at


def count(cookie: str, now: float) -> str:
    """The cookie's next value, given its present one ("" for none). Raises LoopDetected."""
    recent = [t for t in _times(cookie) if 0 <= now - t < WINDOW]
    if len(recent) + 1 >= MOST:
        raise LoopDetected("sent back three times within 30 seconds")
    return ".".join(str(t) for t in [*recent, int(now)])


def _times(cookie: str) -> list[int]:
    parts = cookie.split(".")[-MOST:]
    return [int(p) for p in parts if p.isascii() and p.isdigit() and len(p) < 16]
