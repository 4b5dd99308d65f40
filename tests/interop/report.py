"""docs/interop.md, written from rows and read back into them: a run by hand changes its own row alone.

The words around the table are in page.md.
"""

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path

from tests.lab import node

PAGE = node.ROOT / "docs" / "interop.md"
YES = "yes"
_NAMES = "server, version, tried, by handle, by DID, by server, nonce rotation, key rotation, note"
HEAD = _NAMES.split(", ")

BEFORE, AFTER = Path(__file__).with_name("page.md").read_text("utf-8").split("{table}\n")


@dataclass(frozen=True, slots=True)
class Row:
    """One server. A result is "yes", "no: …" or "not tried: …"."""

    server: str
    version: str
    tried: str
    by_handle: str
    by_did: str
    by_server: str
    nonces: str
    keys: str
    note: str = ""

    @property
    def faulty(self) -> bool:
        """Whether a sign-in failed."""
        return any(result.startswith("no:") for result in astuple(self)[3:8])


@dataclass(frozen=True, slots=True)
class Report:
    """`programs`: what the run used, with versions, as text."""

    programs: str
    rows: Sequence[Row]

    def with_row(self, row: Row) -> "Report":
        """With `row` in the place of that of the same server and version, or below all others."""
        same = [(each.server, each.version) == (row.server, row.version) for each in self.rows]
        if not any(same):
            return replace(self, rows=[*self.rows, row])
        rows = [row if found else each for each, found in zip(self.rows, same, strict=True)]
        return replace(self, rows=rows)


def markdown(report: Report) -> str:
    """The whole page."""
    lines = [f"With {report.programs}.", "", _line(HEAD), _line(["---"] * len(HEAD)).replace(" ", "")]
    lines += [_line(astuple(row)) for row in report.rows]
    return BEFORE + "\n".join(lines) + "\n" + AFTER


def read(text: str) -> Report:
    """The report that a page holds; ValueError if `markdown` didn't write it."""
    middle = text.removeprefix(BEFORE).removesuffix(AFTER).splitlines()
    programs = middle[0].removeprefix("With ").removesuffix(".")
    rows = [Row(*_cells(line)) for line in middle[4:] if len(_cells(line)) == len(HEAD)]
    report = Report(programs, rows)
    if markdown(report) != text:
        raise ValueError("this page isn't as `make interop` writes it; run it again")
    return report


def write(report: Report, page: Path = PAGE) -> None:
    page.write_text(markdown(report), "utf-8")


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(_plain(cell) for cell in cells) + " |"


def _plain(cell: str) -> str:
    """On one line, without what ends a cell or opens HTML: a server's words may be in it."""
    visible = "".join(c if c.isprintable() else " " for c in cell)
    return " ".join(visible.translate(_MARKUP).split())


_MARKUP = str.maketrans({"|": "/", "<": "(", ">": ")", "[": "(", "]": ")", "`": "'", "\\": "/"})


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().removeprefix("|").removesuffix("|").split("|")]
