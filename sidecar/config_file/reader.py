"""Reading the configuration: a TOML file, and over it the environment.

Owns: where a value comes from. It reports every fault at once, each with its path and what to do.
Doesn't belong here: what can be set (settings/), how a value is parsed (settings/values.py), what contradicts
what (consistency.py).

It uses plain dataclasses and one parser per value: pydantic would cost 12 MB in every worker.

In the environment a setting is called `SIDECAR_<SECTION>_<KEY>`, or `SIDECAR_<KEY>` if it has no section;
lists are separated by commas. Apps and groups come from the file only. Relative paths start at the file's
folder.
"""

import logging
import secrets
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from sidecar.config_file import advice, consistency, files, lists
from sidecar.config_file.names import hint, sections, settings_of, twin, variable
from sidecar.errors import ConfigError
from sidecar.hosts import canonical_pattern
from sidecar.settings import App, Settings, addresses, values

log = logging.getLogger("sidecar")

warnings, notes = advice.warnings, advice.notes

T = TypeVar("T")
Table = Mapping[str, Any]

# These aren't settings: one names the file, and Caddyfile.example reads the others from the same environment.
_OTHER_VARIABLES = ("SIDECAR_CONFIG", "SIDECAR_SITE", "SIDECAR_UPSTREAM")
_SECRETS_DEPEND_ON = {
    *("session.cookie_secrets", "session.cookie_secrets_file", "store.kind"),
    consistency.SCHEME,
}
_PLACEHOLDERS: Table = {"public_url": "https://unset.invalid", "hosts": ()}  # while the rest is read


def load(path: Path | None, environ: Mapping[str, str], *, made_up: tuple[str, ...] = ()) -> Settings:
    """The settings of the file, if there is one, and the environment. Raises ConfigError with every fault.

    `made_up`: the cookie secrets that an earlier reading made up, to be kept.
    """
    reader = _Reader(path, environ)
    settings = reader.settings(_document(path))
    settings = reader.with_secrets(settings, made_up)
    for broken in consistency.contradictions(settings):
        for fault in [each for each in broken if not reader.faulty.intersection(each.paths)]:
            reader.fault(fault.paths[0], fault.text)
    if reader.faults:
        raise ConfigError(reader.faults)
    return settings


