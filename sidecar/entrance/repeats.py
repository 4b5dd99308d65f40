"""Requests that differ from an earlier one only in their cookies and their URI.

Owns: taking the bytes of a request apart, and the memory of what was read from those around cookies and URI.
Most requests differ in nothing else, so they needn't be parsed again.
Doesn't belong here: answering (fastpath.py), reading headers (request/forwarded.py).
"""

from sidecar.recent import Recent
from sidecar.request.forwarded import Target, is_uri

# A request's bytes before, between and after its cookie and its URI; without a cookie the first is empty.
Around = tuple[bytes, bytes, bytes]

_REMEMBERED, _NOTED = 2000, 10_000
_MOST_REMEMBERED = 4096  # bytes of a request: 8 MB for all of them


class Repeats:
    """What was read from requests that came more than once."""

    def __init__(self) -> None:
        self._known: Recent[Around, Target] = Recent(_REMEMBERED)
        self._noted: Recent[int, bool] = Recent(_NOTED)

    def __len__(self) -> int:
        return len(self._known)

    def known(self, around: Around) -> Target | None:
        """What was read from a request in these bytes."""
        return self._known.get(around)

    def note(self, around: Around, target: Target) -> None:
        """Remember it, if it isn't its first time: what comes once isn't worth the memory."""
        mark = hash(around)
        if self._noted.get(mark):
            self._known.add(around, target)
        else:
            self._noted.add(mark, True)  # noqa: FBT003 # a set would not be bounded


def apart(data: bytes) -> tuple[Around, list[bytes], bytes] | None:
    """A request split into what is remembered of it, its cookies, and its URI; None if it isn't plain.

    The cookies aren't checked: whether a parser takes them is for the caller to see.
    """
    at = data.rfind(b"ri: /")
    if at < 0 or len(data) > _MOST_REMEMBERED or data[at - 15 : at].lower() != b"\r\nx-forwarded-u":
        return None
    start = at + 4
    end = data.find(b"\r", start)
    uri = data[start:end]
    if not is_uri(uri):
        return None
    at = data.find(b"ookie: ", 0, start)
    if at < 0:
        return (b"", data[:start], data[end:]), [], uri
    begin = at + 7
    stop = data.find(b"\r", begin)  # a bare one too: what follows it isn't what was remembered
    if data[at - 3 : at].lower() != b"\r\nc":
        return None
    cookie = data[begin:stop]
    return (data[:begin], data[stop:start], data[end:]), [cookie], uri
