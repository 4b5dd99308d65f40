"""Renewed cookies that were offered lately: a browser that refuses one isn't asked again for a minute.

Owns: to which sessions this process offered one. Bounded.
Doesn't belong here: when a cookie is due (sessions/cookie.py), how it is offered (check.py).
"""

PAUSE = 60.0  # seconds before the same session is offered a renewed cookie again
_REMEMBERED = 10_000


class Renewals:
    """To whom this process offered a renewed cookie in the last minute."""

    def __init__(self) -> None:
        self._since = 0.0
        self._recent: set[str] = set()
        self._before: set[str] = set()

    def offer(self, session_id: str, now: float) -> bool:
        """True once per session in any minute. Past the bound nobody is offered one until the minute is
        over.
        """
        if not 0 <= now - self._since < PAUSE:
            stale = not 0 <= now - self._since < 2 * PAUSE
            self._before = set() if stale else self._recent
            self._recent = set()
            self._since = now
        if session_id in self._recent or session_id in self._before or len(self._recent) >= _REMEMBERED:
            return False
        self._recent.add(session_id)
        return True
