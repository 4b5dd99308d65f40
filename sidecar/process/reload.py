"""A new configuration for a service that runs: all workers follow it, or none does.

Owns: reading the set anew, the two steps of the change, what has to wait for a restart, what is reported.
Doesn't belong here: reading (config_file/inputs.py), how a worker exchanges its parts (app.py), how a
command asks for it (control.py).

First every worker prepares the new set beside the old one. Only if all have succeeded, all switch.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, Protocol

from sidecar import logs
from sidecar.config_file import advice
from sidecar.config_file.inputs import Inputs
from sidecar.errors import ConfigError
from sidecar.figures.counters import Snapshot
from sidecar.sessions.cookie import Session
from sidecar.settings import Settings

log = logging.getLogger("sidecar")

# What the process or the store is built on.
_FIXED = ("prefix", "server", "store", "metrics")
_FIXED_LIMIT = "limits.pending_sign_ins"

Reread = Callable[[tuple[str, ...]], Inputs]


class Workers(Protocol):
    """Those who serve. Each method is for all of them."""

    def prepare(self, inputs: Inputs) -> list[str]:
        """Make the new parts beside those that serve; what went wrong, empty if nothing did."""
        ...

    def switch(self) -> None:
        """Follow what was prepared."""
        ...

    def drop(self) -> None:
        """Forget what was prepared."""
        ...

    def end(self, did: str) -> list[str]:
        """End every session of an account; what went wrong, empty if nothing did."""
        ...

    def ended(self, session: Session) -> bool | None:
        """Whether it was ended early; None if nobody can say."""
        ...

    def figures(self) -> Snapshot:
        """What they have counted."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """`faults`: why nothing has changed. `waiting`: settings that need a restart; they keep their value.

    `advice`: warnings about the new configuration.
    """

    faults: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    advice: list[str] = field(default_factory=list)


class Reload:
    """`reread`: the set as it is in the files now, with the secrets that were made up for this run. Raises
    ConfigError.
    """

    def __init__(self, inputs: Inputs, reread: Reread, workers: Workers) -> None:
        self.inputs = inputs
        self._reread = reread
        self._workers = workers
        self._one_at_a_time = threading.Lock()

    def reload(self, why: str) -> Outcome:
        """Never raises. The outcome is in the log too. `why`: who asked for it, for the log."""
        with self._one_at_a_time:
            try:
                outcome = self._reload()
            except ConfigError as error:
                outcome = Outcome(faults=error.faults)
            except Exception as error:  # a bug must not end the service
                log.exception("reload failed", extra={"event": "reload_failed", "why": why})
                outcome = Outcome(faults=[f"the reload failed: {error!r}; the log has more"])
            _report(outcome, why)
            return outcome

    def _reload(self) -> Outcome:
        read = self._reread(self.inputs.settings.session.cookie_secrets)
        settings, waiting = _what_can_change(self.inputs.settings, read.settings)
        new = Inputs(settings, read.contents)
        faults = self._workers.prepare(new)
        if faults:
            self._workers.drop()
            return Outcome(faults=list(dict.fromkeys(faults)))
        self.inputs = new
        self._workers.switch()
        logs.configure(settings.log)
        return Outcome(waiting=waiting, advice=advice.warnings(settings))


def _report(outcome: Outcome, why: str) -> None:
    for fault in outcome.faults:
        log.error(fault, extra={"event": "reload_refused", "why": why})
    if outcome.faults:
        return
    for line in outcome.advice:
        log.warning(line, extra={"event": "config_warning"})
    waiting = {"waiting_for_restart": ", ".join(outcome.waiting)} if outcome.waiting else {}
    log.info("the new configuration applies", extra={"event": "reloaded", "why": why, **waiting})


def _what_can_change(old: Settings, new: Settings) -> tuple[Settings, list[str]]:
    """The new settings with the old value of what can't change while we run, and the names of those."""
    waiting = [name for name in _differing(old, new) if name.startswith(_FIXED) or name == _FIXED_LIMIT]
    limits = replace(new.limits, pending_sign_ins=old.limits.pending_sign_ins)
    kept = {name: getattr(old, name) for name in _FIXED}
    return replace(new, limits=limits, **kept), waiting


def _differing(old: Any, new: Any, path: str = "") -> Iterator[str]:
    for each in fields(old):
        before, after = getattr(old, each.name), getattr(new, each.name)
        if is_dataclass(before):
            yield from _differing(before, after, f"{path}{each.name}.")
        elif before != after:
            yield path + each.name
