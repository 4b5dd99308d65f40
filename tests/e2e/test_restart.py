"""A restart that nobody notices, and what people read while the sidecar is down. Real Caddy, real sidecar."""

import asyncio
import json
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlencode

import pytest

from sidecar.config_file import reader
from sidecar.sessions.cookie import Sessions
from tests.lab import caddy
from tests.lab.child import Children
from tests.lab.node import ROOT
from tests.lab.ports import free_port
from tests.lab.wire import Message, recording, send

DID = "did:plc:ewvi7nxzyoun6zhxrhs64oiz"
PAGE = "Accept: text/html"


class Site:
    """An app behind Caddy and the sidecar, on loopback. `handed_over`: the sidecar's socket is systemd's."""

    def __init__(self, folder: Path, *, workers: int = 1, handed_over: bool = False) -> None:
        self.folder = folder
        self.port, self.app_port = free_port(), free_port()
        self.path = folder / "s"
        self.listening: socket.socket | None = None
        if handed_over:
            self.listening = socket.socket(socket.AF_UNIX)
            self.listening.bind(str(self.path))
            self.listening.listen(4096)
        self.config = folder / "sidecar.toml"
        self.config.write_text(
            f'public_url = "http://127.0.0.1:{self.port}"\n'
            f'[server]\nlisten = "unix:{self.path}"\nworkers = {workers}\n'
            f'[session]\ncookie_secrets = ["{"s" * 40}"]\n'
            f'[store]\npath = "{folder}/sidecar.db"\n'
            "[identity]\ndevelopment_servers = true\n"
            f'[apps.it]\nhosts = ["127.0.0.1:{self.port}"]\nallow = ["*"]\n'
        )
        sessions = Sessions(reader.load(self.config, {}))
        now = time.time()
        self.cookie = sessions.cookie(sessions.start(DID, None, now), now).partition(";")[0]
        self.process: asyncio.subprocess.Process

    async def start_sidecar(self) -> None:
        """As systemd does it, if it holds the socket."""
        argv = [sys.executable, "-m", "sidecar", "serve", "--config", str(self.config)]
        log = (self.folder / "sidecar.log").open("ab")
        more = {}
        if self.listening is not None:
            given = self.listening.fileno()
            script = f'exec 3<&{given}; LISTEN_FDS=1 LISTEN_PID=$$ exec "$@"'
            argv = ["bash", "-c", script, "bash", *argv]
            more = {"pass_fds": (given,)}
        self.process = await asyncio.create_subprocess_exec(*argv, cwd=ROOT, stderr=log, **more)  # type: ignore[arg-type]
        log.close()

    async def stop_sidecar(self) -> None:
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
            await self.process.wait()

    async def ask(self, target: str, *headers: str) -> Message:
        lines = [f"GET {target} HTTP/1.1", f"Host: 127.0.0.1:{self.port}", "Connection: close", *headers]
        return await send(self.port, "\n".join([*lines, "", ""]))

    async def ready(self) -> None:
        while (await self.ask("/auth/readyz")).status != HTTPStatus.OK:
            await asyncio.sleep(0.05)


@asynccontextmanager
async def running(site: Site) -> AsyncIterator[Children]:
    """Caddy, with the example's own site."""
    env = {
        "SIDECAR_SITE": f"http://127.0.0.1:{site.port}",
        "SIDECAR_UPSTREAM": f"unix/{site.path}",
        "APP_UPSTREAM": f"127.0.0.1:{site.app_port}",
    }
    async with Children() as children:
        await caddy.start(children, site.folder / "caddy", caddy.EXAMPLE, port=site.port, env=env)
        try:
            yield children
        finally:
            if hasattr(site, "process"):
                await site.stop_sidecar()


def app(_: Message) -> tuple[int, list[tuple[str, str]], bytes]:
    return 200, [], b"the app"


