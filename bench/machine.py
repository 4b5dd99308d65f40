"""On what it was measured: processor, kernel, versions. Figures without these say nothing."""

import platform
import re
import subprocess
from importlib.metadata import version
from pathlib import Path

from bench.peers import find_program
from bench.programs import ALL_CPUS

_LIBRARIES = ("uvicorn", "httptools", "uvloop", "starlette", "itsdangerous")
_PROGRAMS = {"nginx": "-v", "caddy": "version", "h2load": "--version"}
_NUMBER = re.compile(r"\d+(?:\.\d+)+")


def describe() -> dict[str, str]:
    """Names and versions, in the order to show them."""
    found = {
        "processor": f"{_processor()}, {len(ALL_CPUS)} cores",
        "kernel": platform.release(),
        "Python": platform.python_version(),
    }
    found |= {name: version(name) for name in _LIBRARIES}
    return found | {name: _version(name, flag) for name, flag in _PROGRAMS.items()}


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _version(name: str, flag: str) -> str:
    command = find_program(name)
    if command is None:
        return "not there"
    said = subprocess.run([command, flag], check=False, capture_output=True)  # noqa: S603 # a program of ours
    match = _NUMBER.search((said.stdout + said.stderr).decode())
    return match[0] if match else "unknown"
