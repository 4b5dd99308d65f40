"""Charts as SVG, written by hand: two kinds are too few for a library.

Doesn't belong here: which charts there are (scenarios/).
"""

import math
from collections.abc import Iterator, Sequence
from html import escape

from bench.figures import Estimate
from bench.results import Chart, Columns, Lines

_WIDTH = 900
_LEFT, _RIGHT = 330, 110
_ROW = 26
_PLOT = 220
_TITLE = 44
_FOOT = 56
_COLOURS = ("#2563a8", "#c2571a", "#2f7d4f", "#8a3f9e", "#a8861d")
_STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#222}.t{font-weight:600;font-size:15px}"
    ".a{fill:#666;font-size:12px}.g{stroke:#ddd}.i{stroke:#222;stroke-width:1.5}"
    ".l{fill:none;stroke-width:2}"
)


def draw(charts: Sequence[Chart]) -> str:
    """All charts, one above the other."""
    parts: list[str] = []
    top = 0.0
    for each in charts:
        body = list(_columns(each) if isinstance(each, Columns) else _lines(each))
        parts += [f'<g transform="translate(0 {top:.0f})">', _text(16, 26, each.title, "t"), *body, "</g>"]
        top += _height(each)
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {max(top, 1):.0f}" role="img">'
    background = f'<style>{_STYLE}</style><rect width="{_WIDTH}" height="{max(top, 1):.0f}" fill="#fff"/>'
    return "\n".join([opening, background, *parts, "</svg>"]) + "\n"


def _height(chart: Chart) -> float:
    return _TITLE + _FOOT + (_ROW * len(chart.values) if isinstance(chart, Columns) else _PLOT)


def _columns(chart: Columns) -> Iterator[str]:
    """Bars that lie on their side, so that names have room; the interval as a line over the end."""
    room = _WIDTH - _LEFT - _RIGHT
    most = max((value.most for value in chart.values.values()), default=1.0)
    for row, (name, value) in enumerate(chart.values.items()):
        y = _TITLE + row * _ROW
        colour = _COLOURS[1] if "sidecar" in name else _COLOURS[0]
        length = value.median / most * room
        yield _text(_LEFT - 10, y + 16, name, anchor="end")
        yield f'<rect x="{_LEFT}" y="{y + 3}" width="{length:.1f}" height="{_ROW - 8}" fill="{colour}"/>'
        yield _whisker(value, most, room, y + _ROW / 2 - 1)
        yield _text(_LEFT + value.most / most * room + 10, y + 16, f"{value.median:.1f}")
    yield _text(
        _LEFT, _TITLE + _ROW * len(chart.values) + 18, f"{chart.unit}; line: least to most of the rounds", "a"
    )


def _whisker(value: Estimate, most: float, room: float, y: float) -> str:
    left, right = (_LEFT + edge / most * room for edge in (value.least, value.most))
    return f'<line class="i" x1="{left:.1f}" x2="{right:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'


def _lines(chart: Lines) -> Iterator[str]:
    """x by its logarithm, y from zero; the legend at the right."""
    points = [point for line in chart.lines.values() for point in line]
    if not points:
        return
    left, right, bottom = 70, _WIDTH - 230, _TITLE + _PLOT
    decades = max(1, math.ceil(math.log10(max(x for x, _ in points))))
    top_value = _round_up(max(y for _, y in points))

    def place(x: float, y: float) -> tuple[float, float]:
        return left + math.log10(max(x, 1)) / decades * (right - left), bottom - y / top_value * _PLOT

    for step in range(5):
        value = top_value * step / 4
        _, y = place(1, value)
        yield f'<line class="g" x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield _text(left - 8, y + 4, f"{value:g}", "a", anchor="end")
    for decade in range(decades + 1):
        x, _ = place(10**decade, 0)
        yield _text(x, bottom + 18, f"{10**decade:,}", "a", anchor="middle")
    yield _text(left, bottom + 38, f"{chart.y}, by {chart.x}", "a")
    for number, (name, line) in enumerate(chart.lines.items()):
        top, colour = _TITLE + number * 22, _COLOURS[number % len(_COLOURS)]
        yield from _line([place(x, y) for x, y in line], colour)
        yield f'<rect x="{right + 24}" y="{top + 2}" width="12" height="12" fill="{colour}"/>'
        yield _text(right + 44, top + 13, name)


def _line(points: Sequence[tuple[float, float]], colour: str) -> Iterator[str]:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    yield f'<polyline class="l" points="{path}" stroke="{colour}"/>'
    yield from (f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in points)


def _round_up(value: float) -> float:
    """To 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value)) if value > 0 else 1.0
    return next(power * factor for factor in (1, 2, 5, 10) if value <= power * factor)


def _text(x: float, y: float, text: str, kind: str = "", *, anchor: str = "start") -> str:
    kinds = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{kinds}>{escape(text)}</text>'
