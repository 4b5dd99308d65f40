"""Who may pass to which app.

Owns: the rules, compiled once from the settings, and the decision. Deny wins; what no rule allows is refused.
Doesn't belong here: whether a handle is still fresh (sessions/), what the refused see (check/check.py). Pure.

A rule is a DID, a handle, `*.domain` for handles under a domain, `@group`, or `*` for anyone signed in. A
group holds the same, but no groups. A decision costs a few look-ups, however many apps, hosts and DIDs there
are; it grows only with the number of groups that one app names.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from sidecar.hosts import HostTable, canonical_host
from sidecar.settings import App

_DID = re.compile(r"did:[a-z0-9]+:[A-Za-z0-9._:%-]*[A-Za-z0-9._-]")
_NO_HANDLE = "handle.invalid"
_NO_SCHEME = ""  # handles are spelt like hosts, but have no port


class Principal(NamedTuple):
    """Who is signed in. `handle`: verified and fresh, else None."""

    did: str
    handle: str | None


@dataclass(frozen=True, slots=True)
class Decision:
    """`reason`: allowed, unknown_host, no_rule, denied, handle_required or not_allowed.

    `app`: its name; "" if no app has the host.
    """

    allowed: bool
    app: str
    reason: str


class Policy:
    """The rules of every app. ValueError for a rule, group or host that can't be read, or a doubled host."""

    def __init__(
        self, apps: Mapping[str, App], groups: Mapping[str, tuple[str, ...]], *, scheme: str
    ) -> None:
        compiled = {name: _members(rules) for name, rules in groups.items()}
        entries = ((name, app, _App(name, app, compiled)) for name, app in apps.items())
        self._apps = HostTable(
            ((host, rules) for _, app, rules in entries for host in app.hosts), scheme=scheme
        )

    def app_for(self, host: str) -> str | None:
        """Name of the app that a canonical host belongs to."""
        app = self._apps.get(host)
        return None if app is None else app.name

    def knows(self, host: str) -> bool:
        return self._apps.get(host) is not None

    def decide(self, principal: Principal, host: str) -> Decision:
        """`host`: canonical. Only `allowed` opens anything."""
        app = self._apps.get(host)
        return _UNKNOWN_HOST if app is None else app.decide(principal)


def matching(
    rules: Iterable[str], groups: Mapping[str, tuple[str, ...]], principal: Principal
) -> tuple[str, ...]:
    """The first of the rules that means this person, and behind a group its member; empty if none does."""
    handle = None if principal.handle is None else _usable_handle(principal.handle)
    for rule in rules:
        if rule.startswith("@"):
            members = matching(groups.get(rule[1:], ()), {}, principal)
            if members:
                return (rule, *members)
        elif _Rules([rule], {}).match(principal.did, handle):
            return (rule,)
    return ()


_UNKNOWN_HOST = Decision(allowed=False, app="", reason="unknown_host")


@dataclass(frozen=True, slots=True)
class _Members:
    """Whom a list of rules names, groups apart."""

    everyone: bool
    dids: frozenset[str]
    handles: HostTable[bool]


class _Rules:
    """An app's allow or deny list: its own members and those of the groups it names.

    A group is compiled once, and shared by all who name it.
    """

    __slots__ = ("_dids", "_everyone", "_handles", "empty", "name_handles")

    def __init__(self, rules: Iterable[str], groups: Mapping[str, _Members]) -> None:
        named = frozenset(rules)
        references = {rule for rule in named if rule.startswith("@")}
        unknown = sorted(rule for rule in references if rule[1:] not in groups)
        if unknown:
            raise ValueError(f"no such group: {', '.join(unknown)}; a handle is written without @")
        parts = [_members(named - references), *(groups[rule[1:]] for rule in sorted(references))]
        self._everyone = any(part.everyone for part in parts)
        self._dids = tuple(part.dids for part in parts if part.dids)
        self._handles = tuple(part.handles for part in parts if part.handles)
        self.name_handles = bool(self._handles)
        self.empty = not named

    def match(self, did: str, handle: str | None) -> bool:
        if self._everyone:
            return True
        for dids in self._dids:
            if did in dids:
                return True
        if handle is not None:
            for handles in self._handles:
                if handles.get(handle):
                    return True
        return False


class _App:
    """One app's rules, and its decisions made in advance."""

    def __init__(self, name: str, app: App, groups: Mapping[str, _Members]) -> None:
        self.name = name
        self._allow = _Rules(app.allow, groups)
        self._deny = _Rules(app.deny, groups)
        # If a deny names handles, a person without one might be one of those it denies.
        self._needs_handle = app.require_handle or self._deny.name_handles
        self._reads_handles = self._needs_handle or self._allow.name_handles
        self._allowed = Decision(allowed=True, app=name, reason="allowed")
        self._no_rule = Decision(allowed=False, app=name, reason="no_rule")
        self._denied = Decision(allowed=False, app=name, reason="denied")
        self._handle_required = Decision(allowed=False, app=name, reason="handle_required")
        self._not_allowed = Decision(allowed=False, app=name, reason="not_allowed")

    def decide(self, principal: Principal) -> Decision:
        if self._allow.empty:
            return self._no_rule
        did = principal.did
        handle = None
        if self._reads_handles and principal.handle is not None:
            handle = _usable_handle(principal.handle)
        if self._deny.match(did, handle):
            return self._denied
        if self._needs_handle and handle is None:
            return self._handle_required
        if self._allow.match(did, handle):
            return self._allowed
        return self._not_allowed


def _members(rules: Iterable[str]) -> _Members:
    named = frozenset(rules)
    dids = frozenset(_did(rule) for rule in named if rule.startswith("did:"))
    handles = {_handle_rule(rule) for rule in named - dids - {"*"}}
    return _Members("*" in named, dids, HostTable(((rule, True) for rule in handles), scheme=_NO_SCHEME))


def _did(rule: str) -> str:
    if not _DID.fullmatch(rule):
        raise ValueError(f"{rule!r} is not a DID")
    return rule


def _handle_rule(rule: str) -> str:
    """A handle or `*.domain`, canonical. ValueError if it is neither, or could never match."""
    domain = rule.removeprefix("*.")
    name = canonical_host(domain, scheme=_NO_SCHEME) if not rule.startswith("@") else ""
    handle_like = "." in name or domain != rule
    if not handle_like or ":" in name or name.rpartition(".")[2][0].isdigit():
        raise ValueError(f"{rule!r} is not a DID, a handle, *.domain, or *; groups can't hold groups")
    return f"*.{name}" if domain != rule else name


@lru_cache(maxsize=8192)
def _usable_handle(handle: str) -> str | None:
    """The canonical spelling, or None: what can't be read counts as not verified."""
    try:
        name = canonical_host(handle, scheme=_NO_SCHEME)
    except ValueError:
        return None
    return None if name == _NO_HANDLE else name
