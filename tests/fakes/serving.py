"""`sidecar.serve` on an app of two answers: `python -m tests.fakes.serving LISTEN WORKERS`.

`GET /slow` says that it has begun, on stderr, and answers when someone writes to the pipe named in SLOW; all
else is answered with the process's id and the peer. FAIL in the environment makes the app's start fail.
"""

import asyncio
import os
import sys
import types
from pathlib import Path
from typing import Any

from sidecar import logs
from sidecar.settings import Log, Server, Settings


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await receive()
        failed = "FAIL" in os.environ
        await send({"type": "lifespan.startup.failed" if failed else "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    if scope["path"] == "/slow":
        sys.stderr.write("slow begun\n")
        sys.stderr.flush()
        await asyncio.to_thread(Path(os.environ["SLOW"]).read_bytes)
    body = f"{os.getpid()} {scope['client']} {os.environ.get('SIDECAR_CONFIG')}".encode()
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]}
    )
    await send({"type": "http.response.body", "body": body})


def create() -> Any:
    logs.configure(Log())
    return app


# In the workers too, which run this module again before they import the app.
stub = types.ModuleType("sidecar.app")
stub.create = create  # type: ignore[attr-defined] # a module made by hand
sys.modules["sidecar.app"] = stub

if __name__ == "__main__":
    from sidecar.serve import serve

    server = Server(listen=sys.argv[1], workers=int(sys.argv[2]), socket_mode=0o600, stop_timeout=30.0)
    sys.exit(serve(Settings(public_url="http://127.0.0.1:8080", server=server), Path("some.toml")))
