"""The servers that stand beside the sidecar: read from peers.toml, started, asked.

Doesn't belong here: the sidecar itself (subject.py), measuring (measure.py).
"""

import shlex
import shutil
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import Any, Literal

from bench.ports import free_port
from bench.programs import Program, Programs
from bench.request import Request, check
from bench.wire import Address, Expected

Transport = Literal["tcp", "unix"]
TRANSPORTS: tuple[Transport, ...] = ("tcp", "unix")
PEERS = Path(__file__).with_name("peers.toml")


@dataclass(frozen=True, slots=True)
class Peer:
    """One entry; what each field means stands at the top of peers.toml."""

    key: str
    name: str
    command: str
    listen: Mapping[str, str]
    expect: Expected
    files: Mapping[str, str] = field(default_factory=dict)
    path: str = "/auth/check"
    cookie: str = ""

    @property
    def program(self) -> str | None:
        """Where its program is; None if it isn't installed."""
        return find_program(self.command.split()[0])

    def request(self, host: str, session_cookie: str) -> Request:
        return check(host, self.cookie or session_cookie, path=self.path)


@dataclass(frozen=True, slots=True)
class Running:
    """A server that accepts connections."""

    program: Program
    address: Address


def load(path: Path = PEERS) -> list[Peer]:
    """Every entry. ValueError or KeyError if one is faulty."""
    return [_peer(entry) for entry in tomllib.loads(path.read_text("utf-8"))["peer"]]


def start(peer: Peer, transport: Transport, programs: Programs, folder: Path) -> Running:
    """Run it in a folder of its own; back when it accepts connections. ProgramFailedError."""
    folder = folder / f"{peer.key}-{transport}"
    folder.mkdir(parents=True)
    address = Address(path=folder / "s") if transport == "unix" else Address(port=free_port())
    port = address.port or 8080  # Caddy wants one for a unix socket too
    names = {"folder": str(folder), "port": str(port), "socket": str(folder / "s")}
    names["listen"] = Template(peer.listen[transport]).substitute(names)
    for name, text in peer.files.items():
        (folder / name).write_text(Template(text).substitute(names), "utf-8")
    argv = shlex.split(Template(peer.command).substitute(names))
    argv[0] = peer.program or argv[0]
    program = programs.start(f"{peer.name} ({transport})", argv, log=folder / "log", env=_own_folders(folder))
    program.ready(address.answers)
    return Running(program, address)


def find_program(name: str) -> str | None:
    """Beside this Python, on PATH, or in /usr/sbin, where Debian keeps servers and ordinary users don't
    look."""
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.exists() else shutil.which(name) or shutil.which(name, path="/usr/sbin")


def _own_folders(folder: Path) -> dict[str, str]:
    return {"XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}


def _peer(entry: dict[str, Any]) -> Peer:
    expect = entry.pop("expect")
    right = Expected(expect["status"], expect.get("headers", {}), expect.get("body", "").encode())
    unknown = set(entry["listen"]) - set(TRANSPORTS)
    if unknown:
        raise ValueError(f"peers.toml: {entry['key']}: no transport {', '.join(sorted(unknown))}")
    return Peer(expect=right, **entry)
