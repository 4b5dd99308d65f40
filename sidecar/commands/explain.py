"""`sidecar explain`: what the check would answer a person at an address, and which rule decides.

Owns: the question, put to the check itself; where the deciding rule stands in the files.
Doesn't belong here: the decision (check/, access/policy.py), what a cookie says (sessions/).

Neither a cookie nor a secret is ever printed.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from sidecar.access.policy import Decision, Policy, Principal, matching
from sidecar.app import Sidecar
from sidecar.config_file import lists
from sidecar.config_file.inputs import Inputs
from sidecar.errors import DuplicateCookies
from sidecar.hosts import canonical_host
from sidecar.replies.reply import Reply
from sidecar.sessions.cookie import Session, Sessions
from sidecar.settings import App, Settings
from sidecar.settings.addresses import ANYONE, ANYONE_IN_WORDS
from sidecar.store.memory import MemoryStore

_TABLE = re.compile(r"\s*\[\s*([^\[\]]+?)\s*\]")
_WORDS = {
    "no_rule": "the app has no allow, so it lets nobody in",
    "handle_required": "the rules name handles, and this person has no verified one",
    "not_allowed": "no rule in allow means this person",
}


class Address(NamedTuple):
    """`host`: canonical. `uri`: path and query."""

    host: str
    uri: str


def read_url(url: str, settings: Settings) -> Address:
    """Raises ValueError for what isn't an address behind this sidecar."""
    parts = urlsplit(url if "://" in url else f"{settings.scheme}://{url}")
    if parts.scheme != settings.scheme:
        raise ValueError(
            f"{url}: this sidecar serves {settings.scheme} addresses; write {settings.scheme}://…"
        )
    host = canonical_host(parts.netloc, scheme=settings.scheme)
    return Address(host, (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))


async def answers(given: Inputs, person: Principal, address: Address, config: Path | None) -> list[str]:
    """Lines: the app, the rule that decides, the check's answer, and what the app gets."""
    settings = given.settings
    policy = Policy(settings.apps, settings.groups, scheme=settings.scheme)
    decision = policy.decide(person, address.host)
    if not decision.app:
        return [
            f"no app has the host {address.host}, so the check refuses everybody (unknown_host)",
            "Next: add the host to the hosts of an app in the configuration",
        ]
    app = settings.apps[decision.app]
    return [
        f"app: {decision.app}{_at(config, f'apps.{decision.app}', '', '')}",
        f"rule: {_rule(decision, app, settings, person, config)}",
        *_told(await _asked(given, person, address)),
    ]


async def _asked(given: Inputs, person: Principal, address: Address) -> Reply:
    """The check's own answer, to somebody who has just signed in."""
    sidecar = Sidecar(given.settings, given.contents, store=MemoryStore(max_records=10))
    await sidecar.feed.start()
    try:
        now = sidecar.now()
        session = sidecar.sessions.start(person.did, person.handle, now)
        cookie = sidecar.sessions.cookie(session, now).partition(";")[0]
        headers = {
            "cookie": cookie,
            "x-forwarded-host": address.host,
            "x-forwarded-method": "GET",
            "x-forwarded-proto": given.settings.scheme,
            "x-forwarded-uri": address.uri,
        }
        return sidecar.gate.check.answer([(name.encode(), value.encode()) for name, value in headers.items()])
    finally:
        await sidecar.feed.stop()
        await sidecar.network.aclose()


def _told(reply: Reply) -> Iterator[str]:
    words = {200: "lets them in", 403: "refuses (403)"}
    yield f"check: {words.get(reply.status, f'answers {reply.status}')}"
    if reply.status == 200:
        for name, value in reply.headers:
            if name.startswith(b"x-user-"):
                yield f"the app gets {name.decode()}: {value.decode()}"


def _rule(decision: Decision, app: App, settings: Settings, person: Principal, config: Path | None) -> str:
    key = "deny" if decision.reason == "denied" else "allow"
    found = matching(app.deny if key == "deny" else app.allow, settings.groups, person)
    if decision.reason not in ("allowed", "denied") or not found:
        return f"{_WORDS.get(decision.reason, decision.reason)} ({decision.reason})"
    rule, *member = found
    text = f'{key} has "{rule}"{_at(config, f"apps.{decision.app}", key, rule)}'
    if member:
        group = rule[1:]
        file = settings.group_files.get(group)
        place = _at(config, "groups", group, member[0]) if file is None else _line_of(file, member[0])
        text += f', whose member is "{member[0]}"{place}'
    return text


def _at(config: Path | None, table: str, key: str, rule: str) -> str:
    """Where it stands, as " (sidecar.toml line 12)"; "" if that can't be said. `key` "": the table itself."""
    if config is None:
        return ""
    within, within_key, found = False, not key, 0
    for number, line in enumerate(config.read_text("utf-8-sig").splitlines(), start=1):
        header = _TABLE.match(line)
        if header:
            within = header[1].replace('"', "").replace(" ", "") == table
            if within and not key:
                return f" ({config.name} line {number})"
            continue
        if within and re.match(rf"\s*\"?{re.escape(key)}\"?\s*=", line):
            within_key, found = True, number
        elif within and re.match(r"\s*[\w\"-]+\s*=", line):
            within_key = False
        if within and within_key and _names(line, rule):
            return f" ({config.name} line {number})"
    return f" ({config.name} line {found})" if found else ""


def _names(line: str, rule: str) -> bool:
    spellings = {rule, ANYONE_IN_WORDS} if rule == ANYONE else {rule}
    return any(f'"{each}"'.lower() in line.replace("'", '"').lower() for each in spellings)


def _line_of(file: Path, entry: str) -> str:
    for number, line in enumerate(file.read_text("utf-8-sig").splitlines(), start=1):
        if lists.entry_of(line).lower() == entry.lower():
            return f" ({file.name} line {number})"
    return f" ({file.name})"


Ended = Callable[[Session], bool | None]


def about_cookie(text: str, settings: Settings, now: float, ended: Ended) -> Iterator[str]:
    """What a Cookie header, or a session cookie alone, says, and what is wrong with it.

    `ended`: whether the running service knows that the session ended; None if no service runs.
    """
    sessions = Sessions(settings)
    name = sessions.assigned.decode().rstrip("=")
    header = text.strip().removeprefix("Cookie:").strip()
    try:
        value = sessions.find([header.encode() if "=" in header else sessions.assigned + header.encode()])
    except DuplicateCookies:
        yield "two session cookies: the check answers 400 and deletes both (duplicate_cookies)"
        return
    if value is None:
        yield f"no session cookie is in it: it would be called {name}"
        return
    session = sessions.verify(value)
    if session is None:
        yield "a session cookie that none of the configured secrets has signed (forged)"
        yield "likely cause: the cookie secrets were changed, or the cookie is of another sidecar"
        return
    yield f"a session of {session.did}, signed in {_ago(now - session.signed_in_at)} ago"
    if not sessions.alive(session, now):
        yield "it is over: unused for longer than session.idle, or older than session.absolute (expired)"
        return
    over = ended(session)
    if over is None:
        yield "its times are right; no sidecar runs here, so nobody can say whether it was ended early"
    elif over:
        yield "it was ended early: by a sign-out, a later sign-in, a command, or their server (revoked)"
    else:
        yield "it is good"


def _ago(seconds: float) -> str:
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} seconds"
