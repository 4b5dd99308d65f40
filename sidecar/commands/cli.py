"""The `sidecar` command.

Owns: what is printed, exit codes. Every command says what it did and what to do next.
Doesn't belong here: arguments (parser.py), the work itself. Each command imports only what it needs.
"""

import argparse
import os
import sys
from collections.abc import Sequence

from sidecar.commands.parser import Run, build
from sidecar.commands.terminal import FAILED, FAULTY_CONFIG, OK, advice, complain, load, say
from sidecar.errors import ConfigError

__all__ = ["COMMANDS", "FAILED", "FAULTY_CONFIG", "OK", "main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command, and return the exit code."""
    arguments = build(COMMANDS).parse_args(argv)
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


def _running(name: str) -> Run:
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
    from sidecar.commands import caddy, init, people, questions  # noqa: PLC0415 - see above

    if sys.stdin.isatty() and not arguments.yes:
        questions.complete(arguments, input)
    if not arguments.public_url:
        raise ValueError("name the address where people sign in: sidecar init --public-url https://…")
    plan = init.spelled(init.plan(arguments))
    plan = plan._replace(dids=people.look_up(plan.allow, plan.public_url))
    settings = init.init(arguments.dir, plan)
    say(*(f"wrote {arguments.dir / name}" for name in init.files_of(plan)))
    say(*advice(settings), *init.warnings(plan), *init.found(plan))
    say(f"Caddy must be {caddy.shown(caddy.NEEDED)} or newer; `caddy version` shows yours")
    print(init.caddyfile(settings, plan.upstreams), end="", flush=True)
    say("Next: put all these lines into your Caddyfile, and reload Caddy.", *init.hints(plan), "Then run")
    say(*(f"      {line}" for line in init.next_commands(plan, arguments.dir)))
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

    return OK if examine.examine(settings, print, as_json=arguments.json) else FAILED


def _completion(arguments: argparse.Namespace) -> int:
    print(arguments.script(arguments.shell), end="")
    return OK


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


COMMANDS: dict[str, Run] = {
    "serve": _serve,
    "init": _init,
    "check-config": _check_config,
    "doctor": _doctor,
    "keygen": _keygen,
    "completion": _completion,
    **{name: _running(name) for name in ("reload", "allow", "deny", "groups", "explain")},
}
