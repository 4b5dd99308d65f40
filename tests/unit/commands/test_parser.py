"""Help and completion: every command has an example that its parser takes; every option is completed."""

import argparse
import re
import shlex
import subprocess

import pytest

from sidecar.commands import cli
from sidecar.commands.parser import build

NAMES = (
    *("serve", "reload", "allow", "deny", "groups", "explain"),
    *("init", "check-config", "doctor", "keygen", "completion"),
)


def parser() -> argparse.ArgumentParser:
    return build(dict.fromkeys(NAMES, lambda _: 0))


def help_of(name: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit):
        cli.main([name, "--help"])
    return capsys.readouterr().out


@pytest.mark.parametrize("name", NAMES)
def test_the_help_of_a_command_has_an_example_that_works(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (example,) = re.findall(r"^example:\n  (.*)$", help_of(name, capsys), re.MULTILINE)
    words = shlex.split(re.findall(r"sidecar ([^)&]*)", example)[0])
    assert words[0] == name
    parser().parse_args(words)


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_the_completion_knows_every_command_and_option(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["completion", shell]) == cli.OK
    script = capsys.readouterr().out
    for name in NAMES:
        options = set(re.findall(r"(--[a-z][a-z-]*)", help_of(name, capsys).partition("\noptions:")[2]))
        (words,) = re.findall(rf'^ *{name}\) words="(.*)" ;;$', script, re.MULTILINE)
        assert options - {"--help"} <= {*words.split()}


@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("sidecar re", ["reload"]),
        ("sidecar init --pu", ["--public-url"]),
        ("sidecar keygen --", ["--add", "--config", "--remove", "--use"]),
        ("sidecar completion z", ["zsh"]),
    ],
)
def test_bash_completes(line: str, completed: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["completion", "bash"])
    script = capsys.readouterr().out
    words = line.split(" ")
    quoted = " ".join(map(shlex.quote, words))
    ask = f'COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; _sidecar; printf "%s\\n" "${{COMPREPLY[@]}}"'
    ran = subprocess.run(["bash", "-c", f"{script}\n{ask}"], capture_output=True, text=True, check=True)
    assert sorted(ran.stdout.split()) == completed
