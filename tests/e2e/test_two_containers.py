"""Caddy and the sidecar as two containers on one network have them: each at an address of its own.

On loopback Caddy is 127.0.0.1 and the sidecar 127.0.0.2, where nothing of 127.0.0.1 reaches it by accident.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.fakes.browser import NAVIGATION
from tests.lab import caddy
from tests.lab.child import Child, Children, program
from tests.lab.ports import free_port
from tests.lab.wire import Answer, Message, recording

CONFIG = """
public_url = "http://127.0.0.1:{port}"
[server]
listen = "127.0.0.2:{sidecar}"
trusted_peers = ["{peer}"]
[store]
kind = "memory"
[apps.wiki]
hosts = ["127.0.0.1:{port}"]
allow = ["anyone-with-an-account"]
"""


def app(_: Message) -> Answer:
    return 200, [], b"the wiki"


@dataclass
class Network:
    site: str
    sidecar: Child
    passed: list[Message]
    """What the app got."""


@asynccontextmanager
async def running(folder: Path, *, trusts: str) -> AsyncIterator[Network]:
    port, sidecar_port, app_port = free_port(), free_port(), free_port()
    config = folder / "sidecar.toml"
    config.write_text(CONFIG.format(port=port, sidecar=sidecar_port, peer=trusts))
    env = {
        "SIDECAR_SITE": f"http://127.0.0.1:{port}",
        "SIDECAR_UPSTREAM": f"127.0.0.2:{sidecar_port}",
        "APP_UPSTREAM": f"127.0.0.1:{app_port}",
    }
    async with recording(app_port, app) as passed, Children() as children:
        command: list[str | Path] = [program("sidecar"), "serve", "--config", config]
        sidecar = await children.start("the sidecar", command, log=folder / "sidecar.log")

        async def started() -> bool:
            return " started " in sidecar.output()

        await sidecar.ready(started)
        await caddy.start(children, folder, caddy.EXAMPLE, port=port, env=env)
        yield Network(f"http://127.0.0.1:{port}", sidecar, passed)


async def test_a_caddy_at_an_address_that_is_named_is_served(tmp_path: Path) -> None:
    async with running(tmp_path, trusts="127.0.0.1") as network, httpx.AsyncClient() as visitor:
        answer = await visitor.get(f"{network.site}/page", headers=NAVIGATION)
        assert answer.status_code == 302
        assert answer.headers["location"].startswith(f"{network.site}/auth/login?")
        page = await visitor.get(answer.headers["location"], headers=NAVIGATION)
        assert (page.status_code, "identifier" in page.text) == (200, True)
        assert "untrusted_peer" not in network.sidecar.output()
        assert network.passed == []


async def test_a_caddy_at_another_address_gets_a_page_and_the_log_says_what_to_set(tmp_path: Path) -> None:
    async with running(tmp_path, trusts="127.0.0.9") as network, httpx.AsyncClient() as visitor:
        for path in ("/page", "/auth/login", "/page"):
            browser = {**NAVIGATION, "accept": "text/html"}
            answer = await visitor.get(network.site + path, headers=browser)
            assert answer.status_code == 403
            assert answer.headers["content-type"].startswith("text/html")
            assert "untrusted_peer" in answer.text
        assert (await visitor.get(f"{network.site}/page")).json()["error"] == "untrusted_peer"
        (line,) = [each for each in network.sidecar.output().splitlines() if "untrusted_peer" in each]
        assert "address=127.0.0.1 " in line
        assert "setting=server.trusted_peers " in line
        assert network.passed == []
