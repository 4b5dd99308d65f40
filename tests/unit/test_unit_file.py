"""The systemd unit: valid, hardened, and in step with `sidecar init --systemd`."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from sidecar import cli, setup
from sidecar.settings import Server

UNIT = Path(__file__).parents[2] / "config" / "sidecar.service"
TEXT = UNIT.read_text("utf-8")
MOST_EXPOSURE = 2.0  # of 10, as `systemd-analyze security` counts


def value(name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", TEXT, re.MULTILINE)


@pytest.fixture
def analyze() -> str:
    """The `systemd-analyze` command; on CI its absence is a failure, elsewhere it is skipped and said."""
    command = shutil.which("systemd-analyze")
    if command is None:
        advice = "systemd-analyze is missing: apt-get install systemd"
        if os.environ.get("CI"):
            pytest.fail(advice)
        pytest.skip(advice)
    return command


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


def test_the_unit_hands_over_every_file_that_init_writes() -> None:
    assert value("LoadCredential") == [
        f"{n}:/etc/sidecar/{n}" for n in (setup.CONFIG, setup.KEYS, setup.SECRETS)
    ]
    assert value("ExecStart") == [f"/usr/local/bin/sidecar serve --config %d/{setup.CONFIG}"]


def test_the_unit_makes_the_folders_that_init_names(tmp_path: Path) -> None:
    settings = setup.init(tmp_path, setup.Plan("https://auth.sidecar.internal", systemd=True))
    assert (
        Path(settings.server.listen.removeprefix("unix:")).parent
        == Path("/run") / value("RuntimeDirectory")[0]
    )
    assert settings.store.path.parent == Path("/var/lib") / value("StateDirectory")[0]
    assert settings.server.socket_owner == f":{value('SupplementaryGroups')[0]}"


def test_the_group_can_be_set_on_the_socket() -> None:
    assert "PrivateUsers" not in TEXT  # it maps no group but the unit's own
    filters = value("SystemCallFilter")
    assert filters.index("@chown") > filters.index("~@privileged @resources")


def test_systemd_waits_longer_than_running_requests_may_take() -> None:
    assert float(value("TimeoutStopSec")[0].removesuffix("s")) > Server().stop_timeout


def test_faults_of_the_configuration_are_not_tried_again() -> None:
    assert value("RestartPreventExitStatus") == [str(cli.FAULTY_CONFIG)]
