"""A small app behind the gate: it shows what reaches it, and knows nothing of signing in.

For people a page; for tests the same as JSON, whatever the method; `/ws` echoes over WebSocket.
Run with: uvicorn tests.lab.demo_app:app
"""

import html

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Demo app</title>
<style>
  :root {{ color-scheme: light dark; --line: color-mix(in srgb, currentColor 18%, transparent); }}
  body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 44rem; margin: 3rem auto; padding: 0 1rem; }}
  table {{ border-collapse: collapse; width: 100%; margin: 1.5rem 0; }}
  th, td {{ border-top: 1px solid var(--line); padding: .35rem .75rem .35rem 0; text-align: left;
    vertical-align: top; overflow-wrap: anywhere; }}
  th {{ font-weight: 500; white-space: nowrap; }}
  .who th, .who td {{ font-weight: 600; }}
</style>
<h1>Hello, {handle}</h1>
<p>This app has no sign-in of its own. It was sent the headers below; the first two are who you are.</p>
<table>{rows}</table>
<p><a href="/auth/">Your account, and sign out</a> ·
  <a href="/deep/link?with=a&amp;query=string">a deep link</a></p>
"""


async def show(request: Request) -> Response:
    """What arrived: as JSON for programs, as a page for people."""
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw]
    if "text/html" not in request.headers.get("accept", ""):
        body = (await request.body()).decode("utf-8", "replace")
        seen = {"method": request.method, "target": str(request.url.path), "query": request.url.query}
        answer: Response = JSONResponse({**seen, "headers": headers, "body": body})
    else:
        answer = HTMLResponse(page(headers))
    answer.set_cookie("own", "kept", httponly=True, samesite="lax")
    return answer


def page(headers: list[tuple[str, str]]) -> str:
    headers = sorted(headers, key=lambda header: not header[0].startswith("x-user-"))
    rows = "".join(
        f"<tr{' class=who' if name.startswith('x-user-') else ''}>"
        f"<th scope=row>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>"
        for name, value in headers
    )
    handle = dict(headers).get("x-user-handle", "stranger")
    return PAGE.format(handle=html.escape(handle), rows=rows)


async def echo(websocket: WebSocket) -> None:
    """Say who is connected, then repeat what is said."""
    await websocket.accept()
    await websocket.send_text(websocket.headers.get("x-user-did", ""))
    try:
        while True:
            await websocket.send_text(await websocket.receive_text())
    except WebSocketDisconnect:
        return


app = Starlette(
    routes=[WebSocketRoute("/ws", echo), Route("/{path:path}", show, methods=METHODS)],
)
