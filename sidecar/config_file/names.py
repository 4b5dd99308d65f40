"""The names of all settings, from the settings themselves.

Owns: sections and keys, the environment's name for each, what a mistyped one was meant to be.
Doesn't belong here: values (reader.py).
"""

from collections.abc import Iterable, Mapping
from dataclasses import is_dataclass
from typing import Any, get_type_hints

from sidecar.settings import Setting, Settings


def settings_of(section: type[Any]) -> Mapping[str, Setting]:
    """What can be set in a section, by key."""
    hints = get_type_hints(section, include_extras=True)
    return {key: hint.__metadata__[0] for key, hint in hints.items() if hasattr(hint, "__metadata__")}


def sections() -> Mapping[str, type[Any]]:
    """The sections that every configuration has, by name."""
    hints = get_type_hints(Settings)
    return {key: hint for key, hint in hints.items() if isinstance(hint, type) and is_dataclass(hint)}


def variable(section: str, key: str) -> str:
    """The environment's name for a setting; `section`: "" if it has none."""
    return "_".join(("SIDECAR", *([section] if section else []), key)).upper()


def twin(section: type[Any], key: str) -> str:
    """The other form of the same secret: its value, or the file that has it; "" if there is none."""
    known = settings_of(section)
    if known[key].secret:
        return f"{key}_file"
    named = key.removesuffix("_file")
    return named if named in known and known[named].secret else ""


def hint(key: str, known: Iterable[str], path: str) -> str:
    """What an unknown name was perhaps meant to be, or where it belongs."""
    import difflib  # noqa: PLC0415 - 1 MB that only a mistake needs

    close = difflib.get_close_matches(key, list(known), n=1)
    if close:
        return f"did you mean {path}{close[0]}?"
    homes = [name for name, cls in sections().items() if key in settings_of(cls)]
    return f"it belongs in [{homes[0]}]" if homes else "docs/configuration.md has them all"
