"""What the benchmark needs, installed where it may be: Debian's packages, and the sidecar as users have it.

Nothing is left running: while packages are installed, Debian starts no service (invoke-rc.d(8),
policy-rc.d)."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from bench.peers import find_program

_PACKAGES = {"h2load": "nghttp2-client", "nginx": "nginx-light"}
_INSTALL = """
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\\nexit 101\\n' >"$policy" && chmod 755 "$policy" && trap 'rm -f "$policy"' EXIT
fi
apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@"
"""


_ROOT = Path(__file__).parents[1]
_PINS = _ROOT / "tests" / "requirements.txt"
_BARE = _ROOT / ".lab" / "bare"
SIDECAR = _BARE / "bin" / "sidecar"


class MissingToolError(Exception):
    """Something is missing that can't be installed from here; the message says what to do."""


def provide(tell: Callable[[str], None]) -> None:
    """Install what is missing. Raises MissingToolError without h2load; nginx is a peer that may be
    missing."""
    missing = [name for name in _PACKAGES if find_program(name) is None]
    if not missing:
        return
    packages = [_PACKAGES[name] for name in missing]
    words = f"apt-get install --no-install-recommends {' '.join(packages)}"
    become_root = _become_root()
    if become_root is not None:
        tell(words)
        command = [*become_root, "sh", "-c", _INSTALL, "sh", *packages]
        env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(command, env=env, check=False, stdout=subprocess.DEVNULL)  # noqa: S603 # all of it is ours
    if find_program("h2load") is None:
        raise MissingToolError(f"h2load is not there and can't be installed from here; as root: {words}")
    if find_program("nginx") is None:
        tell(f"nginx is not there, so two bars can't be judged; as root: {words}")


def install_sidecar(tell: Callable[[str], None]) -> None:
    """Into an environment with what it depends on and nothing else: what developers use beside it would be
    imported too, and weigh 10 MB. Raises MissingToolError.
    """
    ready = _BARE / ".ready"
    newest = max(path.stat().st_mtime for path in (_PINS, _ROOT / "pyproject.toml"))
    if ready.exists() and ready.stat().st_mtime > newest:
        return
    tell(f"the sidecar into {_BARE}, as users have it (half a minute the first time)")
    pip = [str(_BARE / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for command in (
        [sys.executable, "-m", "venv", str(_BARE)],
        [*pip, "--constraint", str(_PINS), "--editable", str(_ROOT)],
    ):
        if subprocess.run(command, check=False).returncode != 0:  # noqa: S603 # all of it is ours
            raise MissingToolError(f"the sidecar can't be installed: {' '.join(command)}")
    ready.touch()


def _become_root() -> list[str] | None:
    """What to put before a command; None without apt-get, or if we can't be root without a
    question."""
    if shutil.which("apt-get") is None:
        return None
    if os.geteuid() == 0:
        return []
    sudo = shutil.which("sudo")
    if sudo is None:
        return None
    allowed = subprocess.run([sudo, "-n", "true"], check=False, capture_output=True)  # noqa: S603 # as it stands
    return [sudo, "-n"] if allowed.returncode == 0 else None
