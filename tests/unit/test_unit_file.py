"""The systemd unit: valid, hardened, and in step with `sidecar init --systemd`."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from sidecar.commands import cli, init
from sidecar.config_file import files
from sidecar.settings import Server
from tests.fakes.as_user import NOBODY_ELSE, make_reachable, run_as

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "config" / "sidecar.service"
SYSUSERS = ROOT / "config" / "sidecar.sysusers"
SERVICE = NOBODY_ELSE
TEXT = UNIT.read_text("utf-8")
MOST_EXPOSURE = 2.0  # of 10, as `systemd-analyze security` counts


def value(name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", TEXT, re.MULTILINE)


@pytest.fixture
def analyze() -> str:
    """The `systemd-analyze` command."""
    return shutil.which("systemd-analyze") or pytest.fail(
        "systemd-analyze is missing; install systemd, as with: apt-get install systemd"
    )


def test_systemd_finds_no_fault_but_the_binarys_path(analyze: str) -> None:
    ran = subprocess.run([analyze, "verify", str(UNIT)], capture_output=True, text=True, check=False)
    complaints = [line for line in (ran.stdout + ran.stderr).splitlines() if "sidecar" in line]
    assert [
        line for line in complaints if "Command /usr/local/bin/sidecar is not executable" not in line
    ] == []


def test_the_unit_is_hardened(analyze: str) -> None:
    command = [analyze, "security", "--offline=true", "--no-pager", str(UNIT)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"Overall exposure level for sidecar\.service: ([0-9.]+)", ran.stdout)
    assert found, ran.stderr
    assert float(found[1]) <= MOST_EXPOSURE


def test_the_unit_reads_the_files_where_init_writes_them_also_at_a_reload() -> None:
    config = f"--config /etc/sidecar/{init.CONFIG}"
    assert value("ExecStart") == [f"/usr/local/bin/sidecar serve {config}"]
    assert value("ExecReload") == [f"/usr/local/bin/sidecar reload {config}"]


def test_the_unit_runs_as_the_user_that_sysusers_makes() -> None:
    (line,) = [line for line in SYSUSERS.read_text("utf-8").splitlines() if not line.startswith("#")]
    kind, name, *_ = line.split()
    assert (kind, [name]) == ("u", value("User"))
    assert value("Group") == [name] == [files.SERVICE_GROUP]


def test_systemd_can_read_the_file_of_the_user(tmp_path: Path) -> None:
    command = ["systemd-sysusers", "--dry-run", f"--root={tmp_path}", str(SYSUSERS)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def shared(folder: Path, mode: int) -> list[Path]:
    """As `init --systemd` writes it where the group is there: owner root, and the group of the service."""
    init.init(folder / "etc", init.Plan("https://auth.sidecar.internal"))
    config = folder / "etc" / init.CONFIG
    config.write_text(config.read_text() + f'[store]\npath = "{folder}/state/sidecar.db"\n')
    written = [folder / "etc" / name for name in (init.CONFIG, init.KEYS, init.SECRETS)]
    for path, each in [(folder / "etc", 0o750), *((path, mode) for path in written)]:
        os.chown(path, 0, SERVICE)
        path.chmod(each)
    (folder / "state").mkdir()
    os.chown(folder / "state", SERVICE, SERVICE)
    make_reachable(folder)
    return written


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a service as somebody else")
@pytest.mark.parametrize(("mode", "code"), [(0o640, 0), (0o440, 0), (0o644, 78), (0o660, 78)])
def test_the_user_of_the_service_reads_what_root_shares_with_its_group_and_no_more(
    tmp_path: Path, mode: int, code: int
) -> None:
    shared(tmp_path, mode)
    config = str(tmp_path / "etc" / init.CONFIG)
    found, said = run_as(SERVICE, lambda: cli.main(["check-config", "--config", config]))
    assert found == code, said


@pytest.mark.parametrize("page", ["README.md", "docs/deployment.md"])
def test_the_documented_install_puts_the_program_where_the_unit_looks_for_it(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    ((program, folder),) = re.findall(r"ln -s (\S+) (\S+)$", text, re.MULTILINE)
    assert f"python3 -m venv {Path(program).parents[1]} && {Path(program).with_name('pip')} install ." in text
    assert value("ExecStart")[0].split()[0] == folder + Path(program).name


def test_the_documentation_and_the_unit_itself_say_how_to_start_it_as_init_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["init", "--public-url", "https://auth.sidecar.internal", "--systemd", "--dir", str(tmp_path)]
    assert cli.main(argv) == cli.OK
    said = capsys.readouterr().err.replace(str(tmp_path), "/etc/sidecar").splitlines()
    lines = [line.strip() for line in said if line.startswith("      ")]
    assert [line.split()[0] for line in lines] == ["systemd-sysusers", "systemctl"]
    for line in lines:
        assert line in (ROOT / "docs" / "deployment.md").read_text("utf-8")
        assert line in TEXT


def test_init_writes_the_units_with_the_program_and_the_folder_of_this_machine(tmp_path: Path) -> None:
    init.init(tmp_path, init.Plan("https://auth.sidecar.internal", systemd=True, program="/opt/x/sidecar"))
    unit = (tmp_path / "sidecar.service").read_text("utf-8")
    assert f"ExecStart=/opt/x/sidecar serve --config {tmp_path}/sidecar.toml" in unit
    assert f"ExecReload=/opt/x/sidecar reload --config {tmp_path}/sidecar.toml" in unit
    for name in ("sidecar.socket", "sidecar.sysusers"):
        assert (tmp_path / name).read_text("utf-8") == (ROOT / "config" / name).read_text("utf-8")
    assert [*init.warnings(init.Plan("https://a.net", systemd=True, program="/home/a/bin/sidecar"))]
    assert not [*init.warnings(init.Plan("https://a.net", systemd=True))]


def test_the_unit_makes_the_folders_that_init_names(tmp_path: Path) -> None:
    settings = init.init(tmp_path, init.Plan("https://auth.sidecar.internal", systemd=True))
    assert (
        Path(settings.server.listen.removeprefix("unix:")).parent
        == Path("/run") / value("RuntimeDirectory")[0]
    )
    assert settings.store.path.parent == Path("/var/lib") / value("StateDirectory")[0]
    assert settings.server.socket_owner == f":{value('SupplementaryGroups')[0]}"


def test_the_socket_of_systemd_is_where_init_says_and_as_it_would_be_made(
    tmp_path: Path, analyze: str
) -> None:
    text = (ROOT / "config" / "sidecar.socket").read_text("utf-8")
    settings = init.init(tmp_path, init.Plan("https://auth.sidecar.internal", systemd=True)).server
    has = dict(line.split("=", 1) for line in text.splitlines() if "=" in line and line[0] != "#")
    assert settings.listen == f"unix:{has['ListenStream']}"
    assert (int(has["SocketMode"], 8), f":{has['SocketGroup']}") == (
        settings.socket_mode,
        settings.socket_owner,
    )
    assert value("RuntimeDirectoryPreserve") == ["yes"]  # otherwise a stop of the service deletes the socket
    both = [str(ROOT / "config" / "sidecar.socket"), str(UNIT)]
    ran = subprocess.run([analyze, "verify", *both], capture_output=True, text=True, check=False)
    complaints = [line for line in (ran.stdout + ran.stderr).splitlines() if "sidecar" in line]
    assert [line for line in complaints if "is not executable" not in line] == []


def test_the_group_can_be_set_on_the_socket() -> None:
    assert "PrivateUsers" not in TEXT  # it maps no group but the unit's own
    filters = value("SystemCallFilter")
    assert filters.index("@chown") > filters.index("~@privileged @resources")


def test_systemd_waits_longer_than_running_requests_may_take() -> None:
    assert float(value("TimeoutStopSec")[0].removesuffix("s")) > Server().stop_timeout


def test_faults_of_the_configuration_are_not_tried_again() -> None:
    assert value("RestartPreventExitStatus") == [str(cli.FAULTY_CONFIG)]
