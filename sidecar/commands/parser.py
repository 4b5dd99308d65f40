"""The arguments of every command, an example for each, and the completion of a shell.

Owns: names, options, help.
Doesn't belong here: what a command does (cli.py, running.py).
"""

import argparse
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from sidecar import __version__

Run = Callable[[argparse.Namespace], int]

_EXIT_CODES = """\
exit codes:
  0   done
  1   failed: can't listen, a file can't be read or written, a check of the doctor failed
  2   the command line is wrong
  78  the configuration has faults; they are listed with what to do
"""
_COMPLETION = """\
_sidecar() {{
    local current="${{COMP_WORDS[COMP_CWORD]}}" words
    if [ "$COMP_CWORD" -eq 1 ]; then
        words="{commands}"
    else
        case "${{COMP_WORDS[1]}}" in
{cases}
        esac
    fi
    COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -o default -F _sidecar sidecar
"""


def build(run: Mapping[str, Run]) -> argparse.ArgumentParser:
    """`run`: what does the work of each command."""
    parser = argparse.ArgumentParser(
        prog="sidecar",
        description="ATProto sign-in in front of any app behind Caddy.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"atproto-sidecar {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, about: str, example: str, *, configured: bool = True) -> argparse.ArgumentParser:
        made = commands.add_parser(
            name,
            help=about,
            description=about[0].upper() + about[1:] + ".",
            epilog=f"example:\n  {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if configured:
            made.add_argument(
                "--config",
                type=Path,
                metavar="FILE",
                help="default: $SIDECAR_CONFIG, ./sidecar.toml, /etc/sidecar/sidecar.toml",
            )
        made.set_defaults(run=run[name])
        return made

    command("serve", "run the sidecar", "sidecar serve --config /etc/sidecar/sidecar.toml")
    command(
        "reload",
        "have the running sidecar read its configuration again",
        "sidecar reload --config /etc/sidecar/sidecar.toml",
    )
    for name, about in (
        ("allow", "let a person in, by a group's file"),
        ("deny", "take a person out of a group's file, and end their sessions"),
    ):
        made = command(name, about, f"sidecar {name} alice.example.org @family")
        made.add_argument("who", metavar="HANDLE|DID")
        made.add_argument("group", metavar="@GROUP")
    command("groups", "print who may pass where", "sidecar groups")
    explain = command(
        "explain",
        "say what the check would answer a person, and why",
        "sidecar explain --as alice.example.org --url https://wiki.example.net/page",
    )
    explain.add_argument("--as", dest="who", metavar="HANDLE|DID", help="the person")
    explain.add_argument("--url", metavar="URL", help="the address that they open")
    explain.add_argument("--cookie", metavar="-", help="judge a Cookie header from standard input")
    _init(
        command(
            "init",
            "write a configuration and its secrets, and print the lines for Caddy",
            "sidecar init --public-url https://wiki.example.net --app wiki.example.net=127.0.0.1:3000 "
            "--allow alice.example.org",
            configured=False,
        )
    )
    command("check-config", "report every fault of the configuration", "sidecar check-config")
    doctor = command("doctor", "check a running deployment, as others see it", "sidecar doctor")
    doctor.add_argument("--json", action="store_true", help="print the findings as one JSON document")
    keygen = command(
        "keygen", "print a new client key set, or rotate keys", "sidecar keygen --add && sidecar reload"
    )
    change = keygen.add_mutually_exclusive_group()
    change.add_argument("--add", action="store_true", help="append a new key to the configured file")
    change.add_argument("--use", metavar="KID", help="put this key first, so that it signs")
    change.add_argument("--remove", metavar="KID", help="take out a key that no longer signs")
    completion = command(
        "completion",
        "print what a shell needs to complete these commands",
        'eval "$(sidecar completion bash)"',
        configured=False,
    )
    completion.add_argument("shell", choices=("bash", "zsh"))
    completion.set_defaults(script=lambda shell: _completion(commands.choices, shell))
    return parser


def _init(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--public-url", metavar="URL", help="https:// and a host on a domain of your own")
    parser.add_argument(
        "--dir", type=Path, default=Path(), metavar="DIR", help="where to write (default: here)"
    )
    parser.add_argument(
        "--app",
        action="extend",
        nargs="+",
        default=[],
        metavar="HOST=ADDRESS",
        help="an app's host, and where Caddy finds the app, as wiki.example.net=127.0.0.1:3000",
    )
    parser.add_argument(
        "--app-host", action="extend", nargs="+", default=[], metavar="HOST", help="hosts of the apps"
    )
    parser.add_argument(
        "--allow",
        action="extend",
        nargs="+",
        default=[],
        metavar="WHO",
        help='DIDs, handles, or "anyone-with-an-account"',
    )
    parser.add_argument("--systemd", action="store_true", help="write the units too, and use their paths")
    parser.add_argument("--yes", action="store_true", help="ask nothing; what isn't named keeps its default")


def _completion(commands: Mapping[str, argparse.ArgumentParser], shell: str) -> str:
    """The script. zsh runs that of bash."""
    cases = []
    for name, parser in commands.items():
        words = sorted(set(re.findall(r"--[a-z][a-z-]*", parser.format_usage())))
        more = ["bash", "zsh"] if name == "completion" else []
        cases.append(f'            {name}) words="{" ".join([*words, *more])}" ;;')
    text = _COMPLETION.format(commands=" ".join(commands), cases="\n".join(cases))
    return text if shell == "bash" else f"autoload -U +X bashcompinit && bashcompinit\n{text}"
