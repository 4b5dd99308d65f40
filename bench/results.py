"""What a run found, as plain values: sections of tables, bars and charts.

Doesn't belong here: how they look (report.py, chart.py).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bench.figures import Estimate

Cell = str | int | float | Estimate | None


@dataclass(frozen=True, slots=True)
class Bar:
    """A ratio that must not be above `limit`; or, with `unit`, an amount."""

    figure: str
    found: Estimate
    limit: float
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """`columns`: the first names the row, the others carry their unit."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True, slots=True)
class Columns:
    """A chart of costs side by side, with their intervals."""

    title: str
    unit: str
    values: Mapping[str, Estimate]


@dataclass(frozen=True, slots=True)
class Lines:
    """A chart of something that grows: per line, (x, y) with x rising, x drawn by its logarithm."""

    title: str
    x: str
    y: str
    lines: Mapping[str, Sequence[tuple[float, float]]]


Chart = Columns | Lines


@dataclass(frozen=True, slots=True)
class Section:
    """One of the benchmark's six parts."""

    title: str
    tables: Sequence[Table] = ()
    bars: Sequence[Bar] = ()
    charts: Sequence[Chart] = ()
    notes: Sequence[str] = field(default_factory=list)
