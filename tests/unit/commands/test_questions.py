"""`sidecar init` at a terminal: it asks for what isn't named, and asks again for what it can't read."""

import argparse
from collections.abc import Iterable

import pytest

from sidecar.commands import cli, init, questions


def arguments(**given: object) -> argparse.Namespace:
    nothing: dict[str, object] = {
        "public_url": None,
        "app": [],
        "app_host": [],
        "allow": [],
        "systemd": False,
    }
    return argparse.Namespace(**{**nothing, **given})


def asked(given: argparse.Namespace, answers: Iterable[str]) -> list[str]:
    """The questions."""
    seen: list[str] = []
    left = iter(answers)

    def ask(question: str) -> str:
        seen.append(question)
        return next(left)

    questions.complete(given, ask)
    assert next(left, None) is None
    return seen


def test_everything_is_asked_and_becomes_a_plan() -> None:
    given = arguments()
    asked(given, ["https://wiki.sidecar.internal", "", "127.0.0.1:3001", "", "Alice.test bob.test"])
    plan = init.plan(given)
    assert plan.public_url == "https://wiki.sidecar.internal"
    assert (plan.app_hosts, plan.upstreams) == (
        ["wiki.sidecar.internal"],
        {"wiki.sidecar.internal": "127.0.0.1:3001"},
    )
    assert plan.allow == ["alice.test", "bob.test"]


def test_what_cannot_be_read_is_asked_again_with_the_reason(capsys: pytest.CaptureFixture[str]) -> None:
    given = arguments(allow=["alice.test"])
    seen = asked(
        given,
        ["wiki", "https://auth.sidecar.internal", "wiki.sidecar.internal", "not an address", "", ""],
    )
    assert len([each for each in seen if each.startswith("Where will people")]) == 2
    assert len([each for each in seen if each.startswith("Where does Caddy")]) == 2
    assert "must be an http or https address" in capsys.readouterr().err
    assert given.app == ["wiki.sidecar.internal=127.0.0.1:3000"]


def test_what_the_command_line_says_is_not_asked() -> None:
    assert asked(arguments(public_url="https://a.net", app=["a.net=:3000"], allow=["*"]), []) == []


def test_without_a_terminal_or_with_yes_nothing_is_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("builtins.input", lambda _: pytest.fail("it asked"))
    for terminal, more in ((False, []), (True, ["--yes"])):
        monkeypatch.setattr("sys.stdin", argparse.Namespace(isatty=lambda terminal=terminal: terminal))
        assert cli.main(["init", *more]) == cli.FAILED
        assert "--public-url" in capsys.readouterr().err


@pytest.mark.parametrize("address", ["127.0.0.1:3000", "[::1]:3000", "app:80", ":8080", "unix//run/a.sock"])
def test_an_address_of_an_app_may_be(address: str) -> None:
    assert init.upstream(address) == address


@pytest.mark.parametrize("address", ["3000", "http://a:1", "a:1 {", "a:1\nb", "a:b", "unix/", "a:1}"])
def test_an_address_of_an_app_may_not_be(address: str) -> None:
    with pytest.raises(ValueError, match="isn't an address"):
        init.upstream(address)
