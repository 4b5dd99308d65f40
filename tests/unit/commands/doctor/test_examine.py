"""The doctor: what it finds wrong in a deployment, and what it says to do."""

import json
import os
import re
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sidecar.commands import caddy, client_keys, init
from sidecar.commands.doctor.examine import examine
from sidecar.commands.doctor.no_answer import Kind, NoAnswer
from sidecar.commands.doctor.probes import LIMIT, Outside
from sidecar.settings import IdentitySettings, Settings, StoreSettings
from sidecar.store.sqlite import SqliteStore
from tests.fakes.outside import BASE, CLIENT_ID, World


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return init.init(tmp_path, init.Plan("https://auth.sidecar.internal", allow=["*"]))


@pytest.fixture
def world(settings: Settings) -> World:
    return World(settings)


def report(settings: Settings, world: Outside) -> tuple[bool, str]:
    lines: list[str] = []
    healthy = examine(settings, lines.append, world)
    return healthy, "\n".join(lines)


def failure(settings: Settings, world: Outside) -> str:
    """The one finding that is a FAIL, in one line."""
    healthy, text = report(settings, world)
    assert not healthy
    last = text.splitlines()[-1]
    assert last.startswith("Next: ")
    assert last.endswith(". In all 1 failure(s); then run sidecar doctor again")
    fixes = [line.partition("what to do: ")[2] for line in text.splitlines() if "what to do: " in line]
    assert any(fix in last for fix in fixes)
    (found,) = re.findall(r"^FAIL  .*\n      likely cause: .+\n      what to do: .+$", text, re.MULTILINE)
    assert text.count("FAIL") == 1
    return str(found).replace("\n     ", "")


def test_a_good_deployment_is_all_ok(settings: Settings, world: World) -> None:
    healthy, text = report(settings, world)
    assert healthy
    *findings, following = text.splitlines()
    assert {line[:4] for line in findings} == {"ok  ", "warn", "    "}
    assert [line for line in findings if not line.startswith("ok")] == [
        f"warn  store: {settings.store.path} doesn't exist yet",
        "      likely cause: the sidecar hasn't run yet",
        "      what to do: start the sidecar; its first start makes the file",
    ]
    assert following.endswith("In all 1 warning(s); nothing has failed")


def test_a_report_without_warnings_ends_with_nothing_to_do(settings: Settings, world: World) -> None:
    memory = replace(settings, store=StoreSettings(kind="memory"), public_url="http://127.0.0.1:8080")
    session = replace(settings.session, cookie_secrets_file=None)
    world.base = "http://127.0.0.1:8080/auth"
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
    lines = text.splitlines()
    places = [at for at, line in enumerate(lines) if "it is broken" in line]
    assert places
    for at in places:
        assert lines[at + 1].startswith("      likely cause: ")
        assert lines[at + 2].startswith("      what to do: ")


