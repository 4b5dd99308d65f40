"""Which servers `make interop` starts: releases of the reference PDS, each pinned with all that it needs.

The newest is the lab's own (tests/lab/package-lock.json); older ones are in releases/. Why there are no
others is in page.md.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from tests.lab import node
from tests.lab.network import Account, Pds, Release

PINS = Path(__file__).parent / "releases"
OLDER = node.ROOT / ".lab" / "interop"
NAME = "@atproto/pds"


@dataclass(frozen=True, slots=True)
class Server:
    """One release, with the name that it has in the lab, and someone who lives there."""

    version: str
    release: Release

    @property
    def hostname(self) -> str:
        return f"pds-{self.version.replace('.', '-')}.test"

    @property
    def account(self) -> Account:
        return Account(f"alice.{self.hostname}", "alice-password", self.hostname)

    def pds(self, port: int) -> Pds:
        return Pds(self.hostname, port, f".{self.hostname}", tls=True)


def pinned() -> list[Server]:
    """All of them, the newest first."""
    older = json.loads((PINS / "package.json").read_text())["dependencies"]
    names = {
        target.rpartition("@")[2]: Release(name, OLDER)
        for name, target in older.items()
        if target.startswith(f"npm:{NAME}@")
    }
    newest = json.loads((node.HERE / "package.json").read_text())["dependencies"][NAME]
    found = names | {newest: Release()}
    return [Server(version, found[version]) for version in sorted(found, key=_order, reverse=True)]


def install() -> None:
    """The older releases; `make setup` installs the newest."""
    node.install(PINS, OLDER)


def _order(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]
