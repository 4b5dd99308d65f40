"""`sidecar.serve` on an app of two answers: `python -m tests.fakes.serving LISTEN WORKERS`.

`GET /slow` says that it has begun, on stderr, and answers when someone writes to the pipe named in SLOW.
Everything else is answered with the process's id, the peer, and the public URL of the settings that it
got. `GET /log?N` logs N lines of a kilobyte. A file at the path in FAIL makes the app's start fail.
STOP_TIMEOUT: seconds.
"""

import asyncio
import logging
import os
import sys
from pathlib import Path
from typing import Any

from sidecar import logs
from sidecar.config_file.inputs import Contents, Inputs
from sidecar.process.serve import serve
from sidecar.settings import Log, Server, Settings, StoreSettings

PUBLIC_URL: list[str] = []


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await receive()
        failed = Path(os.environ.get("FAIL", "no such file")).exists()
        await send({"type": "lifespan.startup.failed" if failed else "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    if scope["path"] == "/slow":
        sys.stderr.write("slow begun\n")
        sys.stderr.flush()
        await asyncio.to_thread(Path(os.environ["SLOW"]).read_bytes)
    if scope["path"] == "/log":
        for _ in range(int(scope["query_string"])):
            logging.getLogger("sidecar").info("x" * 1000)
    body = f"{os.getpid()} {scope['client']} {PUBLIC_URL[-1]}".encode()
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]}
    )
    await send({"type": "http.response.body", "body": body})


def create(inputs: Inputs) -> Any:
    logs.configure(Log())
    PUBLIC_URL.append(inputs.settings.public_url)
    return app


if __name__ == "__main__":
    patience = float(os.environ.get("STOP_TIMEOUT", "30"))
    server = Server(listen=sys.argv[1], workers=int(sys.argv[2]), socket_mode=0o600, stop_timeout=patience)
    folder = Path(sys.argv[1].removeprefix("unix:")).parent
    store = StoreSettings(path=folder / "db")
    inputs = Inputs(
        Settings(public_url="http://127.0.0.1:8080", server=server, store=store), Contents("", {})
    )
    sys.exit(serve(inputs, lambda _: inputs, create))
