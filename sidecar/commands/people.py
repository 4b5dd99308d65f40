"""`sidecar allow`, `deny` and `groups`: who is in a group that has a file of its own.

Owns: finding out which account is meant, changing the file, the order of the steps, what is printed.
Doesn't belong here: what such a file looks like (config_file/lists.py), the rules (access/policy.py).

Lines name people by their DID, with the handle as a comment: a handle may change hands. After a denial come
the reload and the end of the person's sessions, in this order: a new sign-in then meets the new rules.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from sidecar.access.policy import Policy, Principal
from sidecar.atproto.errors import AtprotoError
from sidecar.atproto.syntax import Did, Handle
from sidecar.config_file import lists
from sidecar.config_file.consistency import RESERVED_TLDS
from sidecar.errors import ConfigError
from sidecar.network import parts
from sidecar.settings import Settings, addresses

_PATIENCE = 8.0  # seconds for all that `init` looks up


class Person(NamedTuple):
    """`handle`: verified, else None."""

    did: str
    handle: str | None

    def __str__(self) -> str:
        return f"{self.did} ({self.handle})" if self.handle else self.did


def group_file(settings: Settings, group: str) -> Path:
    """The file of `@group` or `group`. Raises ConfigError if it has none."""
    name = group.removeprefix("@")
    if name in settings.group_files:
        return settings.group_files[name]
    if name in settings.groups:
        text = "its members are in the configuration itself, which no command changes"
    else:
        text = "there is no such group"
    line = f'{name} = {{ file = "{name}.txt" }}'
    raise ConfigError([f"groups.{name}: {text}; write {line} under [groups], and make that file"])


def find(settings: Settings, who: str) -> Person:
    """Whom a handle or a DID means now. Raises ValueError for other text, and if nobody can say."""
    named = _named(who)
    try:
        return asyncio.run(_find(settings, Did(named) if named.startswith("did:") else Handle(named)))
    except AtprotoError as error:
        raise ValueError(f"{named} can't be found ({error}), so nothing was written; name the DID") from error


def look_up(handles: Sequence[str], public_url: str) -> dict[str, str]:
    """The DIDs of those that can be found within some seconds. Reserved names can't be, and aren't asked."""
    asked = [each for each in handles if "." in each and each.rpartition(".")[2] not in RESERVED_TLDS]
    asked = [each for each in asked if not each.startswith(("*", "@", "did:"))]
    if not asked:
        return {}
    settings = Settings(public_url=public_url)

    async def all_of_them() -> dict[str, str]:
        found = {}
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                for handle in asked:
                    with suppress(AtprotoError):
                        found[handle] = (await _find(settings, Handle(handle))).did
        return found

    return asyncio.run(all_of_them())


def find_in(settings: Settings, who: str, group: str) -> Person:
    """Whom the group's file means by it; else as `find`. The handle may have gone to somebody else since."""
    named = _named(who)
    for entry, comment in lists.lines(group_file(settings, group)):
        if named in (entry, comment):
            return Person(entry, comment or None) if entry.startswith("did:") else find(settings, who)
    return find(settings, who)


def _named(who: str) -> str:
    (named,) = addresses.members([who.removeprefix("@")])
    if named.startswith("*"):
        raise ValueError(f"{who}: name one person, by handle or DID; write other rules into the file")
    return named


async def _find(settings: Settings, named: Did | Handle) -> Person:
    directory, fetcher = parts.directory(settings)
    try:
        found = await directory.lookup(named)
        return Person(found.did, found.handle)
    except AtprotoError:
        if isinstance(named, Handle):
            raise
        return Person(named, None)  # a DID is a name of its own
    finally:
        await fetcher.aclose()


def allow(settings: Settings, person: Person, group: str) -> bool:
    """Write the person into the group's file; False if they are there. Raises ConfigError, OSError."""
    return lists.add(group_file(settings, group), person.did, person.handle or "")


def deny(settings: Settings, person: Person, group: str) -> list[str]:
    """Take the person out of the group's file; the lines' entries. Raises ConfigError, OSError."""
    return lists.remove(
        group_file(settings, group), {person.did, *([person.handle] if person.handle else ())}
    )


def apps_of(settings: Settings, person: Person) -> Iterator[tuple[str, bool]]:
    """Each app, and whether its rule lets the person in."""
    policy = Policy(settings.apps, settings.groups, scheme=settings.scheme)
    principal = Principal(person.did, person.handle)
    for name, app in settings.apps.items():
        yield name, policy.decide(principal, app.hosts[0].replace("*", "a", 1)).allowed


def rules(settings: Settings) -> Iterator[str]:
    """Who may pass where, a line for each app, and each group."""
    for name, app in settings.apps.items():
        denied = f", but not {', '.join(app.deny)}" if app.deny else ""
        yield f"{name}: {', '.join(app.allow) or 'nobody'}{denied}"
    for name, members in settings.groups.items():
        file = settings.group_files.get(name)
        yield f"@{name}{f' ({file})' if file else ''}: {', '.join(members) or 'nobody'}"
