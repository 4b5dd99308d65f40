"""Which Caddy is needed: one constant, and no text that calls an older one enough."""

import re
import subprocess
from pathlib import Path

import pytest

from sidecar.commands import caddy

ROOT = Path(__file__).parents[3]
NEEDED = caddy.shown(caddy.NEEDED)
# What people read before they choose a Caddy. What was measured with one (bench/, tests/, pins) advises none.
# They say what was installed when something was tried, and advise nothing.
RECORDS = ("pyproject.toml", "docs/interop.md")
TEXTS = [
    path
    for path in subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    if path.endswith((".md", ".py", ".toml", ".service", ".html")) or "Caddyfile" in path
    if not path.startswith(("bench/", "tests/")) and path not in RECORDS
]
VERSION = re.compile(r"(?<![\d.])v?(2\.(?:[4-9]|\d\d)\.\d+)(?![.\d])|Caddy v?(2(?:\.\d+)*)(?![.\d])")
TOO_OLD = re.compile(r"(?:below|before|older than) (?:Caddy )?$")
TUPLE = re.compile(r"\(2, (\d+), (\d+)\)")


def advised(text: str) -> list[str]:
    """Every version of Caddy in a text, unless it is named as too old."""
    return [
        found[1] or found[2]
        for found in VERSION.finditer(text)
        if not TOO_OLD.search(re.sub(r"\s+", " ", text[: found.start()]))
    ]


@pytest.mark.parametrize("path", TEXTS)
def test_no_other_version_of_caddy_is_called_enough(path: str) -> None:
    assert set(advised((ROOT / path).read_text("utf-8"))) <= {NEEDED}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Caddy 2.11.2 or newer", ["2.11.2"]),
        ("You need Caddy\n2.11.5 or newer", ["2.11.5"]),
        ("works from v2.11.4 on", ["2.11.4"]),
        ("Caddy 2 or newer", ["2"]),
        ("needs Caddy 2.11", ["2.11"]),
        ("below 2.11.5 connections get mixed up", []),
        ("older than\n2.11.2", []),
        ("RFC 1035 section 2.3.4, 1.2.11.5, 2.11.5.1", []),
    ],
)
def test_the_search_finds_what_would_be_advice(text: str, found: list[str]) -> None:
    assert advised(text) == found


@pytest.mark.parametrize("path", ["README.md", "SECURITY.md", "docs/deployment.md", "Caddyfile.example"])
def test_whoever_sets_it_up_reads_which_caddy_is_needed(path: str) -> None:
    assert f"{NEEDED} or newer" in (ROOT / path).read_text("utf-8")


def test_the_version_is_written_once_in_the_code() -> None:
    home = ROOT / "sidecar" / "commands" / "caddy.py"
    for path in (ROOT / "sidecar").rglob("*.py"):
        text = path.read_text("utf-8")
        assert path == home or not TUPLE.search(text), path
        assert NEEDED not in text or path == home, path


@pytest.mark.parametrize(
    ("version", "named"),
    [
        ((2, 11, 1), ["GHSA-7r4p-vjf4-gxv4", "GHSA-6365-7ppr-5r92", "_"]),
        ((2, 9, 30), ["GHSA-7r4p-vjf4-gxv4", "GHSA-6365-7ppr-5r92", "_"]),
        ((2, 11, 2), ["GHSA-6365-7ppr-5r92", "_"]),
        ((2, 11, 4), ["GHSA-6365-7ppr-5r92", "_"]),
        ((2, 11, 5), ["_"]),
        ((2, 11, 6), []),
        ((2, 12, 0), []),
    ],
)
def test_an_older_caddy_has_the_holes_that_are_named(version: tuple[int, ...], named: list[str]) -> None:
    found = caddy.holes(version)
    assert len(found) == len(named)
    for text, name in zip(found, named, strict=True):
        assert name in text