def as_far_as_readable(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """The settings with the default of each faulty one: to find a service that runs, whatever the file says
    now. Raises ConfigError if it isn't TOML at all.
    """
    return _Reader(path, environ).settings(_document(path))


def _document(path: Path | None) -> Table:
    try:
        # utf-8-sig: some editors begin a file with a byte order mark
        return tomllib.loads(path.read_text("utf-8-sig")) if path else {}
    except FileNotFoundError as error:
        fault = f"{path}: {error.strerror}; name another with --config, or write one with `sidecar init`"
    except PermissionError as error:
        fault = f"{path}: {error.strerror}; run this as a user who may read it, as with sudo"
    except OSError as error:
        fault = f"{path}: {error.strerror}; name a file with --config"
    except UnicodeDecodeError:
        fault = f"{path}: not UTF-8; save it in that encoding"
    except tomllib.TOMLDecodeError as error:
        fault = f"{path}: not TOML: {error}; fix that line"
    raise ConfigError([fault])


class _Reader:
    """Reads section by section. It notes a faulty value and goes on with the default, to find all faults.

    `faulty`: the settings whose value is such a default. Rules about them report nothing.
    """

    def __init__(self, path: Path | None, environ: Mapping[str, str]) -> None:
        self._folder = path.absolute().parent if path else Path.cwd()
        self._environ = environ
        self.faults: list[str] = []
        self.faulty: set[str] = set()
        self._group_files: dict[str, Path] = {}

    def fault(self, path: str, text: str, *, shown: str = "") -> None:
        """Note a fault of the setting `path`. `shown`: the variable that the value came from."""
        self.faults.append(f"{shown or path}: {text}")
        self.faulty.add(path)

    def settings(self, document: Table) -> Settings:
        """Everything but the secrets that are in a file of their own."""
        self._unknown_variables()
        known = (*settings_of(Settings), *sections(), "groups", "apps")
        self._unknown_keys("", document, known)
        parts = {
            name: self._section(cls, name, self._table(document, name)) for name, cls in sections().items()
        }
        parts["groups"] = self._groups(self._table(document, "groups"))
        parts["group_files"] = self._group_files
        apps = self._table(document, "apps")
        parts["apps"] = {name: self._app(name, self._table(apps, name, "apps.")) for name in apps}
        settings = self._build(Settings, "", document, self._environ, **parts)
        if "public_url" in self.faulty:
            settings = self._with_scheme(settings, document)
        return replace(settings, apps={k: _spelled(v, settings.scheme) for k, v in settings.apps.items()})

    def _with_scheme(self, settings: Settings, document: Table) -> Settings:
        """With only the scheme of a public URL that is otherwise invalid: many rules need no more."""
        written = self._environ.get(variable("", "public_url"), document.get("public_url"))
        scheme = str(written).partition("://")[0].lower()
        if scheme in ("http", "https"):
            return replace(settings, public_url=f"{scheme}://unset.invalid")
        self.faulty.add(consistency.SCHEME)
        return settings

    def with_secrets(self, settings: Settings, made_up: tuple[str, ...]) -> Settings:
        """The settings with their cookie secrets: as set, from the file, or made up (loopback, memory)."""
        session = settings.session
        if session.cookie_secrets_file is not None:
            if session.cookie_secrets:
                self._both_secrets()
            found = self._secrets_file(session.cookie_secrets_file)
        elif session.cookie_secrets or self.faulty & _SECRETS_DEPEND_ON:
            return settings
        elif settings.loopback and settings.store.kind == "memory":
            found = made_up
            if not found:
                log.info("cookie secrets made up for this run", extra={"event": "secrets_generated"})
                found = (secrets.token_urlsafe(32),)
        else:
            found = ()
            self.fault("session.cookie_secrets_file", "no cookie secret is set; `sidecar init` writes one")
        return replace(settings, session=replace(session, cookie_secrets=found))

    def _both_secrets(self) -> None:
        """Both are in the same place; otherwise the environment has won."""
        names = [variable("session", key) for key in ("cookie_secrets", "cookie_secrets_file")]
        if names[0] in self._environ:
            shown, other = names
            self.fault("session.cookie_secrets", f"set beside {other}; unset one of them", shown=shown)
        else:
            self.fault("session.cookie_secrets", "set beside cookie_secrets_file; keep one of them")

    def _secrets_file(self, file: Path) -> tuple[str, ...]:
        name = "session.cookie_secrets_file"
        fault = files.private_file_fault(file)
        if fault:
            self.fault(name, fault)
            return ()
        try:
            # Some editors begin a file with a byte order mark: it isn't part of a secret.
            lines = [line.strip("\ufeff \t") for line in file.read_text("utf-8").splitlines()]
            found = values.secrets([line for line in lines if line])
        except (ValueError, OSError) as error:
            self.fault(name, f"{file}: {error}")
            return ()
        if not found:
            self.fault(name, f"{file} is empty; write a secret of {values.MIN_SECRET} characters or more")
        return found

    def _section(self, cls: type[T], name: str, table: Table) -> T:
        self._unknown_keys(f"{name}.", table, settings_of(cls))
        return self._build(cls, f"{name}.", table, self._environ)

    def _app(self, name: str, table: Table) -> App:
        self._name("apps", name)
        path = f"apps.{name}."
        self._unknown_keys(path, table, settings_of(App))
        file = self._parsed(values.optional_path, table.get("hosts_file", ""), path + "hosts_file")
        hosts = table.get("hosts", [])
        if file and isinstance(hosts, list):
            listed = self._list(addresses.hosts, file, path + "hosts_file")
            table = {**table, "hosts": [*hosts, *listed]}
        return self._build(App, path, table, {})

    def _groups(self, table: Table) -> dict[str, tuple[str, ...]]:
        for name in table:
            self._name("groups", name)
        return {name: self._group(f"groups.{name}", value) for name, value in table.items()}

    def _group(self, path: str, value: Any) -> tuple[str, ...]:
        """Its members: a list, or `{ file = "…" }`."""
        if not isinstance(value, dict):
            return self._parsed(addresses.members, value, path) or ()
        self._unknown_keys(f"{path}.", value, ("file",))
        file = self._parsed(values.path, value.get("file", ""), f"{path}.file")
        if file is None:
            return ()
        self._group_files[path.removeprefix("groups.")] = self._folder / file
        return self._list(addresses.members, file, f"{path}.file")

    def _list(self, parse: Any, file: Path, path: str) -> tuple[str, ...]:
        """The entries of a file. Those that can be read, after noting what can't."""
        try:
            return lists.read(self._folder / file, parse)
        except values.FaultyEntries as error:
            self.faults += [f"{path}: {text}" for text in error.texts]
            self.faulty.add(path)
            return error.rest
        except OSError as error:
            self.fault(path, f"{self._folder / file}: {error.strerror}; make the file, or correct the path")
            return ()

    def _build(self, cls: type[T], path: str, table: Table, environ: Mapping[str, str], **parts: Any) -> T:
        """An instance of `cls` from its table, the environment and the finished `parts`."""
        section = path.removesuffix(".")
        for key, setting in settings_of(cls).items():
            name = variable(section, key)
            other = twin(cls, key)
            if name in environ:
                found = self._parsed(setting.parse, environ[name], path + key, shown=name)
            elif other and environ.get(variable(section, other)):
                continue  # the environment has the same secret in its other form
            elif key in table:
                found = self._parsed(setting.parse, table[key], path + key)
            else:
                continue
            if found is not None:
                parts[key] = found
        self._required(cls, path, parts)
        made = cls(**parts)
        paths = {key: getattr(made, key) for key in settings_of(cls)}
        absolute = {key: self._folder / value for key, value in paths.items() if isinstance(value, Path)}
        return replace(made, **absolute)  # type: ignore[type-var] # every cls here is a dataclass

    def _required(self, cls: type[Any], path: str, parts: dict[str, Any]) -> None:
        for each in fields(cls):
            if each.name not in parts and each.default is MISSING and each.default_factory is MISSING:
                if path + each.name not in self.faulty:
                    self.fault(path + each.name, f"missing; {settings_of(cls)[each.name].why}")
                parts[each.name] = _PLACEHOLDERS[each.name]

    def _parsed(self, parse: Any, value: Any, path: str, *, shown: str = "") -> Any:
        """The value, or None after noting its fault. Of a list, the entries that can be read."""
        try:
            return parse(value)
        except values.FaultyEntries as error:
            self.faults += [f"{shown or path}: {text}" for text in error.texts]
            if not error.rest:  # an empty list would have faults of its own
                self.faulty.add(path)
            return error.rest
        except ValueError as error:
            self.fault(path, str(error), shown=shown)
            return None

    def _table(self, parent: Table, key: str, path: str = "") -> Table:
        table = parent.get(key, {})
        if isinstance(table, dict):
            return table
        self.fault(path + key, f"must be a table; write [{path}{key}] and its settings below")
        return {}

    def _name(self, kind: str, name: str) -> None:
        if not addresses.NAME.fullmatch(name):
            self.fault(f"{kind}.{name}", "a name has letters, digits, _ and - only, 63 at most; rename it")

    def _unknown_keys(self, path: str, table: Table, known: Iterable[str]) -> None:
        for key in table:
            if key not in known:
                self.fault(path + key, f"no such setting; {hint(key, known, path)}")

    def _unknown_variables(self) -> None:
        known = {variable(name, key) for name, cls in sections().items() for key in settings_of(cls)}
        known |= {variable("", key) for key in settings_of(Settings)} | {*_OTHER_VARIABLES}
        for name in self._environ:
            if name.startswith("SIDECAR_") and name not in known:
                self.fault(name, f"no such setting; {hint(name, known, '')}")


def _spelled(app: App, scheme: str) -> App:
    """The app with its hosts as requests name them: without the scheme's own port."""
    return replace(app, hosts=tuple(canonical_pattern(host, scheme=scheme) for host in app.hosts))
