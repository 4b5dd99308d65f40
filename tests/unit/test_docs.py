"""The documentation's own references: links that lead somewhere, tests and files that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def defined_under(folder: Path) -> set[str]:
    sources = (path.read_text() for path in folder.rglob("test_*.py"))
    return {name for source in sources for name in re.findall(r"def (test_\w+)", source)}


def anchors(page: Path) -> set[str]:
    """Of its headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in target or target.startswith("mailto:"):
            continue
        path, _, anchor = target.partition("#")
        linked = page.parent / path if path else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


def test_every_test_and_file_that_the_threat_model_names_exists() -> None:
    text = (ROOT / "docs" / "threat-model.md").read_text()
    assert set(re.findall(r"`(test_\w+)`", text)) <= defined_under(ROOT / "tests")
    files = re.findall(r"`((?:tests|sidecar|docs)/[\w/.]+)`", text)
    assert files
    assert [name for name in files if not (ROOT / name).exists()] == []


def test_every_threat_names_its_tests() -> None:
    text = (ROOT / "docs" / "threat-model.md").read_text()
    threats = [line for line in text.splitlines() if line.startswith("| ")][1:]
    assert len(threats) > 20
    assert [line for line in threats if "test" not in line.rsplit("|", 2)[1]] == []
