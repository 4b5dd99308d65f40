"""Our clock, held against those of the servers that judge what we sign.

Owns: how far what we sign is back-dated, and how far a server's `Date` is from our clock.
Doesn't belong here: reading a clock (every caller passes the time), the tokens themselves (dpop.py, keys.py).

Servers in use refuse an `iat` from the future, one of them by a millisecond. All of them take one that is
some seconds old.
"""

from datetime import UTC
from email.utils import parsedate_to_datetime

BACKDATED = 5  # seconds


def seconds_ahead(date: str, *, asked: float, answered: float) -> float:
    """By how much our clock is ahead of a server's at least; below zero, it is behind.

    `date`: the `Date` header, in whole seconds (RFC 9110, section 6.6.1). `asked`, `answered`: the times of
    request and answer by our clock. Raises ValueError if the date can't be read.
    """
    try:
        read = parsedate_to_datetime(date)
        stated = (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()
    except (TypeError, ValueError, IndexError, OverflowError) as exc:  # the parser has raised each of them
        raise ValueError(f"not a date: {date[:80]!r}") from exc
    return max(0.0, asked - stated - 1) or min(0.0, answered - stated)
