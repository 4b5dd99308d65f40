"""How the doctor asks the real world."""

import asyncio
import json
import ssl
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from sidecar.commands.doctor import probes
from sidecar.commands.doctor.probes import LIMIT, Outside
from tests.fakes.dns import Fault, dns_server
from tests.lab.certs import issue


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(302 if self.path == "/moved" else 200)
        self.send_header("content-type", "application/json")
        if self.path == "/moved":
            self.send_header("location", "/")
        self.end_headers()
        if self.path == "/huge":
            for _ in range(LIMIT // 1024 * 4):
                self.wfile.write(b" " * 1024)
        elif self.path == "/drip":
            while True:
                self.wfile.write(b" ")
                time.sleep(0.01)
        else:
            self.wfile.write(b'{"agent": "%s"}' % self.headers["user-agent"].encode())

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[str, Outside]]:
    """An https server, and a world that trusts its authority."""
    certificates = issue(tmp_path / "certs", ["localhost"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.leaf, certificates.key)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.daemon_threads = True
        server.block_on_close = False
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield (
            f"https://localhost:{server.server_port}",
            Outside(trusted=ssl.create_default_context(cafile=certificates.ca)),
        )
        server.shutdown()
        thread.join()


def test_it_fetches_over_real_tls_and_says_who_asks(site: tuple[str, Outside]) -> None:
    url, real = site
    answer = real.get(f"{url}/")
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert "atproto-sidecar" in json.loads(answer.body)["agent"]
    assert abs(answer.received - time.time()) < 60
    assert "date" in answer.headers


def test_it_follows_no_redirect(site: tuple[str, Outside]) -> None:
    url, real = site
    assert real.get(f"{url}/moved").status == 302


def test_it_reads_no_more_than_servers_do(site: tuple[str, Outside]) -> None:
    url, real = site
    assert len(real.get(f"{url}/huge").body) == LIMIT + 1


def test_it_waits_no_longer_than_servers_do(
    site: tuple[str, Outside], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, real = site
    monkeypatch.setattr(probes, "TIMEOUT", 0.1)
    assert real.get(f"{url}/drip").seconds >= 0.1


def test_proxies_of_the_environment_are_not_asked(
    site: tuple[str, Outside], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, real = site
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    assert real.get(f"{url}/").status == 200


def test_addresses_are_looked_up() -> None:
    assert "127.0.0.1" in Outside().addresses("127.0.0.1")
    with pytest.raises(OSError, match=r"^DNS has no address for no host "):
        Outside().addresses("no host")


async def test_txt_records_are_asked_of_the_configured_servers() -> None:
    async with dns_server() as server:
        server.txt("_atproto.bsky.app", ("did=", "did:plc:abc"), "other")
        server.answers["silent.test"] = Fault.SERVFAIL

        def ask(name: str) -> list[str]:
            return Outside().txt(name, [server.address])

        assert sorted(await asyncio.to_thread(ask, "_atproto.bsky.app")) == ["did=did:plc:abc", "other"]
        assert await asyncio.to_thread(ask, "unknown.test") == []
        with pytest.raises(OSError, match="NoNameservers"):
            await asyncio.to_thread(ask, "silent.test")


@pytest.mark.parametrize(
    ("prints", "version"),
    [
        ("v2.11.7 h1:abc=", (2, 11, 7)),
        ("2.11.2", (2, 11, 2)),
        ("(devel)", None),
    ],
)
def test_caddys_version_is_read_from_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prints: str, version: tuple[int, ...] | None
) -> None:
    command = tmp_path / "caddy"
    command.write_text(f"#!/bin/sh\necho '{prints}'\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert Outside().caddy_version() == version


def test_without_a_caddy_command_there_is_no_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert Outside().caddy_version() is None


def test_a_caddy_command_that_hangs_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = tmp_path / "caddy"
    command.write_text("#!/bin/sh\nexec sleep 60\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(probes, "TIMEOUT", 0.05)
    with pytest.raises(OSError, match="doesn't answer"):
        Outside().caddy_version()
