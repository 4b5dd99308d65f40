"""What the benchmark needs from Debian's packages, installed where it may be.

Nothing is left running: while they are installed Debian is told to start no service (invoke-rc.d(8),
policy-rc.d)."""

import os
import shutil
import subprocess
from collections.abc import Callable

from bench.peers import find_program

_PACKAGES = {"h2load": "nghttp2-client", "nginx": "nginx-light"}
_INSTALL = """
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\\nexit 101\\n' >"$policy" && chmod 755 "$policy" && trap 'rm -f "$policy"' EXIT
fi
apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@"
"""


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


def _become_root() -> list[str] | None:
    """What to put before a command; None where there is no apt-get or no way to be root without being
    asked."""
    if shutil.which("apt-get") is None:
        return None
    if os.geteuid() == 0:
        return []
    sudo = shutil.which("sudo")
    if sudo is None:
        return None
    allowed = subprocess.run([sudo, "-n", "true"], check=False, capture_output=True)  # noqa: S603 # as it stands
    return [sudo, "-n"] if allowed.returncode == 0 else None