def test_a_clock_that_cannot_be_read_is_a_warning_and_the_next_one_is_compared(
    settings: Settings, world: World
) -> None:
    for url, spoilt in (
        ("https://plc.directory/", OSError("ConnectError: refused")),
        ("https://auth.sidecar.internal/", world.answer(401, world.refusal().body, date="yesterday")),
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
    assert "warn  configuration: apps: the file names no app" in report(replace(settings, apps={}), world)[1]


# Client metadata, as an authorization server sees it


@pytest.mark.parametrize(
    ("spoilt", "says"),
    [
        ({"status": 302, "location": "/elsewhere"}, "redirects to '/elsewhere'"),
        ({"location": "/elsewhere"}, "redirects"),
        ({"status": 201}, "answers 201; it must be 200"),
        ({"status": 401}, "forward_auth is in front of it"),
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
        ({"body": json.dumps({"client_id": CLIENT_ID, "jwks": []}).encode()}, "aren't a JWK set"),
        ({"body": json.dumps({"client_id": CLIENT_ID, "jwks": {"keys": [1]}}).encode()}, "aren't a JWK set"),
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
    world.answers[CLIENT_ID] = NoAnswer(CLIENT_ID, Kind.NO_ADDRESS, "DNS has no address for it")
    assert failure(settings, world) == (
        f"FAIL  client metadata, {CLIENT_ID}: DNS has no address for it "
        "likely cause: the name has no A or AAAA record in DNS "
        "what to do: add one, or correct the name in the configuration"
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
    assert "warn  address of auth.sidecar.internal: from here it is 10.0.0.1" in text


def test_a_sidecar_that_is_not_ready_fails(settings: Settings, world: World) -> None:
    world.answers[f"{BASE}/readyz"] = world.answer(503)
    assert "readyz: answers 503" in failure(settings, world)


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
    assert text.count("what to do: start a time service (NTP)") == 2
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


@pytest.mark.parametrize(("version", "verdict"), [((2, 11, 6), "ok"), ((2, 12, 0), "ok"), (None, "warn")])
def test_a_caddy_that_is_new_enough_or_unknown_is_no_failure(
    settings: Settings, world: World, version: tuple[int, ...] | None, verdict: str
) -> None:
    world.caddy = version
    healthy, text = report(settings, world)
    assert healthy
    assert f"{verdict:<4}  Caddy: " in text


@pytest.mark.parametrize(
    ("version", "holes"),
    [
        ((2, 9, 30), ["GHSA-7r4p-vjf4-gxv4", "GHSA-6365-7ppr-5r92", '"_"']),
        ((2, 11, 1), ["GHSA-7r4p-vjf4-gxv4", "GHSA-6365-7ppr-5r92", '"_"']),
        ((2, 11, 2), ["GHSA-6365-7ppr-5r92", '"_"']),
        ((2, 11, 4), ["GHSA-6365-7ppr-5r92", '"_"']),
        ((2, 11, 5), ['"_"']),
    ],
)
def test_a_caddy_with_holes_fails_and_each_hole_is_named(
    settings: Settings, world: World, version: tuple[int, ...], holes: list[str]
) -> None:
    world.caddy = version
    healthy, text = report(settings, world)
    assert not healthy
    assert text.count("FAIL  Caddy: ") == len(holes)
    assert [hole for hole in holes if hole not in text] == []
    assert text.count(f"what to do: update Caddy to {caddy.shown(caddy.NEEDED)} or newer") == len(holes)


def test_a_system_without_a_trust_store_fails(settings: Settings, world: World) -> None:
    world.trusted = ""
    assert "install ca-certificates" in failure(settings, world)


def test_it_says_whose_trust_store_it_uses(settings: Settings, world: World) -> None:
    assert "ok    trust store: certificates are checked by this system's, /etc" in report(settings, world)[1]


@pytest.mark.parametrize(
    ("status", "says"),
    [(502, "Caddy can't reach the sidecar"), (403, "server.trusted_peers"), (503, "the sidecar's log")],
)
def test_each_way_of_not_being_ready_has_its_own_cause(
    settings: Settings, world: World, status: int, says: str
) -> None:
    world.answers[f"{BASE}/readyz"] = world.answer(status)
    assert says in failure(settings, world)


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("ours", [True, False])
def test_every_kind_of_failure_has_a_cause_and_a_remedy(
    settings: Settings, world: World, kind: Kind, ours: bool
) -> None:
    url = f"{BASE}/readyz" if ours else "https://plc.directory/_health"
    world.answers[url] = NoAnswer(url, kind, "nothing was heard")
    assert f", {url}: nothing was heard likely cause: " in failure(settings, world)


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
    assert f"ok    store: {settings.store.path} opens and answers" in checks[0][1]


def test_a_file_that_is_no_database_fails(settings: Settings, world: World) -> None:
    settings.store.path.write_text("nonsense" * 1000)
    settings.store.path.chmod(0o600)
    assert failure(settings, world).startswith("FAIL  store: ")


def test_files_that_others_can_read_fail(settings: Settings, world: World) -> None:
    settings.client.keys_file.chmod(0o644)
    assert "chmod 600" in failure(settings, world)


def test_on_loopback_there_is_no_metadata_to_fetch(tmp_path: Path, settings: Settings, world: World) -> None:
    url = "http://127.0.0.1:8080"
    world.base = f"{url}/auth"
    local = replace(settings, public_url=url, store=StoreSettings(kind="memory"))
    healthy, text = report(local, world)
    assert healthy
    assert "ok    client metadata: none" in text
    assert "in memory" in text


def with_own_server(settings: Settings) -> Settings:
    return replace(settings, identity=IdentitySettings(private_servers=("https://pds.home.example",)))


def test_a_server_of_ones_own_that_answers_is_named_with_what_that_means(
    settings: Settings, world: World
) -> None:
    healthy, text = report(with_own_server(settings), world)
    assert healthy
    assert "ok    own server: https://pds.home.example answers; anyone who names it makes" in text


def test_a_server_of_ones_own_that_is_no_pds_is_a_failure(settings: Settings, world: World) -> None:
    world.answers["https://pds.home.example/.well-known/oauth-protected-resource"] = world.answer(404)
    found = failure(with_own_server(settings), world)
    assert "answers 404, not 200" in found
    assert "identity.private_servers" in found
