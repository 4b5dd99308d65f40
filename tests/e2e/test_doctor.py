"""The doctor's knock, with the real Caddy and sidecar: doors that are shut, and doors that only seem so."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from sidecar.commands.doctor import apps
from sidecar.commands.doctor.findings import Finding
from sidecar.commands.doctor.probes import Outside
from sidecar.config_file import reader
from sidecar.settings import App, Settings
from tests.lab import caddy, certs, service
from tests.lab.child import Child, Children
from tests.lab.ports import free_port
from tests.lab.wire import Answer, Message, recording

CONFIG = """
public_url = "https://auth.sidecar.internal"
[client]
keys_file = "client-keys.json"
[session]
cookie_secrets_file = "cookie-secrets.txt"
cookie_domain = "sidecar.internal"
[apps.all]
hosts = [{hosts}]
allow = ["anyone-with-an-account"]
"""
NAMES = ("shut", "open", "half", "exposed", "missing", "*.tools")


def app(request: Message) -> Answer:
    return 200, [("Content-Type", "text/html")], b"<h1>The wiki</h1>"


@dataclass
class Street:
    settings: Settings
    outside: Outside
    port: int
    sidecar: Child

    async def at(self, name: str) -> list[Finding]:
        """What the doctor finds at one host. No DNS has it, so it is asked at 127.0.0.1."""
        host = f"{name}.sidecar.internal:{self.port}"
        settings = Settings(public_url=self.settings.public_url, apps={"it": App(hosts=(host,))})
        found = await asyncio.to_thread(lambda: list(apps.doors(settings, self.outside)))
        return [each for each in found if "DNS" not in each.seen]


def sites(port: int, app_port: int, sidecar_port: int) -> list[tuple[str, ...]]:
    gate, straight = f"import atproto 127.0.0.1:{app_port}", f"reverse_proxy 127.0.0.1:{app_port}"
    return [
        (f"https://shut.sidecar.internal:{port}", gate),
        (f"https://open.sidecar.internal:{port}", straight),
        # an owner who lets a program pass by a header that anyone can send
        (
            f"https://half.sidecar.internal:{port}",
            "@known header X-User-DID *",
            f"handle @known {{\n\t\t{straight}\n\t}}",
            gate,
        ),
        (
            f"https://exposed.sidecar.internal:{port}",
            f"handle /auth/* {{\n\t\treverse_proxy 127.0.0.1:{sidecar_port}\n\t}}",
            gate,
        ),
        (f"https://*.tools.sidecar.internal:{port}", gate),
    ]


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def street(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Street]:
    folder = tmp_path_factory.mktemp("doctor")
    port, sidecar_port, app_port = free_port(), free_port(), free_port()
    hosts = ", ".join(f'"{name}.sidecar.internal:{port}"' for name in NAMES)
    certificates = certs.issue(folder / "tls", ["*.sidecar.internal", "*.tools.sidecar.internal"])
    config = folder / "sidecar.toml"
    config.write_text(CONFIG.format(hosts=hosts))
    await keys_and_secrets(folder)
    env = {
        "SIDECAR_SITE": f"https://auth.sidecar.internal:{port}",
        "SIDECAR_UPSTREAM": f"127.0.0.1:{sidecar_port}",
        "APP_UPSTREAM": f"127.0.0.1:{app_port}",
    }
    async with recording(app_port, app), Children() as children:
        listen = {"SIDECAR_SERVER_LISTEN": f"127.0.0.1:{sidecar_port}"}
        running = await service.start(
            children, config, port=sidecar_port, log=folder / "sidecar.log", env=listen
        )
        file = caddy.beside_example(folder, *sites(port, app_port, sidecar_port))
        await caddy.start(children, folder, file, port=port, env=env, certificates=certificates)
        outside = Outside(trusted=ssl.create_default_context(cafile=certificates.ca))
        yield Street(reader.load(config, {}), outside, port, running)


async def keys_and_secrets(folder: Path) -> None:
    from sidecar.commands import client_keys  # noqa: PLC0415 - only here

    for name, text in (
        ("client-keys.json", client_keys.key_set([client_keys.new_key()])),
        ("cookie-secrets.txt", "s" * 40),
    ):
        (folder / name).touch(0o600)
        (folder / name).write_text(text)


@pytest.mark.parametrize("name", ["shut", "*.tools"])
async def test_an_app_behind_the_gate_is_shut(street: Street, name: str) -> None:
    (finding,) = await street.at(name)
    assert (finding.verdict, finding.seen) == ("ok", "refused by the sign-in gate")


async def test_an_app_that_stands_wide_open_is_found(street: Street) -> None:
    (finding,) = await street.at("open")
    assert finding.verdict == "FAIL"
    assert "without a cookie, with forged identity headers, at /auth/check: answers 200" in finding.lines()[0]
    assert "doesn't import atproto" in finding.lines()[1]


async def test_an_app_that_opens_to_a_forged_header_is_found(street: Street) -> None:
    shut, opened = await street.at("half")
    assert shut.verdict == "ok"
    assert opened.verdict == "FAIL"
    assert opened.tried.endswith("with forged identity headers")


async def test_a_check_that_visitors_can_ask_is_found(street: Street) -> None:
    shut, exposed = await street.at("exposed")
    assert shut.verdict == "ok"
    assert exposed.verdict == "FAIL"
    assert exposed.tried.endswith("at /auth/check")
    assert "visitors can ask the check" in exposed.lines()[1]


async def test_a_host_that_caddy_does_not_know_is_found(street: Street) -> None:
    (finding,) = await street.at("missing")
    assert finding.verdict == "FAIL"
    assert "Caddy has no site for this host" in finding.lines()[1]


async def test_a_bad_certificate_hides_no_open_door(street: Street) -> None:
    own = Street(street.settings, Outside(), street.port, street.sidecar)
    for name, verdict in (("shut", "ok"), ("open", "FAIL")):
        warning, finding = (await own.at(name))[-2:]
        assert warning.tried.endswith(" at 127.0.0.1")
        assert "the certificate isn't accepted" in warning.seen
        assert (warning.verdict, finding.verdict) == ("warn", verdict)


async def test_a_gate_without_its_sidecar_is_told_from_an_open_app(street: Street) -> None:
    await street.sidecar.stop()
    (finding,) = await street.at("shut")
    assert finding.verdict == "FAIL"
    assert "Caddy can't reach the sidecar" in finding.lines()[1]
