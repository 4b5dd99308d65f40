"""The documentation's own references: links that lead somewhere, tests that exist, commands that work."""

import re
import shlex
from pathlib import Path

import pytest

from sidecar.commands import cli
from sidecar.config_file import reader

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


def blocks(page: str, language: str) -> list[str]:
    """With names that are not refused, as the pages ask for."""
    found = re.findall(rf"^```{language}\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)
    return [re.sub(r"\bexample\.(net|org)\b", r"sidecar-\1.net", block) for block in found]


def inits(page: str, folder: Path) -> list[list[str]]:
    """The arguments of every `sidecar init`, which is to write into `folder`."""
    lines = [line for block in blocks(page, "sh") for line in block.splitlines()]
    found = [shlex.split(line)[1:] for line in lines if line.startswith("sidecar init ")]
    return [[str(folder) if each == "/etc/sidecar" else each for each in argv] for argv in found]


def test_the_readmes_command_works_and_prints_the_site_that_it_shows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (argv,) = inits("README.md", tmp_path)
    assert cli.main(argv) == cli.OK
    (site,) = blocks("README.md", "caddyfile")
    assert site in capsys.readouterr().out.replace(" # the app's own address", "")


def test_what_the_deployment_guide_shows_can_be_put_over_what_init_wrote(tmp_path: Path) -> None:
    shown = blocks("docs/deployment.md", "toml")
    commands = inits("docs/deployment.md", tmp_path)
    assert len(shown) == len(commands) == 2
    for text, argv in zip(shown, commands, strict=True):
        assert cli.main(argv) == cli.OK
        file = tmp_path / "sidecar.toml"
        made = reader.load(file, {})
        file.write_text(text)
        settings = reader.load(file, {})
        assert settings.session == made.session
        assert {name: app.hosts for name, app in settings.apps.items()} == {
            name: app.hosts for name, app in made.apps.items()
        }
        for path in tmp_path.iterdir():
            path.unlink()


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
