"""The example configuration and the reference, made from the settings themselves.

Owns: how a default is written in TOML, and both layouts. `python -m sidecar.config_file.example` writes
`config/sidecar.example.toml` and the tables of `docs/configuration.md`; a test compares them.
Doesn't belong here: the settings (settings/), the prose around the tables (docs/configuration.md).
"""

import json
import re
import sys
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from sidecar.config_file import names
from sidecar.settings import App, Setting, Settings, values

EXAMPLE = Path("config/sidecar.example.toml")
REFERENCE = Path("docs/configuration.md")

_MARKED = re.compile(r"(?<=<!-- generated from sidecar/settings/ -->\n).*?(?=<!-- end -->)", re.DOTALL)

_HEAD = """\
# Every setting of the sidecar with its default. To change one, remove the "#" before it.
# `sidecar check-config` reports every fault. A variable SIDECAR_<SECTION>_<KEY>, such as SIDECAR_LOG_LEVEL,
# wins over this file.
# Relative paths start at the folder of this file.
# Made from sidecar/settings/ by `python -m sidecar.config_file.example`.
"""
_TAIL = """\
# Lists of people. A rule names one as "@editors". A group can't contain a group.
[groups]
editors = ["did:plc:ewvi7nxzyoun6zhxrhs64oiz", "alice.sidecar.test"]
# Or a file with a DID or a handle on each line, where "#" begins a comment: family = { file = "family.txt" }
"""
# Settings without a default, or whose default shows nothing.
_FILLED_IN = {
    "public_url": '"https://auth.sidecar.internal"',
    "cookie_secrets_file": '"cookie-secrets.txt"',
    "cookie_domain": '"sidecar.internal"',
    "hosts": '["wiki.sidecar.internal"]',
    "allow": '["@editors", "*.sidecar.test"]',
}


def example() -> str:
    """The whole of `config/sidecar.example.toml`."""
    blocks = [_HEAD, _lines(Settings)]
    blocks += [f"# {cls.__doc__}\n[{name}]\n{_lines(cls)}" for name, cls in names.sections().items()]
    blocks += [f"# {App.__doc__}\n[apps.wiki]\n{_lines(App)}", _TAIL]
    return "\n".join(blocks)


def reference() -> str:
    """One Markdown table per section, for `docs/configuration.md`."""
    tables = [_table("", Settings)]
    tables += [_table(name, cls) for name, cls in names.sections().items()]
    return "\n".join([*tables, _table("apps.NAME", App)])


def with_reference(document: str) -> str:
    """The document with its tables made anew."""
    return _MARKED.sub(lambda _: f"\n{reference()}\n", document)


def literal(value: Any, setting: Setting) -> str:
    """A default as TOML spells it, in the form that the setting's parser reads best."""
    if setting.parse is values.duration:
        return f'"{_duration(value)}"'
    if setting.parse is values.file_mode:
        return f'"{value:o}"'
    if isinstance(value, values.Provider):
        return f"{{ name = {json.dumps(value.name)}, url = {json.dumps(value.url)} }}"
    if isinstance(value, tuple):
        return f"[{', '.join(literal(each, setting) for each in value)}]"
    if isinstance(value, bool | int):
        return json.dumps(value)
    return json.dumps("" if value is None else str(value))


def _duration(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size and seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds:g}s"


def _default(section: type[Any], key: str) -> str | None:
    """The default as TOML, or None if there is none."""
    default = next(each.default for each in fields(section) if each.name == key)
    return None if default is MISSING else literal(default, names.settings_of(section)[key])


def _lines(section: type[Any]) -> str:
    lines = []
    for key, setting in names.settings_of(section).items():
        filled_in = _FILLED_IN.get(key)
        shown = f"{key} = {filled_in}" if filled_in else f"#{key} = {_default(section, key)}"
        lines.append(f"# {setting.why}\n{shown}\n")
    return "".join(lines)


def _table(name: str, section: type[Any]) -> str:
    heading = f"### `[{name}]`\n\n{section.__doc__}\n" if name else "### Without a section\n"
    rows = ["| setting | default | what | value |", "|---|---|---|---|"]
    for key, setting in names.settings_of(section).items():
        default = _default(section, key)
        shown = "required" if default is None else f"`{default}`"
        kind = " ".join((setting.parse.__doc__ or "").split())
        rows.append("| " + " | ".join(_cell(c) for c in (f"`{key}`", shown, setting.why, kind)) + " |")
    return "\n".join([heading, *rows, ""])


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> None:
    """Write both files, in the current folder's tree."""
    EXAMPLE.write_text(example(), "utf-8")
    REFERENCE.write_text(with_reference(REFERENCE.read_text("utf-8")), "utf-8")
    sys.stderr.write(f"{EXAMPLE} and {REFERENCE} are up to date\n")


if __name__ == "__main__":
    main()
