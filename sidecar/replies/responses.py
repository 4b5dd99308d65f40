"""Our pages' answers as starlette has them.

Owns: turning a prepared reply into a starlette response, and the few kinds that our pages send.
Doesn't belong here: what the answers say (pages.py, replies/words.py).
"""

from collections.abc import Iterable

from starlette.background import BackgroundTask
from starlette.responses import Response

from sidecar.errors import TooManyRequests
from sidecar.replies.reply import Header, Reply, redirect


def response(reply: Reply, *, background: BackgroundTask | None = None) -> Response:
    """The reply, its headers exactly as prepared."""
    made = Response(reply.body, reply.status, background=background)
    made.raw_headers = list(reply.headers)
    return made


def see_other(
    location: str, *, cookies: Iterable[str] = (), background: BackgroundTask | None = None
) -> Response:
    """303, so that a POST turns into a GET and its body stays here (RFC 9110 section 15.4.4)."""
    return response(redirect(303, location, set_cookies(cookies)), background=background)


def retry_after(error: Exception | None) -> list[Header]:
    """`Retry-After` for who asked for too much."""
    return [(b"retry-after", str(error.retry_after).encode())] if isinstance(error, TooManyRequests) else []


def set_cookies(cookies: Iterable[str]) -> list[Header]:
    """`Set-Cookie` headers."""
    return [(b"set-cookie", each.encode()) for each in cookies]
