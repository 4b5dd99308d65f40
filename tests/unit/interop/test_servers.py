"""Which releases are pinned."""

import json

from tests.interop import servers
from tests.lab import node


def test_the_labs_release_comes_first_and_older_ones_follow() -> None:
    versions = [server.version for server in servers.pinned()]
    lab = json.loads((node.HERE / "package.json").read_text())["dependencies"][servers.NAME]
    assert versions[0] == lab
    assert len(versions) >= 2
    assert len(set(versions)) == len(versions)


def test_the_lock_file_pins_what_the_package_file_names_and_no_address() -> None:
    named = json.loads((servers.PINS / "package.json").read_text())["dependencies"]
    text = (servers.PINS / "package-lock.json").read_text()
    assert json.loads(text)["packages"][""]["dependencies"] == named
    assert '"resolved"' not in text
