"""`sidecar allow`, `deny`, `groups`: whom a name means, what is written, what is said."""

import json
from pathlib import Path

import pytest

from sidecar.atproto.fetch import Fetcher
from sidecar.atproto.identity import Directory
from sidecar.commands import cli
from sidecar.config_file import reader
from sidecar.network import parts
from sidecar.settings import Settings
from tests.fakes.network import FakeNetwork

BOB = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> FakeNetwork:
    world = FakeNetwork()

    def directory(settings: Settings) -> tuple[Directory, Fetcher]:
        return real(settings, world, world.resolve)

    real = parts.directory
    monkeypatch.setattr(parts, "directory", directory)
    return world


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "family.txt").write_text("# the family\n")
    path = tmp_path / "sidecar.toml"
    lines = [
        'public_url = "http://127.0.0.1:8080"',
        "[store]",
        'kind = "memory"',
        "[apps.wiki]",
        'hosts = ["127.0.0.1:8080"]',
        'allow = ["@family"]',
        "[apps.forge]",
        'hosts = ["127.0.0.1:8081"]',
        f'allow = ["@editors", "{BOB}"]',
        "[groups]",
        'family = { file = "family.txt" }',
        "editors = []",
    ]
    path.write_text("\n".join(lines))
    return path


def run(config: Path, *words: str) -> int:
    return cli.main([*words, "--config", str(config)])


def members(config: Path) -> list[str]:
    return config.with_name("family.txt").read_text().splitlines()


def test_allow_writes_the_did_with_the_handle_behind_it_and_says_where_it_opens(
    world: FakeNetwork, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alice = world.add_account("alice.pds.net").did
    assert run(config, "allow", "Alice.PDS.net", "@family") == cli.OK
    assert members(config) == ["# the family", f"{alice}  # alice.pds.net"]
    told = capsys.readouterr()
    assert told.out.splitlines() == [
        f"wiki: lets in {alice} (alice.pds.net)",
        f"forge: refuses {alice} (alice.pds.net)",
    ]
    assert "no sidecar runs here" in told.err
    assert run(config, "allow", str(alice), "family") == cli.OK
    assert "already" in capsys.readouterr().err
    assert members(config) == ["# the family", f"{alice}  # alice.pds.net"]


def test_a_handle_that_cannot_be_found_writes_nothing(
    world: FakeNetwork, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(config, "allow", "nobody.pds.net", "@family") == cli.FAILED
    assert "nothing was written; name the DID" in capsys.readouterr().err
    assert members(config) == ["# the family"]


def test_a_did_is_written_even_if_nobody_knows_its_handle(world: FakeNetwork, config: Path) -> None:
    assert run(config, "allow", BOB, "@family") == cli.OK
    assert members(config) == ["# the family", BOB]


def test_deny_means_whom_the_file_means_even_if_the_handle_has_gone_to_somebody_else(
    world: FakeNetwork, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.with_name("family.txt").write_text(f"{BOB}  # bob.pds.net\n")
    world.add_account("bob.pds.net")  # another account by now
    assert run(config, "deny", "bob.pds.net", "@family") == cli.OK
    assert members(config) == []
    told = capsys.readouterr()
    assert f"took {BOB} out of" in told.err
    assert f"forge: lets in {BOB}" in told.out  # another rule does


def test_deny_takes_out_a_line_that_has_the_handle_itself(world: FakeNetwork, config: Path) -> None:
    config.with_name("family.txt").write_text("alice.pds.net\n# rest\n")
    world.add_account("alice.pds.net")
    assert run(config, "deny", "alice.pds.net", "@family") == cli.OK
    assert members(config) == ["# rest"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("allow", BOB, "@editors"), cli.FAULTY_CONFIG, 'write editors = { file = "editors.txt" }'),
        (("allow", BOB, "@friends"), cli.FAULTY_CONFIG, "there is no such group"),
        (("deny", BOB, "@editors"), cli.FAULTY_CONFIG, "which no command changes"),
        (("allow", "*.pds.net", "@family"), cli.FAILED, "name one person"),
        (("allow", "anyone-with-an-account", "@family"), cli.FAILED, "name one person"),
        (("allow", "nobody", "@family"), cli.FAILED, "write a DID"),
    ],
)
def test_what_cannot_be_done_is_explained_and_changes_nothing(
    world: FakeNetwork,
    config: Path,
    words: tuple[str, ...],
    code: int,
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = config.read_text()
    assert run(config, *words) == code
    assert said in capsys.readouterr().err
    assert (members(config), config.read_text()) == (["# the family"], before)


def test_groups_says_who_may_pass_where(
    world: FakeNetwork, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(config, "groups") == cli.OK
    assert capsys.readouterr().out.splitlines() == [
        "wiki: @family",
        f"forge: @editors, {BOB}",
        f"@family ({config.with_name('family.txt')}): nobody",
        "@editors: nobody",
    ]


def test_no_command_makes_a_database(world: FakeNetwork, config: Path) -> None:
    text = config.read_text().replace(
        'kind = "memory"', f"path = {json.dumps(str(config.with_name('x.db')))}"
    )
    config.write_text(text + '\n[session]\ncookie_secrets = ["' + "s" * 32 + '"]')
    before = sorted(config.parent.iterdir())
    for words in (("allow", BOB, "@family"), ("deny", BOB, "@family"), ("groups",), ("reload",)):
        assert run(config, *words) in (cli.OK, cli.FAILED)
    assert sorted(config.parent.iterdir()) == before


def test_init_writes_the_did_of_a_handle_that_it_finds_and_the_handle_behind_it(
    world: FakeNetwork, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alice = world.add_account("alice.pds.net").did
    words = ["--yes", "--public-url", "https://wiki.sidecar.internal", "--dir", str(tmp_path / "new")]
    people = ["alice.pds.net", "nobody.pds.net", "*.club.net", "bob.test", BOB]
    assert cli.main(["init", *words, "--allow", *people]) == cli.OK
    written = (tmp_path / "new/sidecar.toml").read_text()
    assert f'  "{alice}",  # alice.pds.net\n  "nobody.pds.net",\n' in written
    settings = reader.load(tmp_path / "new/sidecar.toml", {})
    assert settings.apps["wiki"].allow == (alice, "nobody.pds.net", "*.club.net", "bob.test", BOB)
    assert f"alice.pds.net is {alice}" in capsys.readouterr().err
    asked = {request.url.host for request in world.requests}
    assert not asked & {"bob.test", "club.net"}
