"""The `sidecar` command.

Owns: arguments, what is printed, exit codes. Every command says what it did and what to do next.
Doesn't belong here: the work itself. Each command imports only the modules that it needs.
"""

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from sidecar import __version__
from sidecar.commands.terminal import FAILED, FAULTY_CONFIG, OK, advice, complain, load, say
from sidecar.errors import ConfigError

__all__ = ["FAILED", "FAULTY_CONFIG", "OK", "main"]

_START_UNIT = "cp config/sidecar.service /etc/systemd/system/ && systemctl enable --now sidecar"
_MAKE_USER = "cp config/sidecar.sysusers /etc/sysusers.d/sidecar.conf && systemd-sysusers"
_EXIT_CODES = """\
exit codes:
  0   done
  1   failed: can't listen, a file can't be read or written, a check of the doctor failed
  2   the command line is wrong
  78  the configuration has faults; they are listed with what to do
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command, and return the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        code: int = arguments.run(arguments)
    except ConfigError as error:
        complain(*error.faults)
        return FAULTY_CONFIG
    except (OSError, ValueError) as error:
        complain(_in_words(error))
        return FAILED
    except KeyboardInterrupt:
        return FAILED
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sidecar",
        description="ATProto sign-in in front of any app behind Caddy.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"atproto-sidecar {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    configured = argparse.ArgumentParser(add_help=False)
    configured.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="default: $SIDECAR_CONFIG, ./sidecar.toml, /etc/sidecar/sidecar.toml",
    )

    serve = commands.add_parser("serve", parents=[configured], help="run the sidecar")
    serve.set_defaults(run=_serve)

    reload = commands.add_parser(
        "reload", parents=[configured], help="have the running sidecar read its configuration again"
    )
    reload.set_defaults(run=_running("reload"))

    allow = commands.add_parser("allow", parents=[configured], help="let a person in, by a group's file")
    allow.add_argument("who", metavar="HANDLE|DID")
    allow.add_argument("group", metavar="@GROUP")
    allow.set_defaults(run=_running("allow"))

    deny = commands.add_parser(
        "deny", parents=[configured], help="take a person out of a group's file, and end their sessions"
    )
    deny.add_argument("who", metavar="HANDLE|DID")
    deny.add_argument("group", metavar="@GROUP")
    deny.set_defaults(run=_running("deny"))

    groups = commands.add_parser("groups", parents=[configured], help="print who may pass where")
    groups.set_defaults(run=_running("groups"))

    explain = commands.add_parser(
        "explain", parents=[configured], help="say what the check would answer a person, and why"
    )
    explain.add_argument("--as", dest="who", metavar="HANDLE|DID", help="the person")
    explain.add_argument("--url", metavar="URL", help="the address that they open")
    explain.add_argument("--cookie", metavar="-", help="judge a Cookie header from standard input")
    explain.set_defaults(run=_running("explain"))

    init = commands.add_parser(
        "init", help="write a configuration and its secrets; print the lines for Caddy"
    )
    init.add_argument(
        "--public-url", required=True, metavar="URL", help="https:// and a host on a domain of your own"
    )
    init.add_argument(
        "--dir", type=Path, default=Path(), metavar="DIR", help="where to write (default: here)"
    )
    init.add_argument(
        "--app-host", action="extend", nargs="+", default=[], metavar="HOST", help="hosts of the apps"
    )
    init.add_argument(
        "--allow",
        action="extend",
        nargs="+",
        default=[],
        metavar="WHO",
        help='DIDs, handles, or "anyone-with-an-account"',
    )
    init.add_argument("--systemd", action="store_true", help="paths as in config/sidecar.service")
    init.set_defaults(run=_init)

    check = commands.add_parser(
        "check-config", parents=[configured], help="report every fault of the configuration"
    )
    check.set_defaults(run=_check_config)

    doctor = commands.add_parser(
        "doctor", parents=[configured], help="check a running deployment, as others see it"
    )
    doctor.set_defaults(run=_doctor)

    keygen = commands.add_parser(
        "keygen", parents=[configured], help="print a new client key set, or rotate keys"
    )
    change = keygen.add_mutually_exclusive_group()
    change.add_argument("--add", action="store_true", help="append a new key to the configured file")
    change.add_argument("--use", metavar="KID", help="put this key first, so that it signs")
    change.add_argument("--remove", metavar="KID", help="take out a key that no longer signs")
    keygen.set_defaults(run=_keygen)
    return parser


def _running(name: str) -> Callable[[argparse.Namespace], int]:
    """A command of running.py, which is loaded when it is called."""

    def run(arguments: argparse.Namespace) -> int:
        from sidecar.commands import running  # noqa: PLC0415 - see above

        code: int = getattr(running, name)(arguments)
        return code

    return run


def _serve(arguments: argparse.Namespace) -> int:
    path, settings = load(arguments)
    from sidecar.config_file import inputs  # noqa: PLC0415 - see above
    from sidecar.process.serve import serve  # noqa: PLC0415

    def reread(made_up: tuple[str, ...]) -> inputs.Inputs:
        return inputs.read(path, os.environ, made_up=made_up)

    try:
        return serve(inputs.Inputs(settings, inputs.contents(settings)), reread)
    except ConfigError as error:  # the file is right, but the address is taken, or not ours
        complain(*error.faults)
        return FAILED


def _init(arguments: argparse.Namespace) -> int:
    from sidecar.commands import caddy, init  # noqa: PLC0415 - see above

    plan = init.Plan(arguments.public_url, arguments.app_host, arguments.allow, arguments.systemd)
    settings = init.init(arguments.dir, plan)
    say(*(f"wrote {arguments.dir / name}" for name in (init.CONFIG, init.KEYS, init.SECRETS)))
    say(*advice(settings))
    say(f"Caddy must be {caddy.shown(caddy.NEEDED)} or newer; `caddy version` shows yours")
    say("Next: put all these lines into your Caddyfile. Replace 127.0.0.1:3000 by your app's address. Run")
    if arguments.systemd:
        if (arguments.dir / init.CONFIG).stat().st_mode & 0o040 == 0:  # there is no such group yet
            say(f"      {_MAKE_USER}")
            say(f"      chgrp -R sidecar {arguments.dir} && chmod -R g+rX {arguments.dir}")
        say(f"      {_START_UNIT}")
        say("      The unit runs /usr/local/bin/sidecar and needs the group caddy: docs/deployment.md")
    else:
        say(f"      sidecar serve --config {arguments.dir / init.CONFIG}")
    print(init.caddyfile(settings), end="")
    return OK


def _check_config(arguments: argparse.Namespace) -> int:
    path, settings = load(arguments)
    for line in advice(settings):
        print(line)
    print(f"ok: {path or 'the environment'} has no faults")
    print("Next: sidecar serve, and when it runs: sidecar doctor")
    return OK


def _doctor(arguments: argparse.Namespace) -> int:
    _, settings = load(arguments)
    from sidecar.commands.doctor import examine  # noqa: PLC0415 - see above

    return OK if examine.examine(settings, print) else FAILED


def _keygen(arguments: argparse.Namespace) -> int:
    from sidecar.commands import client_keys  # noqa: PLC0415 - see above

    if not (arguments.add or arguments.use or arguments.remove):
        print(client_keys.key_set([client_keys.new_key()]), end="")
        say("Next: keep this private key set as client.keys_file, readable by the sidecar only (0600)")
        return OK
    client = load(arguments)[1].client
    file = client.keys_file
    if arguments.add:
        kid = client_keys.add(file)["kid"]
        say(f"added key {kid} to {file}; it is published after a reload, but doesn't sign yet")
        if client.jwks == "inline":
            say('warning: client.jwks is "inline"; servers that never fetch it again refuse the new key')
        wait = client_keys.SEEN_AFTER[client.jwks]
        say(f"Next: run sidecar reload, wait {wait}, and run: sidecar keygen --use={kid}")
    elif arguments.use:
        client_keys.use(file, arguments.use)
        say(f"key {arguments.use} is now the first in {file}, so it signs")
        say("Next: run sidecar reload, wait 15 minutes, and run: sidecar keygen --remove=OLD-KID")
    else:
        client_keys.remove(file, arguments.remove)
        say(f"key {arguments.remove} is no longer in {file}")
        say("Next: sidecar reload")
    return OK


def _in_words(error: Exception) -> str:
    if isinstance(error, FileExistsError):
        return f"{error.filename} exists already, so nothing was written; choose another --dir"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or ''}: {error.strerror}".removeprefix(": ")
    return str(error)
