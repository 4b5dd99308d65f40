"""The doctor: what it finds wrong in a deployment, and what it says to do."""

import asyncio
import json
import os
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from sidecar.commands import client_keys, doctor, init, probes
from sidecar.commands.probes import LIMIT, Answer, Outside
from sidecar.settings import IdentitySettings, Settings, StoreSettings
from sidecar.store.sqlite import SqliteStore
from tests.fakes.dns import Fault, dns_server
from tests.lab.certs import issue

BASE = "https://auth.sidecar.internal/auth"
CLIENT_ID = f"{BASE}/client-metadata.json"
NOW = 1_800_000_000.0


class World(Outside):
    """A world in which all is well, until a test spoils something."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        public = [
            {n: v for n, v in key.items() if n != "d"} for key in client_keys.read(settings.client.keys_file)
        ]
        self.keys: dict[str, Any] = {"keys": public}
        self.metadata: dict[str, Any] = {"client_id": CLIENT_ID, "jwks": self.keys}
        self.answers: dict[str, Answer | OSError] = {f"{BASE}/check": self.answer(404)}
        self.ahead = 0.0
        self.records = ["v=spf1 -all", "did=did:plc:z72i7hdynmk6r22z27h6tvur"]
        self.caddy: tuple[int, ...] | None = (2, 11, 7)
        self.found = ["93.184.216.34"]

    def answer(self, status: int = 200, body: bytes = b"{}", seconds: float = 0.1, **headers: str) -> Answer:
        named = {"content-type": "application/json", "date": formatdate(NOW, usegmt=True)}
        named |= {name.replace("_", "-"): value for name, value in headers.items()}
        return Answer(status, httpx.Headers(named), body, seconds, NOW + 0.5)

    def get(self, url: str) -> Answer:
        documents = {CLIENT_ID: self.metadata, f"{BASE}/jwks.json": self.keys}
        answer = self.answers.get(url) or self.answer(body=json.dumps(documents.get(url, {})).encode())
        if isinstance(answer, OSError):
            raise answer
        return replace(answer, received=answer.received + self.ahead)

    def addresses(self, host: str) -> list[str]:
        return self.found

    def txt(self, name: str, nameservers: Sequence[str]) -> list[str]:
        return self.records

    def caddy_version(self) -> tuple[int, ...] | None:
        return self.caddy


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return init.init(tmp_path, init.Plan("https://auth.sidecar.internal", allow=["*"]))


@pytest.fixture
def world(settings: Settings) -> World:
    return World(settings)


def report(settings: Settings, world: Outside) -> tuple[bool, str]:
    lines: list[str] = []
    healthy = doctor.examine(settings, lines.append, world)
    return healthy, "\n".join(lines)


def failure(settings: Settings, world: Outside) -> str:
    """The one line that says FAIL."""
    healthy, text = report(settings, world)
    assert not healthy
    assert text.endswith("Next: mend 1 failure(s) and run sidecar doctor again")
    (line,) = [line for line in text.splitlines() if line.startswith("FAIL")]
    return line


def test_a_good_deployment_is_all_ok(settings: Settings, world: World) -> None:
    healthy, text = report(settings, world)
    assert healthy
    *findings, following = text.splitlines()
    assert {line[:4] for line in findings} == {"ok  ", "warn"}
    assert [line for line in findings if line.startswith("warn")] == [
        f"warn  {settings.store.path} isn't there yet; the first `sidecar serve` makes it"
    ]
    assert following == "Next: see to 1 warning(s); nothing has failed"


def test_a_report_without_warnings_ends_with_nothing_to_do(settings: Settings, world: World) -> None:
    memory = replace(settings, store=StoreSettings(kind="memory"), public_url="http://127.0.0.1:8080")
    session = replace(settings.session, cookie_secrets_file=None)
    world.answers["http://127.0.0.1:8080/auth/check"] = world.answer(404)
    text = report(replace(memory, session=session), world)[1]
    assert "warn" not in text
    assert text.endswith("\nNext: nothing, it works")


@pytest.mark.parametrize("spoilt", ["addresses", "get", "txt", "caddy_version"])
def test_whatever_cannot_be_asked_is_told_with_what_to_do(
    settings: Settings, world: World, monkeypatch: pytest.MonkeyPatch, spoilt: str
) -> None:
    def broken(*_: object) -> None:
        raise OSError("it is broken")

    monkeypatch.setattr(world, spoilt, broken)
    healthy, text = report(settings, world)
    assert not healthy
    lines = [line for line in text.splitlines() if "it is broken" in line]
    assert lines
    assert [line for line in lines if line.endswith("broken") or ";" not in line] == []


def test_a_clock_that_cannot_be_read_is_a_warning_and_the_next_one_is_compared(
    settings: Settings, world: World
) -> None:
    for url, spoilt in (
        ("https://plc.directory/", OSError("ConnectError: refused")),
        ("https://auth.sidecar.internal/", world.answer(date="yesterday")),
    ):
        world.answers = {f"{BASE}/check": world.answer(404), url: spoilt}
        healthy, text = report(settings, world)
        assert healthy
        assert f"warn  clock: {url[:-1]} doesn't say what time it is (" in text
        assert text.count("ok    clock: 0 s") == 1


@pytest.mark.parametrize("path", ["nofolder/sidecar.db", "sidecar.toml/sidecar.db", "."])
def test_a_store_that_cannot_be_there_fails(settings: Settings, world: World, path: str) -> None:
    wrong = settings.store.path.parent / path
    line = failure(replace(settings, store=StoreSettings(path=wrong)), world)
    assert line.startswith("FAIL  store: ")
    assert "folder" in line


def test_a_folder_of_the_store_that_cannot_be_written_fails(
    settings: Settings, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: mode != os.W_OK)
    assert "give it to the user that runs the sidecar" in failure(settings, world)


def test_warnings_of_the_configuration_are_repeated(settings: Settings, world: World) -> None:
    assert "warn  apps: none is configured" in report(replace(settings, apps={}), world)[1]


# Client metadata, as an authorization server sees it


@pytest.mark.parametrize(
    ("spoilt", "says"),
    [
        ({"status": 302, "location": "/elsewhere"}, "redirects to '/elsewhere'"),
        ({"location": "/elsewhere"}, "redirects"),
        ({"status": 201}, "answers 201; it must be 200"),
        ({"status": 401}, "is forward_auth in front of it?"),
        (
            {"content_type": "text/html; charset=utf-8"},
            "'text/html; charset=utf-8'; it must be application/json",
        ),
        ({"content_type": ""}, "it must be application/json"),
        ({"body": b" " * (LIMIT + 1)}, "larger than 512 kB"),
        ({"seconds": 6.0}, "took 6.0 s"),
        ({"body": b"<html>"}, "client metadata: "),
        ({"body": b"[1]"}, "client metadata: "),
        ({"body": b"\xff"}, "client metadata: "),
        (
            {"body": b'{"client_id": "https://other"}'},
            "says client_id 'https://other'; they must be identical",
        ),
        ({"body": json.dumps({"client_id": CLIENT_ID, "jwks": []}).encode()}, "no JWK set"),
        ({"body": json.dumps({"client_id": CLIENT_ID, "jwks": {"keys": [1]}}).encode()}, "no JWK set"),
        (
            {"body": json.dumps({"client_id": CLIENT_ID, "jwks": {"keys": []}}).encode()},
            "restart the sidecar",
        ),
    ],
)
def test_client_metadata_that_servers_would_refuse_fails(
    settings: Settings, world: World, spoilt: dict[str, Any], says: str
) -> None:
    body = json.dumps(world.metadata).encode()
    world.answers[CLIENT_ID] = world.answer(**{"body": body, **spoilt})
    assert says in failure(settings, world)


def test_a_content_type_with_a_charset_is_fine(settings: Settings, world: World) -> None:
    body = json.dumps(world.metadata).encode()
    world.answers[CLIENT_ID] = world.answer(body=body, content_type="Application/JSON; charset=utf-8")
    assert report(settings, world)[0]


def test_a_client_id_that_differs_by_one_letters_case_fails(settings: Settings, world: World) -> None:
    world.metadata["client_id"] = CLIENT_ID.replace("auth.", "Auth.")
    assert "must be identical" in failure(settings, world)


def test_metadata_that_cannot_be_fetched_fails_and_the_rest_is_checked(
    settings: Settings, world: World
) -> None:
    world.answers[CLIENT_ID] = OSError("ConnectError: refused")
    assert failure(settings, world) == (
        "FAIL  client metadata: ConnectError: refused; start Caddy and the sidecar, and import atproto-pages "
        "at the public host: it must be the sidecar's own answer"
    )


def test_keys_published_apart_are_compared_too(settings: Settings, world: World) -> None:
    del world.metadata["jwks"]
    assert report(settings, world)[0]
    world.answers[f"{BASE}/jwks.json"] = world.answer(404)
    assert "jwks.json answers 404" in failure(settings, world)


def test_the_metadata_is_looked_for_where_the_settings_have_it(settings: Settings, world: World) -> None:
    settings = replace(settings, client=replace(settings.client, id_path="/oauth-client-metadata.json"))
    chosen = "https://auth.sidecar.internal/oauth-client-metadata.json"
    world.answers[chosen] = world.answer(404)
    assert f"{chosen} answers 404" in failure(settings, world)
    assert "client.id_path" in failure(settings, world)
    world.answers[chosen] = world.answer(body=json.dumps({**world.metadata, "client_id": chosen}).encode())
    assert report(settings, world)[0]


def test_published_keys_that_are_not_ours_fail(settings: Settings, world: World) -> None:
    client_keys.add(settings.client.keys_file)
    assert "aren't those of client.keys_file" in failure(settings, world)


def test_a_published_private_key_fails_and_is_not_shown(settings: Settings, world: World) -> None:
    private = client_keys.read(settings.client.keys_file)
    world.metadata["jwks"] = {"keys": private}
    line = failure(settings, world)
    assert "PRIVATE key" in line
    assert private[0]["d"] not in line


# The rest


def test_a_public_host_with_a_private_address_is_a_warning(settings: Settings, world: World) -> None:
    world.found = ["10.0.0.1", "93.184.216.34"]
    healthy, text = report(settings, world)
    assert healthy
    assert "warn  auth.sidecar.internal is 10.0.0.1 from here" in text


def test_a_sidecar_that_is_not_ready_fails(settings: Settings, world: World) -> None:
    world.answers[f"{BASE}/readyz"] = world.answer(503)
    assert "readyz answers 503" in failure(settings, world)


def test_a_check_that_visitors_can_ask_fails(settings: Settings, world: World) -> None:
    world.answers[f"{BASE}/check"] = world.answer(400)
    assert "import atproto-pages" in failure(settings, world)


@pytest.mark.parametrize(("ahead", "verdict"), [(0, "ok"), (2, "ok"), (-2, "ok"), (5, "warn"), (-5, "warn")])
def test_small_differences_of_clocks_are_tolerated_or_warned_of(
    settings: Settings, world: World, ahead: float, verdict: str
) -> None:
    world.ahead = ahead
    healthy, text = report(settings, world)
    assert healthy
    assert f"{verdict:<4}  clock: " in text


@pytest.mark.parametrize("ahead", [-60, 8, 3600])
def test_a_clock_that_makes_sign_ins_fail_is_a_failure(
    settings: Settings, world: World, ahead: float
) -> None:
    world.ahead = ahead
    healthy, text = report(settings, world)
    assert not healthy
    assert text.count("start a time service (NTP)") == 2
    assert text.count("s ahead of that of" if ahead > 0 else "s behind that of") == 2


def test_a_server_that_tells_no_time_is_a_warning(settings: Settings, world: World) -> None:
    world.answers["https://plc.directory/"] = world.answer(date="")
    assert "warn  clock: https://plc.directory doesn't say what time it is" in report(settings, world)[1]


@pytest.mark.parametrize("status", [502, 404, 302])
def test_a_directory_that_fails_is_a_failure(settings: Settings, world: World, status: int) -> None:
    world.answers["https://plc.directory/_health"] = world.answer(status)
    line = failure(settings, world)
    assert f"PLC directory: https://plc.directory answers {status}" in line
    assert "identity.plc_url" in line


@pytest.mark.parametrize(
    ("plc_url", "warned"), [("http://10.0.0.1:2582", True), ("https://plc.wiki.net", False)]
)
def test_a_directory_neither_https_nor_the_public_one_is_a_warning(
    settings: Settings, world: World, plc_url: str, warned: bool
) -> None:
    text = report(replace(settings, identity=IdentitySettings(plc_url=plc_url)), world)[1]
    assert ("decides who everyone is" in text) is warned


def test_dns_without_txt_records_fails_unless_a_resolver_is_asked(settings: Settings, world: World) -> None:
    world.records = ["v=spf1 -all"]
    assert "set identity.nameservers" in failure(settings, world)
    identity = IdentitySettings(handle_resolver="https://bsky.social")
    assert report(replace(settings, identity=identity), world)[0]


@pytest.mark.parametrize(("version", "verdict"), [((2, 11, 2), "ok"), ((2, 12, 0), "ok"), (None, "warn")])
def test_a_caddy_that_is_new_enough_or_unknown_is_no_failure(
    settings: Settings, world: World, version: tuple[int, ...] | None, verdict: str
) -> None:
    world.caddy = version
    healthy, text = report(settings, world)
    assert healthy
    assert f"{verdict:<4}  Caddy" in text


@pytest.mark.parametrize("version", [(2, 11, 1), (2, 9, 30)])
def test_a_caddy_that_lets_headers_be_forged_fails(
    settings: Settings, world: World, version: tuple[int, ...]
) -> None:
    world.caddy = version
    assert "update to 2.11.2 or newer" in failure(settings, world)


async def test_a_store_that_opens_is_ok_and_one_that_does_not_fails(settings: Settings, world: World) -> None:
    store = SqliteStore(settings.store.path)
    await store.open()
    await store.close()
    # in a thread: the doctor has a loop of its own
    checks: list[tuple[bool, str]] = []
    thread = threading.Thread(target=lambda: checks.append(report(settings, world)))
    thread.start()
    thread.join()
    assert checks[0][0]
    assert f"ok    {settings.store.path}: opens and answers" in checks[0][1]


def test_a_file_that_is_no_database_fails(settings: Settings, world: World) -> None:
    settings.store.path.write_text("nonsense" * 1000)
    settings.store.path.chmod(0o600)
    assert failure(settings, world).startswith("FAIL  store: ")


def test_files_that_others_can_read_fail(settings: Settings, world: World) -> None:
    settings.client.keys_file.chmod(0o644)
    assert "chmod 600" in failure(settings, world)


def test_on_loopback_there_is_no_metadata_to_fetch(tmp_path: Path, settings: Settings, world: World) -> None:
    url = "http://127.0.0.1:8080"
    world.answers[f"{url}/auth/check"] = world.answer(404)
    local = replace(settings, public_url=url, store=StoreSettings(kind="memory"))
    healthy, text = report(local, world)
    assert healthy
    assert "ok    client metadata: none" in text
    assert "in memory" in text


# The real world


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
            Outside(verify=ssl.create_default_context(cafile=certificates.ca)),
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


def test_a_certificate_that_nobody_knows_is_no_answer(site: tuple[str, Outside]) -> None:
    with pytest.raises(OSError, match=r"https://localhost:\d+/: .*certificate"):
        Outside().get(f"{site[0]}/")


def test_proxies_of_the_environment_are_not_asked(
    site: tuple[str, Outside], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, real = site
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    assert real.get(f"{url}/").status == 200


def test_addresses_are_looked_up() -> None:
    assert "127.0.0.1" in Outside().addresses("127.0.0.1")
    with pytest.raises(OSError, match=r"^no host: "):
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
