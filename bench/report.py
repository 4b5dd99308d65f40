"""A run written down: a table to read, a JSON file to compute with, a chart to look at.

Doesn't belong here: drawing (chart.py), what was found (results.py).
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench import chart
from bench.figures import Estimate
from bench.results import Bar, Cell, Section, Table


@dataclass(frozen=True, slots=True)
class Report:
    """`plan`: its name. `taken`: when, as text. `seconds`: how long it took. `faults`: what went wrong."""

    plan: str
    taken: str
    seconds: float
    machine: Mapping[str, str]
    sections: Sequence[Section]
    faults: Sequence[str] = ()


def write(report: Report, folder: Path) -> list[Path]:
    """`NAME.md`, `NAME.json` and `NAME.svg` in the folder, named after the plan."""
    folder.mkdir(parents=True, exist_ok=True)
    charts = [each for section in report.sections for each in section.charts]
    texts = {
        "md": markdown(report),
        "json": json.dumps(_plain(report), indent=1) + "\n",
        "svg": chart.draw(charts),
    }
    paths = [folder / f"{report.plan}.{ending}" for ending in texts]
    for path, text in zip(paths, texts.values(), strict=True):
        path.write_text(text, "utf-8")
    return paths


def markdown(report: Report) -> str:
    """The whole as Markdown."""
    return "\n".join(_lines(report)) + "\n"


def bars_table(sections: Sequence[Section]) -> str:
    """Every bar with its verdict, as Markdown."""
    head = ("figure", "found", "95 % interval", "bar", "verdict")
    rows = [_bar(bar) for section in sections for bar in section.bars]
    return "\n".join(_grid(head, rows))


def _lines(report: Report) -> Iterator[str]:
    quick = ", a quick look: too short to judge by" if report.plan == "quick" else ""
    yield f"# What a check costs{quick}"
    yield ""
    yield f"Taken {report.taken} in {report.seconds:.0f} seconds, everything interleaved in one run."
    yield "On " + ", ".join(f"{name} {value}" for name, value in report.machine.items()) + "."
    yield ""
    yield "Each figure: median (least to most) over the rounds. Each ratio is taken within a round; its"
    yield "interval: Student's t, 95 %, over the logarithms. A bar inside its interval is undecided, not met."
    for fault in report.faults:
        yield f"\n**{fault}**"
    yield "\n## Bars\n"
    yield bars_table(report.sections)
    yield f"\n![Charts]({report.plan}.svg)"
    for number, section in enumerate(report.sections, 1):
        yield f"\n## {number}. {section.title}\n"
        yield from section.notes
        for table in section.tables:
            yield f"\n### {table.title}\n"
            yield from _table(table)


def _table(table: Table) -> list[str]:
    return _grid(table.columns, [[_cell(cell) for cell in row] for row in table.rows])


def _grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] + ["--:"] * (len(head) - 1), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def _bar(bar: Bar) -> list[str]:
    found, unit = bar.found, f" {bar.unit}" if bar.unit else ""
    interval = "" if found.rounds == 1 else f"{_number(found.low)} to {_number(found.high)}"
    limit = f"≤ {bar.limit:.2f}" if not bar.unit else f"≤ {_number(bar.limit)}{unit}"
    return [bar.figure, f"{_number(found.median)}{unit}", interval, limit, found.verdict(bar.limit)]


def _cell(cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, Estimate):
        return f"{_number(cell.median)} ({_number(cell.least)} to {_number(cell.most)})"
    return _number(cell) if isinstance(cell, float) else str(cell)


def _number(value: float) -> str:
    """Three digits that count; whole from a hundred on."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _plain(report: Report) -> dict[str, object]:
    plain = asdict(report)
    plain["bars"] = [
        {**asdict(bar), "verdict": bar.found.verdict(bar.limit)}
        for section in report.sections
        for bar in section.bars
    ]
    return plain
