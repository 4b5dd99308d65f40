"""How one value of the configuration is parsed.

Owns: one function per kind of value, `TOML value or text in → typed value out`, or ValueError whose text says
what is wrong and how to fix it. The environment gives text only, so every parser reads text as well as
TOML's types. A docstring is what the reference (docs/configuration.md) says of its kind.
Doesn't belong here: names and addresses (addresses.py), what one value means for another
(config_file/consistency.py).
"""

import ipaddress
import re
import unicodedata
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")
Entry = TypeVar("Entry")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

LOOPBACK: tuple[Network, ...] = (ipaddress.IPv4Network("127.0.0.0/8"), ipaddress.IPv6Network("::1/128"))

MIN_SECRET = 32  # characters; `sidecar init` writes 43, which is 256 bits

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]+)?)\s*(?P<unit>[smhd]?)")
_MAX_DURATION = 10 * 366 * 86400.0
_MODE = re.compile(r"(?:0o?)?(?P<octal>[0-7]{3})")


class Provider(NamedTuple):
    """A button on the sign-in page that starts at a server instead of an account."""

    name: str
    url: str


class FaultyEntries(ValueError):
    """A list with entries that can't be read. `texts`: what is wrong with each; `rest`: the others, read."""

    def __init__(self, texts: list[str], rest: tuple[Any, ...]) -> None:
        super().__init__("; ".join(texts))
        self.texts = texts
        self.rest = rest


# Plain values


def text(value: Any) -> str:
    """Text."""
    if not isinstance(value, str):
        raise ValueError('must be text; write it in quotes: "…"')  # noqa: TRY004 - a ValueError is the contract
    return value.strip()


def line(value: Any) -> str:
    """One line of text, at most 200 characters."""
    found = text(value)
    if len(found) > 200 or any(unicodedata.category(c)[0] == "C" for c in found):
        raise ValueError("must be one line of at most 200 characters, without control characters; shorten it")
    return found


def boolean(value: Any) -> bool:
    """`true` or `false`."""
    known = {"true": True, "false": False}
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in known:
        return known[value.strip().lower()]
    raise ValueError("must be true or false, without quotes")


def integer(least: int, most: int) -> Callable[[Any], int]:
    """A parser for whole numbers from `least` to `most`."""

    def parse(value: Any) -> int:
        number = value
        if isinstance(value, str) and re.fullmatch(r"\s*[0-9]{1,15}\s*", value):
            number = int(value)
        if not isinstance(number, int) or isinstance(number, bool) or not least <= number <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return number

    parse.__doc__ = f"A whole number from {least} to {most}."
    return parse


def choice(*options: str) -> Callable[[Any], str]:
    """A parser for one of a few words."""
    listed = " or ".join(f'"{option}"' for option in options)

    def parse(value: Any) -> str:
        if not isinstance(value, str) or value.strip() not in options:
            raise ValueError(f"must be {listed}")
        return value.strip()

    parse.__doc__ = f"{listed}."
    return parse


def duration(value: Any) -> float:
    """A time, as "90s", "10m", "24h" or "7d", or a number of seconds."""
    wrong = ValueError('must be a time above zero, as "90s", "10m", "24h" or "7d", or a number of seconds')
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise wrong
    match = _DURATION.fullmatch(str(value).strip())
    if match is None:
        raise wrong
    seconds = float(match["number"]) * _UNITS[match["unit"] or "s"]
    if not 0 < seconds <= _MAX_DURATION:
        raise wrong
    return seconds


def file_mode(value: Any) -> int:
    """A file mode in quotes, as "660"."""
    match = _MODE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:  # a TOML number doesn't say whether it was meant as octal
        raise ValueError('must be three octal digits in quotes, as "660"')
    return int(match["octal"], 8)


def path(value: Any) -> Path:
    """A path; a relative one starts at the configuration file's folder."""
    found = text(value)
    if not found or "\0" in found:
        raise ValueError("must be a path; it is empty or has a null character in it")
    return Path(found)


def optional_path(value: Any) -> Path | None:
    """A path or nothing; a relative one starts at the configuration file's folder."""
    return None if value == "" else path(value)


# Lists


def texts(value: Any) -> tuple[str, ...]:
    """A list of text; in the environment, separated by commas."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    if isinstance(value, list | tuple) and all(isinstance(part, str) for part in value):
        return tuple(part.strip() for part in value)
    raise ValueError('must be a list of texts, as ["…", "…"]')


def each(parse: Callable[[Entry], T], entries: Iterable[Entry]) -> tuple[T, ...]:
    """Every entry, read. Raises FaultyEntries, so that one that can't be read hides none of the others."""
    found, faults = [], []
    for entry in entries:
        try:
            found.append(parse(entry))
        except ValueError as error:
            faults.append(str(error))
    if faults:
        raise FaultyEntries(faults, tuple(found))
    return tuple(found)


def secrets(value: Any) -> tuple[str, ...]:
    """A list of secrets of 32 characters or more."""
    found = texts(value)
    if any(len(each) < MIN_SECRET for each in found):  # never quote one
        raise ValueError(f"a secret is shorter than {MIN_SECRET} characters; `sidecar init` writes good ones")
    return found
