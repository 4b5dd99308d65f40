"""The request that the benchmark sends is the one that the real Caddy sends."""

from pathlib import Path

from bench.request import URI, check, plain
from tests.lab import caddy
from tests.lab.child import Children
from tests.lab.ports import free_port
from tests.lab.wire import Answer, Message, recording, send

HOST = "notes.bench.internal"
COOKIE = "__Secure-sidecar_session=" + "a" * 230


def refuse(_request: Message) -> Answer:
    return 401, [], b""


async def test_the_benchmark_sends_what_caddy_sends(tmp_path: Path) -> None:
    port, upstream = free_port(), free_port()
    host = f"{HOST}:{port}"
    ours = check(host, COOKIE, scheme="http")
    cookies = dict(ours.headers)["Cookie"]
    env = {"SIDECAR_SITE": f"http://{host}", "SIDECAR_UPSTREAM": f"127.0.0.1:{upstream}"}
    browser = plain(host, [("Cookie", cookies)], path=URI).raw().decode().replace("\r\n", "\n")
    async with recording(upstream, refuse) as seen, Children() as children:
        await caddy.start(children, tmp_path, caddy.EXAMPLE, port=port, env=env)
        await send(port, browser)
    sent = [("host", ours.host), *((name.lower(), value) for name, value in ours.headers)]
    expected = [(k, "127.0.0.1" if k == "x-forwarded-for" else v) for k, v in sent]
    assert [(request.start, request.headers) for request in seen] == [(ours.path, expected)]
