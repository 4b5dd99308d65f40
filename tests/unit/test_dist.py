"""What is released: built twice it is the same, and the wheel alone is enough for a new deployment."""

import os
import site
import subprocess
import sys
import time
import urllib.error
import urllib.request
import venv
from pathlib import Path

import pytest

from tests.lab.ports import free_port

ROOT = Path(__file__).parents[2]


def build(folder: Path) -> list[Path]:
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(folder)]
    env = {**os.environ, "SOURCE_DATE_EPOCH": "1800000000"}
    subprocess.run(command, cwd=ROOT, env=env, check=True, capture_output=True)
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return build(tmp_path_factory.mktemp("dist"))


def test_two_builds_are_the_same_bytes(built: list[Path], tmp_path: Path) -> None:
    again = build(tmp_path)
    assert [path.name for path in again] == [path.name for path in built]
    assert [path.suffix for path in built] == [".whl", ".gz"]
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in built]


def answer(port: int, path: str, **headers: str) -> int:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request) as got:
            return int(got.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def test_the_wheel_alone_is_enough(built: list[Path], tmp_path: Path) -> None:
    """Its dependencies are those of the tests: nothing is fetched."""
    home = tmp_path / "venv"
    venv.create(home, with_pip=False, symlinks=True)
    python = home / "bin/python"
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
    ]
    subprocess.run([*pip, str(built[0])], check=True, capture_output=True)
    (packages,) = home.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(site.getsitepackages()[0] + "\n")
    sidecar, folder, port = home / "bin/sidecar", tmp_path / "etc", free_port()
    env = {name: value for name, value in os.environ.items() if not name.startswith(("SIDECAR_", "PYTHON"))}

    def run(*words: str) -> str:
        ran = subprocess.run(
            [sidecar, *words], cwd=tmp_path, env=env, check=True, capture_output=True, text=True
        )
        return ran.stdout + ran.stderr

    where = subprocess.run(
        [python, "-c", "import sidecar; print(sidecar.__file__)"],
        cwd=tmp_path,
        env=env,
        check=True,
        capture_output=True,
        text=True,
    )
    assert str(packages) in where.stdout
    said = run(
        *("init", "--yes", "--systemd", "--dir", str(tmp_path / "units"), "--allow", "alice.test"),
        *("--public-url", "https://wiki.sidecar.internal", "--app", "wiki.sidecar.internal=127.0.0.1:3001"),
    )
    assert "import atproto 127.0.0.1:3001" in said
    assert f"ExecStart={sidecar} serve" in (tmp_path / "units/sidecar.service").read_text()
    url = f"http://127.0.0.1:{port}"
    run("init", "--yes", "--dir", str(folder), "--public-url", url, "--allow", "anyone-with-an-account")
    config = folder / "sidecar.toml"
    config.write_text(config.read_text() + f'\n[server]\nlisten = "127.0.0.1:{port}"\n')
    assert "has no faults" in run("check-config", "--config", str(config))
    assert run("--version").strip() == f"atproto-sidecar {built[0].name.split('-')[1]}"
    log = (tmp_path / "log").open("wb")
    serving = subprocess.Popen([sidecar, "serve", "--config", config], cwd=tmp_path, env=env, stderr=log)
    log.close()
    try:
        while answer(port, "/auth/readyz") != 200:
            assert serving.poll() is None, (tmp_path / "log").read_text()
            time.sleep(0.05)
        asked = {
            "X-Forwarded-Host": f"127.0.0.1:{port}",
            "X-Forwarded-Method": "GET",
            "X-Forwarded-Proto": "http",
            "X-Forwarded-Uri": "/",
        }
        assert answer(port, "/auth/check", **asked) == 401
        assert answer(port, "/auth/login") == 200
    finally:
        serving.terminate()
        assert serving.wait() == 0
