"""What the doctor reports: what it tried, what it saw, the likeliest cause, and what to do.

Owns: the shape of a finding and its lines. A finding that isn't ok can't leave out its cause or its remedy.
Doesn't belong here: the checks (examine.py lists them).
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple

Verdict = Literal["ok", "warn", "FAIL"]

_INDENT = " " * 6


class Remedy(NamedTuple):
    """The likeliest cause, and what to do about it."""

    cause: str
    fix: str


class Finding(NamedTuple):
    """One entry of the report. A `FAIL` keeps people from signing in, or an app from being protected."""

    verdict: Verdict
    tried: str
    seen: str
    remedy: Remedy | None = None

    def lines(self) -> list[str]:
        """As the report shows it."""
        first = f"{self.verdict:<4}  {self.tried}: {self.seen}"
        if self.remedy is None:
            return [first]
        return [
            first,
            f"{_INDENT}likely cause: {self.remedy.cause}",
            f"{_INDENT}what to do: {self.remedy.fix}",
        ]

    def document(self) -> dict[str, str | None]:
        """As JSON has it."""
        cause, fix = self.remedy or (None, None)
        return {"verdict": self.verdict, "tried": self.tried, "seen": self.seen, "cause": cause, "fix": fix}


Findings = Iterator[Finding]


class Trouble(Exception):
    """A check can't go on; the report shows it as a FAIL."""

    def __init__(self, seen: str, *, cause: str, fix: str) -> None:
        super().__init__(seen)
        self.seen = seen
        self.remedy = Remedy(cause, fix)


def ok(tried: str, seen: str) -> Finding:
    return Finding("ok", tried, seen)


def warn(tried: str, seen: str, *, cause: str, fix: str) -> Finding:
    return Finding("warn", tried, seen, Remedy(cause, fix))


def fail(tried: str, seen: str, *, cause: str, fix: str) -> Finding:
    return Finding("FAIL", tried, seen, Remedy(cause, fix))
