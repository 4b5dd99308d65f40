"""Lists that stand in files of their own: the members of a group, the hosts of an app.

Owns: what such a file looks like, reading it, and changing one line of it.
Doesn't belong here: how an entry is parsed (settings/addresses.py), which lists there are (reader.py).

One entry a line. `#` begins a comment, at the beginning of a line or after a space.
"""

import os
import re
import secrets
import stat
from collections.abc import Callable
from pathlib import Path

from sidecar.settings.values import FaultyEntries

_COMMENT = re.compile(r"(?:^|\s)#.*")


def read(path: Path, parse: Callable[[list[str]], tuple[str, ...]]) -> tuple[str, ...]:
    """The entries of the file. Raises FaultyEntries, which names the lines, and OSError."""
    found: list[str] = []
    faults = []
    for number, line in enumerate(_lines(path), start=1):
        try:
            found += parse([entry]) if (entry := entry_of(line)) else ()
        except ValueError as error:
            faults.append(f"{path} line {number}: {error}")
    if faults:
        raise FaultyEntries(faults, tuple(found))
    return tuple(found)


def lines(path: Path) -> list[tuple[str, str]]:
    """Every entry with its comment. Raises FaultyEntries, OSError."""
    found = [(entry_of(line), line.partition("#")[2].strip()) for line in _lines(path)]
    return [(entry, comment) for entry, comment in found if entry]


def add(path: Path, entry: str, comment: str) -> bool:
    """Add an entry, with a comment behind it; False if it is there already. Raises OSError."""
    lines = _lines(path)
    if any(entry_of(line) == entry for line in lines):
        return False
    _write(path, [*lines, f"{entry}  # {comment}" if comment else entry])
    return True


def remove(path: Path, entries: set[str]) -> list[str]:
    """Take entries out, each with its comment; those that were there. Raises OSError."""
    lines = _lines(path)
    kept = [line for line in lines if entry_of(line) not in entries]
    found = [entry_of(line) for line in lines if entry_of(line) in entries]
    if found:
        _write(path, kept)
    return found


def _lines(path: Path) -> list[str]:
    # utf-8-sig: some editors begin a file with a byte order mark
    try:
        return path.read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise FaultyEntries([f"{path}: not UTF-8; save it in that encoding"], ()) from error


def entry_of(line: str) -> str:
    """Without its comment; "" if there is none."""
    return _COMMENT.sub("", line).strip()


def _write(path: Path, lines: list[str]) -> None:
    """Replace the file in one step. Its owner and mode stay."""
    before = path.stat()
    made = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    file = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(file, "w", encoding="utf-8") as stream:
            stream.write("".join(f"{line}\n" for line in lines))
            stream.flush()
            os.fsync(file)
        os.chown(made, before.st_uid, before.st_gid)
        made.chmod(stat.S_IMODE(before.st_mode))
        made.replace(path)
    except OSError:
        made.unlink(missing_ok=True)
        raise
