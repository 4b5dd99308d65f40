"""`sidecar init` and the keys file: what they write, and that nothing is lost or overwritten."""

import json
import re
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey

from sidecar.commands import client_keys, init
from sidecar.commands.init import CONFIG, KEYS, SECRETS, Plan
from sidecar.config_file import reader
from sidecar.errors import ConfigError
from tests.lab.child import program

ALONE = Plan("https://wiki.sidecar.internal", allow=["alice.test"])
SHARED = Plan(
    "https://auth.sidecar.internal", ["wiki.sidecar.internal", "*.b.sidecar.internal"], ["alice.test"]
)


def test_it_writes_a_configuration_that_loads(tmp_path: Path) -> None:
    settings = init.init(tmp_path / "new" / "folder", ALONE)
    assert settings == reader.load(tmp_path / "new" / "folder" / CONFIG, {})
    assert settings.apps["wiki"].hosts == ("wiki.sidecar.internal",)
    assert settings.apps["wiki"].allow == ("alice.test",)
    assert settings.session.cookie_domain == ""
    assert len(settings.session.cookie_secrets[0]) == 43


def test_apps_on_other_hosts_share_the_longest_domain(tmp_path: Path) -> None:
    settings = init.init(tmp_path, SHARED)
    assert settings.session.cookie_domain == "sidecar.internal"
    assert [app.hosts for app in settings.apps.values()] == [
        ("wiki.sidecar.internal",),
        ("*.b.sidecar.internal",),
    ]
    assert list(settings.apps) == ["wiki", "b"]


def test_apps_of_the_same_name_are_numbered(tmp_path: Path) -> None:
    plan = Plan("https://auth.sidecar.internal", ["wiki.a.sidecar.internal", "wiki.b.sidecar.internal"])
    assert list(init.init(tmp_path, plan).apps) == ["wiki", "wiki-2"]


def test_an_app_named_as_the_public_host_shares_no_domain(tmp_path: Path) -> None:
    plan = Plan("https://wiki.sidecar.internal", ["wiki.sidecar.internal"])
    assert init.init(tmp_path, plan).session.cookie_domain == ""


def test_apps_on_other_ports_of_an_address_share_no_domain(tmp_path: Path) -> None:
    plan = Plan("http://127.0.0.1:8080", ["127.0.0.1:8080", "127.0.0.1:8081"])
    assert init.init(tmp_path, plan).session.cookie_domain == ""


def test_for_systemd_the_paths_are_those_of_the_unit(tmp_path: Path) -> None:
    settings = init.init(tmp_path, ALONE._replace(systemd=True))
    assert settings.server.listen == "unix:/run/sidecar/sidecar.sock"
    assert settings.server.socket_owner == ":caddy"
    assert settings.store.path == Path("/var/lib/sidecar/sidecar.db")
    assert "reverse_proxy unix//run/sidecar/sidecar.sock" in init.caddyfile(settings)


@pytest.mark.parametrize("name", [CONFIG, KEYS, SECRETS])
def test_every_file_is_for_its_owner_only(tmp_path: Path, name: str) -> None:
    init.init(tmp_path, ALONE)
    assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


@pytest.mark.parametrize("name", [CONFIG, KEYS, SECRETS])
def test_one_file_that_is_there_already_stops_all(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(FileExistsError):
        init.init(tmp_path, ALONE)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine"


def test_a_link_that_leads_nowhere_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / CONFIG).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        init.init(tmp_path, ALONE)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    "plan",
    [
        Plan("https://auth.example.com"),
        Plan("auth.sidecar.internal"),
        Plan("https://auth.sidecar.internal", ["wiki.elsewhere.net"]),
        Plan("https://auth.sidecar.internal", allow=["nobody"]),
        Plan('https://auth.sidecar.internal"\n[log]\nlevel = "x'),
        Plan("https://auth.sidecar.internal", allow=["\udcff.org"]),
    ],
)
def test_a_plan_that_contradicts_itself_leaves_nothing_behind(tmp_path: Path, plan: Plan) -> None:
    for folder in (tmp_path, tmp_path / "new" / "folder"):
        with pytest.raises(ConfigError):
            init.init(folder, plan)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("fault", [KeyboardInterrupt(), UnicodeEncodeError("utf-8", "", 0, 1, "")])
