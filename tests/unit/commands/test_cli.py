"""The command: what it prints where, its exit codes, that it imports no more than it needs."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sidecar import __version__
from sidecar.commands import caddy, cli, client_keys, init, terminal
from sidecar.commands.doctor import examine
from sidecar.config_file.inputs import Inputs
from sidecar.errors import ConfigError
from sidecar.process import serve
from sidecar.settings import Settings

ROOT = Path(__file__).parents[3]
LOOPBACK = 'public_url = "http://127.0.0.1:8080"\n[store]\nkind = "memory"\n'


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, and no SIDECAR_ variable."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("SIDECAR_")]:
        monkeypatch.delenv(name)
    return tmp_path


@pytest.fixture
def file(elsewhere: Path) -> Path:
    path = elsewhere / "sidecar.toml"
    path.write_text(LOOPBACK)
    return path


def test_help_documents_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["--help"])
    shown = capsys.readouterr().out
    assert caught.value.code == 0
    for command in ("serve", "init", "check-config", "doctor", "keygen"):
        assert command in shown
    for code in (cli.OK, cli.FAILED, 2, cli.FAULTY_CONFIG):
        assert f"\n  {code} " in shown


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert capsys.readouterr().out == f"atproto-sidecar {__version__}\n"


@pytest.mark.parametrize("argv", [[], ["nonsense"], ["allow"], ["keygen", "--add", "--use", "x"]])
def test_a_wrong_command_line_is_exit_code_2(argv: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(argv)
    assert caught.value.code == 2


def test_python_m_sidecar_is_the_command() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "sidecar", "--version"], capture_output=True, text=True, check=True
    )
    assert __version__ in ran.stdout


# Which file


def test_the_named_file_comes_first_then_the_environment_then_the_usual_places(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert terminal.config_path(None) == Path("sidecar.toml")
    monkeypatch.setenv("SIDECAR_CONFIG", "/from/environment.toml")
    assert terminal.config_path(None) == Path("/from/environment.toml")
    assert terminal.config_path(Path("named.toml")) == Path("named.toml")


def test_without_any_file_the_environment_alone_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "CANDIDATES", (Path("none.toml"),))
    assert terminal.config_path(None) is None


@pytest.mark.parametrize("command", ["serve", "check-config", "doctor"])
def test_without_a_file_and_a_public_url_it_says_where_it_looked_and_what_makes_one(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    monkeypatch.setattr(terminal, "CANDIDATES", (Path("sidecar.toml"), elsewhere / "etc" / "sidecar.toml"))
    assert cli.main([command]) == cli.FAULTY_CONFIG
    first = capsys.readouterr().err.splitlines()[0]
    for words in (f"{elsewhere}/sidecar.toml", f"{elsewhere}/etc/sidecar.toml", "--config", "`sidecar init`"):
        assert words in first
    monkeypatch.setenv("SIDECAR_PUBLIC_URL", "https://wiki.sidecar.internal")
    assert cli.main([command]) == cli.FAULTY_CONFIG
    assert "no configuration file" not in capsys.readouterr().err


# check-config


def test_check_config_says_ok_and_what_comes_next(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check-config"]) == cli.OK
    warning, verdict, following = capsys.readouterr().out.splitlines()
    assert warning.startswith("warning: apps: the file names no app")
    assert verdict == "ok: sidecar.toml has no faults"
    assert "sidecar serve" in following


@pytest.mark.parametrize("rule", ["*", "anyone-with-an-account"])
def test_check_config_says_in_plain_words_that_anyone_gets_in(
    file: Path, capsys: pytest.CaptureFixture[str], rule: str
) -> None:
    file.write_text(f'{LOOPBACK}[apps.a]\nhosts = ["127.0.0.1:8080"]\nallow = ["{rule}"]\n')
    assert cli.main(["check-config"]) == cli.OK
    note, verdict, _ = capsys.readouterr().out.splitlines()
    assert note.startswith("note: apps.a.allow: ")
    assert "anyone in the world who has an account" in note
    assert verdict == "ok: sidecar.toml has no faults"


def test_check_config_lists_every_fault_on_stderr(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text('public_url = "x"\nnonsense = 1\n')
    assert cli.main(["check-config", "--config", str(file)]) == cli.FAULTY_CONFIG
    shown = capsys.readouterr()
    assert shown.out == ""
    assert [line.split(":")[:2] for line in shown.err.splitlines()] == [
        ["sidecar", " nonsense"],
        ["sidecar", " public_url"],
    ]


# init


def test_init_prints_the_caddyfile_alone_on_stdout(
    elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["init", "--public-url", "https://auth.sidecar.internal", "--dir", "etc"]
    assert cli.main([*argv, "--app-host", "wiki.sidecar.internal", "--allow", "alice.test", "*"]) == cli.OK
    shown = capsys.readouterr()
    assert shown.out.startswith("# The sidecar's own pages")
    assert "https://wiki.sidecar.internal {" in shown.out
    assert "wrote etc/sidecar.toml\n" in shown.err
    assert shown.err.endswith("sidecar serve --config etc/sidecar.toml\n")
    assert cli.main(["check-config", "--config", "etc/sidecar.toml"]) == cli.OK


@pytest.mark.parametrize("rule", ["*", "anyone-with-an-account"])
def test_init_says_in_plain_words_that_anyone_gets_in(capsys: pytest.CaptureFixture[str], rule: str) -> None:
    argv = ["init", "--public-url", "https://auth.sidecar.internal", "--allow"]
    assert cli.main([*argv, rule]) == cli.OK
    assert "note: apps.auth.allow: " in (said := capsys.readouterr().err)
    assert "anyone in the world who has an account" in said


def test_init_says_which_caddy_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["init", "--public-url", "https://auth.sidecar.internal", "--allow", "a.test"]) == cli.OK
    shown = capsys.readouterr()
    assert f"Caddy must be {caddy.shown(caddy.NEEDED)} or newer" in shown.err
    assert "note:" not in shown.err


def test_init_for_systemd_says_how_to_start_it_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["init", "--public-url", "https://auth.sidecar.internal", "--systemd"]) == cli.OK
    shown = capsys.readouterr()
    for words in (
        "systemd-sysusers ",
        "systemctl enable --now ",
        "the group caddy",
    ):
        assert words in shown.err
    assert "warning: apps.auth.allow: empty" in shown.err


def test_init_a_second_time_changes_nothing(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["init", "--public-url", "https://auth.sidecar.internal"]
    assert cli.main(argv) == cli.OK
    before = {path: path.read_bytes() for path in elsewhere.iterdir()}
    capsys.readouterr()
    assert cli.main(argv) == cli.FAILED
    assert "exists already, so nothing was written" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in elsewhere.iterdir()} == before


def test_a_folder_that_cannot_be_written_is_one_line(
    elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (elsewhere / "file").write_text("")
    argv = ["init", "--public-url", "https://auth.sidecar.internal", "--dir", "file/sub"]
    assert cli.main(argv) == cli.FAILED
    assert len(capsys.readouterr().err.splitlines()) == 1


# keygen


def test_keygen_prints_a_key_set_and_changes_nothing(
    elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["keygen"]) == cli.OK
    shown = capsys.readouterr()
    (elsewhere / "printed.json").write_text(shown.out)
    assert len(client_keys.read(elsewhere / "printed.json")) == 1
    assert "Next: keep this private key set" in shown.err


def test_keygen_rotates_in_three_steps(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    init.init(elsewhere, init.Plan("https://auth.sidecar.internal"))
    file = elsewhere / init.KEYS
    old = client_keys.read(file)[0]["kid"]
    assert cli.main(["keygen", "--add"]) == cli.OK
    new = client_keys.read(file)[1]["kid"]
    added = capsys.readouterr().err
    assert f"sidecar keygen --use={new}" in added
    assert "wait 15 minutes" in added
    assert cli.main(["keygen", f"--use={new}"]) == cli.OK
    assert "wait 15 minutes" in capsys.readouterr().err
    assert cli.main(["keygen", f"--remove={old}"]) == cli.OK
    assert [key["kid"] for key in client_keys.read(file)] == [new]
    assert client_keys.read(file)[0]["d"] not in "".join(capsys.readouterr())


def test_keygen_waits_longer_for_servers_that_keep_keys_inside_the_metadata(
    elsewhere: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    init.init(elsewhere, init.Plan("https://auth.sidecar.internal"))
    monkeypatch.setenv("SIDECAR_CLIENT_JWKS", "inline")
    assert cli.main(["keygen", "--add"]) == cli.OK
    added = capsys.readouterr().err
    assert "wait 1 hour" in added
    assert "client.jwks" in added


def test_keygen_says_in_one_line_what_is_wrong(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    init.init(elsewhere, init.Plan("https://auth.sidecar.internal"))
    assert cli.main(["keygen", "--use", "other"]) == cli.FAILED
    assert capsys.readouterr().err.startswith("sidecar: there is no key other")


# serve and doctor


def test_serve_hands_over_the_settings(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def serving(given: Inputs, reread: Callable[[tuple[str, ...]], Inputs]) -> int:
        seen.extend([given.settings.public_url, reread(("s" * 32,)).settings.session.cookie_secrets])
        return 0

    monkeypatch.setattr(serve, "serve", serving)
    assert cli.main(["serve", "--config", str(file)]) == cli.OK
    assert seen == ["http://127.0.0.1:8080", ("s" * 32,)]


def test_an_address_in_use_is_one_line_and_exit_code_1(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def taken(*_: object) -> int:
        raise ConfigError(["server.listen: 127.0.0.1:9180: Address already in use; stop what is there"])

    monkeypatch.setattr(serve, "serve", taken)
    assert cli.main(["serve"]) == cli.FAILED
    assert capsys.readouterr().err == (
        "sidecar: server.listen: 127.0.0.1:9180: Address already in use; stop what is there\n"
    )


@pytest.mark.parametrize(("healthy", "code"), [(True, cli.OK), (False, cli.FAILED)])
def test_the_doctors_verdict_is_the_exit_code(
    file: Path, monkeypatch: pytest.MonkeyPatch, healthy: bool, code: int
) -> None:
    monkeypatch.setattr(examine, "examine", lambda settings, say, as_json: healthy)
    assert cli.main(["doctor"]) == code


def test_an_interrupt_is_no_traceback(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(settings: Settings, say: object, *, as_json: bool) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(examine, "examine", interrupted)
    assert cli.main(["doctor"]) == cli.FAILED


def test_checking_the_configuration_imports_no_server_and_no_crypto(file: Path) -> None:
    script = (
        "import sys; from sidecar.commands import cli; cli.main(['check-config']);"
        "heavy = {'uvicorn', 'starlette', 'httpx', 'joserfc', 'cryptography'} & set(sys.modules);"
        "sys.exit(' '.join(heavy) or None)"
    )
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environ, check=False
    )
    assert (ran.stderr, ran.returncode) == ("", 0)
