"""Lists in files: what a line is, what is wrong with one, and changes that touch one line."""

import json
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.config_file import lists, reader
from sidecar.errors import ConfigError
from sidecar.settings import addresses
from sidecar.settings.values import FaultyEntries

ALICE, BOB = "did:plc:ewvi7nxzyoun6zhxrhs64oiz", "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"


def written(folder: Path, text: str, name: str = "family.txt") -> Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize(
    "text",
    [
        f"{ALICE}\nbob.example.org\n",
        f"# the family\n\n  {ALICE}  # alice.example.org\n\tbob.example.org\t# Bob",
        f"\ufeff{ALICE}\r\nbob.example.org\r\n",
        f"{ALICE}\nBOB.example.org\n#{BOB}\n # {BOB}\n",
    ],
)
def test_a_line_has_an_entry_and_perhaps_a_comment(tmp_path: Path, text: str) -> None:
    assert lists.read(written(tmp_path, text), addresses.members) == (ALICE, "bob.example.org")


def test_every_line_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, f"{ALICE}\nnobody\n@editors\n")
    with pytest.raises(FaultyEntries) as raised:
        lists.read(path, addresses.members)
    assert [text.partition(":")[0] for text in raised.value.texts] == [f"{path} line 2", f"{path} line 3"]
    assert raised.value.rest == (ALICE,)


def test_a_change_touches_one_line_and_keeps_owner_and_mode(tmp_path: Path) -> None:
    path = written(tmp_path, "# the family\nbob.example.org # Bob\n")
    path.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(path, 12345, 54321)
    before = path.stat()
    assert lists.add(path, ALICE, "alice.example.org")
    assert not lists.add(path, ALICE, "")
    text = f"# the family\nbob.example.org # Bob\n{ALICE}  # alice.example.org\n"
    assert path.read_text() == text
    assert lists.lines(path) == [("bob.example.org", "Bob"), (ALICE, "alice.example.org")]
    assert lists.remove(path, {"bob.example.org"}) == ["bob.example.org"]
    assert lists.remove(path, {"bob.example.org"}) == []
    assert path.read_text() == f"# the family\n{ALICE}  # alice.example.org\n"
    after = path.stat()
    assert (after.st_uid, after.st_gid, after.st_mode) == (before.st_uid, before.st_gid, before.st_mode)
    assert [each.name for each in tmp_path.iterdir()] == ["family.txt"]


def test_a_change_that_fails_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, "bob.example.org\n")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        lists.add(path, ALICE, "")
    assert path.read_text() == "bob.example.org\n"
    assert [each.name for each in tmp_path.iterdir()] == ["family.txt"]


@given(st.lists(st.sampled_from([ALICE, BOB, "a.example.org", "# x", ""]), max_size=6))
def test_what_is_added_is_read_and_what_is_removed_is_gone(rows: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = written(Path(folder), "".join(f"{row}\n" for row in rows))
        lists.add(path, ALICE, "alice")
        assert ALICE in lists.read(path, addresses.members)
        lists.remove(path, {ALICE})
        rest = [row for row in rows if row and row != ALICE and not row.startswith("#")]
        assert list(lists.read(path, addresses.members)) == rest


def config(folder: Path, **more: object) -> Path:
    lines = ['public_url = "http://127.0.0.1:8080"', "[store]", 'kind = "memory"', "[apps.wiki]"]
    lines += [f"{key} = {json.dumps(value)}" for key, value in more.items()]
    lines += ['allow = ["@family"]', "[groups]", 'family = { file = "family.txt" }']
    path = folder / "sidecar.toml"
    path.write_text("\n".join(lines))
    return path


def test_groups_and_hosts_come_from_files_beside_the_configuration(tmp_path: Path) -> None:
    written(tmp_path, f"{ALICE} # alice\n")
    written(tmp_path, "127.0.0.1:8081\n# more\n127.0.0.1:8082\n", "hosts.txt")
    settings = reader.load(config(tmp_path, hosts_file="hosts.txt"), {})
    assert settings.groups == {"family": (ALICE,)}
    assert settings.group_files == {"family": tmp_path / "family.txt"}
    assert settings.apps["wiki"].hosts == ("127.0.0.1:8081", "127.0.0.1:8082")
    assert settings.list_files == (tmp_path / "family.txt", tmp_path / "hosts.txt")
    both = reader.load(config(tmp_path, hosts=["127.0.0.1:8080"], hosts_file="hosts.txt"), {})
    assert both.apps["wiki"].hosts == ("127.0.0.1:8080", "127.0.0.1:8081", "127.0.0.1:8082")


def test_all_faults_of_all_lists_are_reported_at_once(tmp_path: Path) -> None:
    written(tmp_path, "nobody\n@x\n")
    with pytest.raises(ConfigError) as raised:
        reader.load(config(tmp_path, hosts_file="no-such-file.txt"), {})
    shown = [fault.partition(": ")[0] for fault in raised.value.faults]
    assert shown == ["groups.family.file", "groups.family.file", "apps.wiki.hosts_file", "apps.wiki.hosts"]


@pytest.mark.parametrize("value", ["{ fil = 'x' }", "{}", "{ file = 3 }", "3"])
def test_a_group_that_is_neither_list_nor_file_is_a_fault(tmp_path: Path, value: str) -> None:
    written(tmp_path, "")
    path = config(tmp_path, hosts=["127.0.0.1:8080"])
    path.write_text(path.read_text().replace('{ file = "family.txt" }', value))
    with pytest.raises(ConfigError, match=r"groups\.family"):
        reader.load(path, {})