async def test_while_the_gate_is_down_people_read_so_and_programs_get_json(
    tmp_path: Path, artifacts: Path
) -> None:
    site = Site(tmp_path)
    async with running(site), recording(site.app_port, app) as seen:
        answers = await asyncio.gather(
            site.ask("/page", PAGE, f"Cookie: {site.cookie}"),
            site.ask("/data", "Accept: application/json"),
            site.ask("/data", "X-User-Auth: signed-in", f"X-User-DID: {DID}"),
            site.ask("/page", PAGE, "X-User-Auth: signed-in", f"X-User-DID: {DID}", "Upgrade: h2c"),
        )
        page, data, forged, forged_page = answers
        assert [answer.status for answer in answers] == [HTTPStatus.SERVICE_UNAVAILABLE] * 4
        assert [answer.all("retry-after") for answer in answers] == [["5"]] * 4
        assert [answer.all("cache-control") for answer in answers] == [["no-store"]] * 4
        for each in (page, forged_page):
            assert each.all("content-type") == ["text/html; charset=utf-8"]
            assert b"<h1>The sign-in gate is down</h1>" in each.body
        for each in (data, forged):
            assert json.loads(each.body)["error"] == "gate_down"
        assert seen == []  # never open
        (artifacts / "gate-down.html").write_bytes(page.body)


async def test_the_apps_own_failure_stays_its_own(tmp_path: Path) -> None:
    site = Site(tmp_path)
    async with running(site):
        await site.start_sidecar()
        await site.ready()
        answer = await site.ask(
            "/page", PAGE, f"Cookie: {site.cookie}"
        )  # nobody listens at the app's address
        assert answer.status == HTTPStatus.BAD_GATEWAY
        assert b"gate" not in answer.body
        forged = await site.ask("/page", PAGE, f"Cookie: {site.cookie}", "X-User-Auth: bypass")
        assert forged.status == HTTPStatus.BAD_GATEWAY


@pytest.mark.parametrize("handed_over", [True, False], ids=["socket of systemd", "own socket"])
@pytest.mark.parametrize("workers", [1, 2])
async def test_a_restart_under_load_fails_no_request(tmp_path: Path, handed_over: bool, workers: int) -> None:
    site = Site(tmp_path, workers=workers, handed_over=handed_over)
    before = None if site.listening is None else site.path.stat()
    async with running(site), recording(site.app_port, app):
        await site.start_sidecar()
        await site.ready()
        answers: list[int] = []
        ended = asyncio.Event()

        async def visitor() -> None:
            while not ended.is_set():
                answers.append((await site.ask("/page", f"Cookie: {site.cookie}")).status)

        visitors = [asyncio.create_task(visitor()) for _ in range(8)]
        half_sent = await half_a_form(site)
        held, hanging = await a_hanging_sign_in(site)
        await asyncio.sleep(0.5)
        count = len(answers)
        await site.stop_sidecar()
        await site.start_sidecar()
        while len(answers) < count + 200:
            await asyncio.sleep(0.05)
        ended.set()
        await asyncio.gather(*visitors)
        for writer in (half_sent, hanging):
            writer.close()
        held.close()
        assert {status: answers.count(status) for status in set(answers)} == {200: len(answers)}
        if before is not None:
            after = site.path.stat()
            assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)
    if site.listening is not None:
        assert site.path.exists()
        site.listening.close()


async def half_a_form(site: Site) -> asyncio.StreamWriter:
    _, writer = await asyncio.open_connection("127.0.0.1", site.port)
    head = f"POST /auth/login HTTP/1.1\r\nHost: 127.0.0.1:{site.port}\r\nContent-Length: 100\r\n\r\nidenti"
    writer.write(head.encode())
    await writer.drain()
    return writer


async def a_hanging_sign_in(site: Site) -> tuple[socket.socket, asyncio.StreamWriter]:
    """A sign-in under way at a server that never answers; back when its request is there."""
    silent = socket.create_server(("127.0.0.1", 0))
    silent.setblocking(False)
    page = await site.ask("/auth/login", PAGE)
    cookies = "; ".join(each.partition(";")[0] for each in page.all("set-cookie"))
    body = urlencode({"identifier": f"http://127.0.0.1:{silent.getsockname()[1]}"})
    origin = f"http://127.0.0.1:{site.port}"
    lines = [
        "POST /auth/login HTTP/1.1",
        f"Host: 127.0.0.1:{site.port}",
        f"Cookie: {cookies}",
        f"Origin: {origin}",
        "Sec-Fetch-Site: same-origin",
        "Content-Type: application/x-www-form-urlencoded",
        f"Content-Length: {len(body)}",
    ]
    _, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write("\r\n".join([*lines, "", body]).encode())
    held, _ = await asyncio.get_running_loop().sock_accept(silent)
    silent.close()
    return held, writer