def test_whatever_interrupts_it_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: BaseException
) -> None:
    def interrupted(*_: object) -> None:
        raise fault

    monkeypatch.setattr(reader, "load", interrupted)
    with pytest.raises(type(fault)):
        init.init(tmp_path / "new", ALONE)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_others_have_used_meanwhile_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def another(path: Path, _: object) -> None:
        (path.parent / "theirs").write_text("")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(reader, "load", another)
    with pytest.raises(OSError, match="No space"):
        init.init(tmp_path / "new", ALONE)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["theirs"]


def test_options_that_cannot_be_read_are_all_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        init.init(tmp_path, Plan("wiki.sidecar.internal", ["a b"], ["nobody"]))
    assert [fault.partition(":")[0] for fault in caught.value.faults] == [
        "--public-url",
        "--app-host",
        "--allow",
    ]


@pytest.mark.parametrize("host", ["wiki.elsewhere.org", "wiki.other.net", "127.0.0.1"])
def test_apps_under_another_domain_blame_the_options_and_no_setting(tmp_path: Path, host: str) -> None:
    with pytest.raises(ConfigError) as caught:
        init.init(tmp_path, Plan("https://auth.sidecar-net.net", [host]))
    (fault,) = caught.value.faults
    assert fault.startswith(f"--app-host: {host} and --public-url")
    assert "cookie_domain" not in fault


def test_every_host_under_the_public_one_shares_its_domain(tmp_path: Path) -> None:
    settings = init.init(tmp_path, Plan("https://sidecar.internal", ["*.sidecar.internal"]))
    assert settings.session.cookie_domain == "sidecar.internal"


def test_hosts_in_any_spelling_share_a_domain(tmp_path: Path) -> None:
    settings = init.init(tmp_path, Plan("https://auth.BÜCHER.internal", ["wiki.bücher.internal."]))
    assert settings.session.cookie_domain == "xn--bcher-kva.internal"


def test_every_deployment_has_secrets_of_its_own(tmp_path: Path) -> None:
    first, second = (init.init(tmp_path / name, ALONE) for name in "ab")
    assert first.session.cookie_secrets != second.session.cookie_secrets
    assert (tmp_path / "a" / KEYS).read_text() != (tmp_path / "b" / KEYS).read_text()


def test_the_lines_for_caddy_have_a_site_for_every_host(tmp_path: Path) -> None:
    lines = init.caddyfile(init.init(tmp_path, SHARED))
    for snippet in re.findall(r"import (atproto[a-z-]*)", lines):
        assert f"\n({snippet}) {{\n" in f"\n{lines}"
    assert "https://auth.sidecar.internal {\n\tredir / /auth/\n\timport atproto-pages\n}\n" in lines
    assert "https://wiki.sidecar.internal {\n\timport atproto 127.0.0.1:3000" in lines
    assert "https://*.b.sidecar.internal {" in lines
    assert "SIDECAR_UPSTREAM" not in lines
    assert "admin" not in lines


def test_one_host_for_both_is_one_site(tmp_path: Path) -> None:
    lines = init.caddyfile(init.init(tmp_path, ALONE))
    assert "\tredir " not in lines
    assert "https://wiki.sidecar.internal {\n\timport atproto-pages\n\timport atproto 127.0.0.1:3000" in lines


@pytest.mark.e2e
@pytest.mark.parametrize("systemd", [False, True])
def test_the_lines_are_a_caddyfile(tmp_path: Path, systemd: bool) -> None:
    (tmp_path / "Caddyfile").write_text(init.caddyfile(init.init(tmp_path, SHARED._replace(systemd=systemd))))
    command = [
        str(program("caddy")),
        "adapt",
        "--adapter",
        "caddyfile",
        "--config",
        str(tmp_path / "Caddyfile"),
    ]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "wiki.sidecar.internal" in ran.stdout


