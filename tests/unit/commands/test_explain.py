"""`sidecar explain`: the check's own answer, the rule and its line, and what is wrong with a cookie."""

import io
import time
from pathlib import Path

import pytest

from sidecar.commands import cli, client_keys
from sidecar.config_file import reader
from sidecar.sessions.cookie import Sessions

ALICE, BOB, EVE = (f"did:plc:{letter * 24}" for letter in "abc")
CONFIG = f"""\
public_url = "https://auth.wiki.net"
[identity]
plc_url = "https://127.0.0.1:1"
[client]
keys_file = "keys.json"
[session]
cookie_domain = "wiki.net"
cookie_secrets = ["{"s" * 32}"]
[groups]
family = {{ file = "family.txt" }}
editors = [
  # the editors
  "{BOB}",
]
[apps.wiki]
hosts = ["wiki.net", "*.tools.wiki.net"]
allow = ["@family", "@editors"]
deny = ["{EVE}"]
[apps."open"]
hosts = ["open.wiki.net"]
allow = ['anyone-with-an-account']
[apps.shut]
hosts = ["shut.wiki.net"]
[apps.names]
hosts = ["names.wiki.net"]
allow = ["*"]
require_handle = true
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "keys.json").write_text(client_keys.key_set([client_keys.new_key()]))
    (tmp_path / "keys.json").chmod(0o600)
    (tmp_path / "family.txt").write_text(f"# us\n{ALICE}  # alice.pds.net\n")
    path = tmp_path / "sidecar.toml"
    path.write_text(CONFIG)
    return path


def line(of: str, text: str = CONFIG) -> int:
    return next(number for number, each in enumerate(text.splitlines(), start=1) if of in each)


def explain(config: Path, did: str, url: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert cli.main(["explain", "--as", did, "--url", url, "--config", str(config)]) == cli.OK
    return capsys.readouterr().out


def test_it_names_the_app_the_rule_the_line_and_what_the_app_gets(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rule = f'rule: allow has "@family" (sidecar.toml line {line("@family")})'
    assert explain(config, ALICE, "https://WIKI.net/page?x=1", capsys).splitlines() == [
        f"person: {ALICE}",
        f"app: wiki (sidecar.toml line {line('[apps.wiki]')})",
        f'{rule}, whose member is "{ALICE}" (family.txt line 2)',
        "check: lets them in",
        "the app gets x-user-auth: signed-in",
        f"the app gets x-user-did: {ALICE}",
        "the app gets x-user-handle: handle.invalid",
    ]


@pytest.mark.parametrize(
    ("did", "url", "said"),
    [
        (
            BOB,
            "wiki.net",
            [f'"@editors" (sidecar.toml line {line("@editors")})', f"line {line(BOB)}", "lets"],
        ),
        (BOB, "https://x.tools.wiki.net/", ["app: wiki", "lets them in"]),
        (EVE, "https://wiki.net", [f'deny has "{EVE}" (sidecar.toml line {line(EVE)})', "refuses (403)"]),
        (EVE, "https://open.wiki.net", [f'"*" (sidecar.toml line {line("anyone-with")})', "lets them in"]),
        (EVE, "https://shut.wiki.net", ["lets nobody in", "(no_rule)", "refuses (403)"]),
        (ALICE, "https://names.wiki.net", ["(handle_required)", "refuses (403)"]),
        ("did:plc:" + "d" * 24, "https://wiki.net", ["(not_allowed)", "refuses (403)"]),
        (ALICE, "https://elsewhere.net", ["no app has the host elsewhere.net", "(unknown_host)"]),
    ],
)
def test_every_outcome_is_explained(
    config: Path, did: str, url: str, said: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    shown = explain(config, did, url, capsys)
    assert [text for text in said if text not in shown] == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--as", ALICE], "name a person and an address"),
        (["--url", "https://wiki.net"], "name a person and an address"),
        (["--as", ALICE, "--url", "http://wiki.net"], "serves https addresses"),
        (["--as", ALICE, "--url", "https://a b"], ""),
        (["--as", "*", "--url", "https://wiki.net"], "name one person"),
        (["--cookie", "sidecar_session=x"], "other people see a command line"),
    ],
)
def test_what_cannot_be_explained_is_one_line(
    config: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["explain", *words, "--config", str(config)]) == cli.FAILED
    (shown,) = capsys.readouterr().err.splitlines()
    assert said in shown


def cookie(config: Path, *, age: float = 0.0, secret: str = "") -> str:
    settings = reader.load(config, {"SIDECAR_SESSION_COOKIE_SECRETS": secret} if secret else {})
    sessions, then = Sessions(settings), time.time() - age
    return sessions.cookie(sessions.start(ALICE, None, then), then).partition(";")[0]


@pytest.mark.parametrize("form", ["{}", "Cookie: a=b; {}; c=d\n", "a=b; {}"])
def test_a_cookie_is_judged_and_never_printed(
    config: Path, form: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for made, said in (
        (cookie(config), "nobody can say whether it was ended early"),
        (cookie(config, age=8 * 86400), "(expired)"),
        (cookie(config, secret="t" * 32), "(forged)"),
        (f"{cookie(config)}; {cookie(config)}", "(duplicate_cookies)"),
        ("other=1", "no session cookie is in it"),
    ):
        monkeypatch.setattr("sys.stdin", io.StringIO(form.format(made)))
        assert cli.main(["explain", "--cookie", "-", "--config", str(config)]) == cli.OK
        shown = capsys.readouterr().out
        assert said in shown
        assert made.partition("=")[2] not in shown
        assert "s" * 32 not in shown


def test_the_value_of_a_cookie_alone_is_enough(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(cookie(config).partition("=")[2] + "\n"))
    assert cli.main(["explain", "--cookie", "-", "--config", str(config)]) == cli.OK
    assert f"a session of {ALICE}" in capsys.readouterr().out
