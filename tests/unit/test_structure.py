"""The house itself: its rooms, their size, and that what the code says of its own files is true."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SIDECAR = ROOT / "sidecar"
MODULES = sorted(SIDECAR.rglob("*.py"))
FOLDERS = sorted(path.parent for path in SIDECAR.rglob("__init__.py"))
OPENS = {"open", "read_text", "read_bytes", "write_text", "write_bytes", "exists", "stat", "iterdir", "glob"}


def docstrings(module: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(module.read_text("utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""


def test_at_most_eight_files_lie_at_the_top() -> None:
    assert len([path for path in MODULES if path.parent == SIDECAR]) <= 8


def test_no_file_is_over_300_lines() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in MODULES
        if (lines := len(path.read_text("utf-8").splitlines())) > 300
    }
    assert long == {}


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(SIDECAR)))
def test_every_file_that_a_docstring_names_exists(module: Path) -> None:
    named = {
        name
        for text in docstrings(module)
        for name in re.findall(
            r"(?<![\w/.*])(?:[a-z_]+/)*[a-z_]+\.py\b|(?<![\w/.])(?:[a-z_]+/)+(?=[),. ]|$)", text
        )
    }
    places = (module.parent, module.parent.parent, SIDECAR, ROOT)
    assert {name for name in named if not any((place / name).exists() for place in places)} == set()


@pytest.mark.parametrize(
    "folder", [each for each in FOLDERS if each != SIDECAR], ids=lambda path: str(path.relative_to(SIDECAR))
)
def test_every_folder_says_what_lives_there_what_does_not_and_what_is_for_others(folder: Path) -> None:
    text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text("utf-8"))) or ""
    if (
        folder == SIDECAR / "settings"
        or folder.is_relative_to(SIDECAR / "atproto")
        or folder == SIDECAR / "store"
    ):
        assert len(text.splitlines()) >= 3  # these hold code: their docstring is that of a file
    else:
        assert len(text.splitlines()) <= 6
        assert "Not here: " in text
        assert "From outside: " in text


def test_the_settings_name_paths_and_open_none() -> None:
    for module in (SIDECAR / "settings").glob("*.py"):
        tree = ast.walk(ast.parse(module.read_text("utf-8")))
        names = {node.attr for node in tree if isinstance(node, ast.Attribute)}
        assert names & OPENS == set()


def test_the_guide_to_changes_names_ten_and_for_each_at_most_three_files_that_exist() -> None:
    text = (ROOT / "docs" / "develop.md").read_text("utf-8")
    table = text.partition("## Where do I change …")[2].partition("## ")[0]
    rows = dict(re.findall(r"^\| (an? [\w ]+|another [\w ]+) \| (.*) \|$", table, re.MULTILINE))
    assert len(rows) == 10
    for files in rows.values():
        named = re.findall(r"`([^`]+)`", files)
        assert 1 <= len(named) <= 3
        assert [name for name in named if not (SIDECAR / name).is_file()] == []


def test_the_guide_to_the_rooms_names_every_one_on_its_floor() -> None:
    text = (ROOT / "docs" / "develop.md").read_text("utf-8")
    floors = re.findall(r"^\| (\d+) \| (.*?) \|", text, re.MULTILINE)
    drawn = {
        name.rstrip("/").removesuffix(".py"): int(n)
        for n, names in floors
        for name in re.findall(r"`(.*?)`", names)
    }
    layers = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"][
        0
    ]["layers"]
    built = {
        name: len(layers) - 1 - at
        for at, layer in enumerate(layers[1:])
        for name in re.split(r"\s*\|\s*", layer)
    }
    assert drawn == built


def test_no_test_replaces_a_private_name() -> None:
    """ruff's SLF finds those that are spelt as attributes; this finds those in strings."""
    private = re.compile(r'"sidecar(?:\.\w+)*\._[a-z]\w*"', re.IGNORECASE)
    files = [path for folder in ("tests", "bench") for path in sorted((ROOT / folder).rglob("*.py"))]
    assert [(path.name, found) for path in files for found in private.findall(path.read_text("utf-8"))] == []