# Keys


@pytest.fixture
def keys_file(tmp_path: Path) -> Path:
    path = tmp_path / "client-keys.json"
    path.write_text(client_keys.key_set([client_keys.new_key()]))
    path.chmod(0o600)
    return path


def kids(path: Path) -> list[Any]:
    return [key["kid"] for key in client_keys.read(path)]


def test_a_new_key_is_a_private_es256_key_named_by_its_thumbprint() -> None:
    key = client_keys.new_key()
    assert (key["kty"], key["crv"], key["alg"], key["use"]) == ("EC", "P-256", "ES256", "sig")
    assert ECKey.import_key(key).is_private
    assert ECKey.import_key(key).thumbprint() == key["kid"]


def test_adding_appends_and_keeps_the_key_that_signs(keys_file: Path) -> None:
    before = client_keys.read(keys_file)
    added = client_keys.add(keys_file)
    assert client_keys.read(keys_file) == [*before, added]


def test_using_a_key_puts_it_first_and_loses_none(keys_file: Path) -> None:
    first, second = kids(keys_file)[0], client_keys.add(keys_file)["kid"]
    third = client_keys.add(keys_file)["kid"]
    client_keys.use(keys_file, second)
    assert kids(keys_file) == [second, first, third]


def test_removing_takes_out_one_that_no_longer_signs(keys_file: Path) -> None:
    first, second = kids(keys_file)[0], client_keys.add(keys_file)["kid"]
    with pytest.raises(ValueError, match="--use"):
        client_keys.remove(keys_file, first)
    client_keys.remove(keys_file, second)
    assert kids(keys_file) == [first]


def test_an_unknown_key_changes_nothing(keys_file: Path) -> None:
    before = keys_file.read_bytes()
    for change in (client_keys.use, client_keys.remove):
        with pytest.raises(ValueError, match="no key other"):
            change(keys_file, "other")
    assert keys_file.read_bytes() == before


def test_rewriting_keeps_the_mode_and_leaves_no_other_file(keys_file: Path) -> None:
    keys_file.chmod(0o400)
    client_keys.add(keys_file)
    assert stat.S_IMODE(keys_file.stat().st_mode) == 0o400
    assert list(keys_file.parent.iterdir()) == [keys_file]


def test_a_rewrite_that_fails_leaves_the_file_as_it_was(
    keys_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = keys_file.read_bytes()

    def full(file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        client_keys.add(keys_file)
    assert keys_file.read_bytes() == before
    assert list(keys_file.parent.iterdir()) == [keys_file]


def test_the_keys_are_written_as_a_jwk_set(keys_file: Path) -> None:
    assert list(json.loads(keys_file.read_text())) == ["keys"]


@pytest.mark.parametrize("kid", ["demo-1234", None])
def test_a_single_key_becomes_a_set_when_one_is_added(keys_file: Path, kid: str | None) -> None:
    (single,) = client_keys.read(keys_file)
    thumbprint = single.pop("kid")
    named = {"kid": kid} if kid else {}
    keys_file.write_text("\ufeff" + json.dumps({**single, **named}), "utf-8")
    assert kids(keys_file) == [kid or thumbprint]
    added = client_keys.add(keys_file)
    assert list(json.loads(keys_file.read_text("utf-8"))) == ["keys"]
    assert kids(keys_file) == [kid or thumbprint, added["kid"]]


@pytest.mark.parametrize("text", ["[]", "3", "{}", '{"kty": "EC"}', '{"keys": {}}', '{"keys": [1]}', "{"])
def test_what_is_neither_a_key_nor_a_set_is_refused(keys_file: Path, text: str) -> None:
    keys_file.write_text(text)
    with pytest.raises(ValueError, match="sidecar keygen"):
        client_keys.read(keys_file)
