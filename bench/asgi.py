"""The Python peers: a constant answer in raw ASGI, and what most would write first, Starlette with its
sessions.

Run by uvicorn with the sidecar's own settings; started from peers.toml.
"""

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

_SECRET = "not a secret: the benchmark's own, so that peers.toml can name a cookie"  # noqa: S105 # as it says

_START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [
        (b"x-user-auth", b"signed-in"),
        (b"x-user-did", b"did:plc:ewvi7nxzyoun6zhxrhs64oiz"),
        (b"x-user-handle", b"alice.example.com"),
        (b"content-length", b"0"),
    ],
}
_BODY = {"type": "http.response.body", "body": b""}


async def constant(_scope: Scope, _receive: Receive, send: Send) -> None:
    """The least an ASGI app can do for a check: it looks at nothing."""
    await send(_START)
    await send(_BODY)


async def _check(request: Request) -> Response:
    did = request.session.get("did")
    if did is None:
        return Response(status_code=401)
    return Response(headers={"X-User-DID": did, "X-User-Handle": request.session["handle"]})


sessions = Starlette(
    routes=[Route("/auth/check", _check)],
    middleware=[Middleware(SessionMiddleware, secret_key=_SECRET, max_age=None)],
)
