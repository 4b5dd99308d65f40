"""What is written down."""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

from bench.figures import amount, estimate
from bench.report import Report, markdown, write
from bench.results import Bar, Columns, Lines, Section, Table

NGINX = estimate([10.0, 11.0, 12.0])
SECTION = Section(
    "One check",
    [
        Table(
            "Over tcp", ("server", "CPU µs"), [["nginx", estimate([10.0, 11.0, 12.0])], ["njs", "not there"]]
        )
    ],
    [
        Bar("warm against ASGI", estimate([0.5, 0.51, 0.52]), 0.6),
        Bar("memory", amount(61.0), 60.0, unit="MB"),
    ],
    [
        Columns("One check <over> tcp", "µs", {"nginx": NGINX}),
        Lines("Growth", "how many", "µs", {"apps": [(1, 30.0), (1000, 31.0)]}),
    ],
    ["A note."],
)
REPORT = Report("latest", "2026-11-23 15:00 UTC", 12.3, {"kernel": "6.1"}, [SECTION])


def test_every_bar_has_its_verdict() -> None:
    text = markdown(REPORT)
    assert "| warm against ASGI | 0.51 | 0.49 to 0.54 | ≤ 0.60 | met |" in text
    assert "| memory | 61.0 MB |  | ≤ 60.0 MB | not met |" in text


def test_a_peer_that_is_not_there_is_listed_as_such() -> None:
    text = markdown(REPORT)
    assert "| nginx | 11.0 (10.0 to 12.0) |" in text
    assert "| njs | not there |" in text


def test_what_went_wrong_is_said() -> None:
    report = Report("quick", "now", 1.0, {}, [], ["growth: broken off"])
    assert "**growth: broken off**" in markdown(report)
    assert "too short to judge by" in markdown(report)


def test_table_json_and_chart_are_written(tmp_path: Path) -> None:
    paths = write(REPORT, tmp_path / "results")
    assert [path.name for path in paths] == ["latest.md", "latest.json", "latest.svg"]
    found = json.loads(paths[1].read_text())
    assert [bar["verdict"] for bar in found["bars"]] == ["met", "not met"]
    drawing = ET.fromstring(paths[2].read_text())
    words = [element.text for element in drawing.iter("{http://www.w3.org/2000/svg}text")]
    assert {"One check <over> tcp", "nginx", "11.0", "apps", "1,000"} <= set(words)


def test_a_run_without_charts_is_still_a_drawing(tmp_path: Path) -> None:
    paths = write(Report("quick", "now", 1.0, {}, []), tmp_path)
    ET.fromstring(paths[2].read_text())
