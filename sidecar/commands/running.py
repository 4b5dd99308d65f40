"""Commands for a sidecar that runs: reload, allow, deny, groups, explain.

Owns: what they do in which order, and what they say.
Doesn't belong here: the channel (process/control.py), files of groups (people.py).
"""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Mapping
from typing import Any

from sidecar.access.policy import Principal
from sidecar.commands import explain as about
from sidecar.commands import people
from sidecar.commands.terminal import FAILED, FAULTY_CONFIG, OK, complain, config_path, load, say
from sidecar.config_file import inputs, reader
from sidecar.process import control
from sidecar.sessions.cookie import Session
from sidecar.settings import Settings


def reload(arguments: argparse.Namespace) -> int:
    where = control.path_of(reader.as_far_as_readable(config_path(arguments.config), os.environ))
    try:
        return _applied(control.ask(where, "reload"))
    except control.NotRunningError:
        complain(f"no sidecar runs here: nobody listens at {where}", "Next: sidecar serve")
        return FAILED


def _applied(answer: Mapping[str, Any]) -> int:
    """Say how a reload ended."""
    if answer["faults"]:
        complain(*answer["faults"])
        say("nothing has changed: the sidecar goes on with its former configuration")
        return FAULTY_CONFIG
    for line in answer["advice"]:
        say(f"warning: {line}")
    say("the new configuration applies, in every worker")
    if answer["waiting"]:
        say(f"Next: restart the sidecar, since a reload can't change {', '.join(answer['waiting'])}")
    return OK


def allow(arguments: argparse.Namespace) -> int:
    _, settings = load(arguments)
    file = people.group_file(settings, arguments.group)
    person = people.find(settings, arguments.who)
    if people.allow(settings, person, arguments.group):
        say(f"wrote {person} into {file}")
    else:
        say(f"{person} is in {file} already")
    return _changed(arguments, person)


def deny(arguments: argparse.Namespace) -> int:
    _, settings = load(arguments)
    file = people.group_file(settings, arguments.group)
    person = people.find_in(settings, arguments.who, arguments.group)
    found = people.deny(settings, person, arguments.group)
    say(f"took {', '.join(found)} out of {file}" if found else f"{person} isn't in {file}")
    return _changed(arguments, person, end=True)


def _changed(arguments: argparse.Namespace, person: people.Person, *, end: bool = False) -> int:
    """Have the running sidecar follow, and say where the person may pass now."""
    _, settings = load(arguments)
    where = control.path_of(settings)
    try:
        code = _applied(control.ask(where, "reload"))
        if end and code == OK:
            faults = control.ask(where, "end", did=person.did)["faults"]
            if faults:
                complain(*faults, f"the sessions of {person} go on; run the command once more")
                return FAILED
            say(f"ended every session of {person}")
    except control.NotRunningError:
        say("no sidecar runs here; the change applies when it starts")
        code = OK
    for app, allowed in people.apps_of(settings, person):
        print(f"{app}: {'lets in' if allowed else 'refuses'} {person}")
    return code


def groups(arguments: argparse.Namespace) -> int:
    _, settings = load(arguments)
    for line in people.rules(settings):
        print(line)
    return OK


def explain(arguments: argparse.Namespace) -> int:
    path, settings = load(arguments)
    if arguments.cookie is not None:
        if arguments.cookie != "-":
            raise ValueError("a cookie opens apps, and other people see a command line; use --cookie - <FILE")
        for line in about.about_cookie(sys.stdin.read(), settings, time.time(), _ended(settings)):
            print(line)
        return OK
    if not (arguments.who and arguments.url):
        raise ValueError("name a person and an address: sidecar explain --as HANDLE|DID --url URL")
    address = about.read_url(arguments.url, settings)
    person = people.find(settings, arguments.who)
    given = inputs.Inputs(settings, inputs.contents(settings))
    print(f"person: {person}")
    for line in asyncio.run(about.answers(given, Principal(person.did, person.handle), address, path)):
        print(line)
    return OK


def _ended(settings: Settings) -> about.Ended:
    def ended(session: Session) -> bool | None:
        try:
            answer = control.ask(control.path_of(settings), "ended", session=session._asdict())
        except control.NotRunningError:
            return None
        known: bool | None = answer["ended"]
        return known

    return ended
