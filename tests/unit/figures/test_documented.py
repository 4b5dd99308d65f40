"""Every figure is on its page, and alert rules name only figures that there are."""

import re
from pathlib import Path

import pytest

from sidecar.figures.counters import FIGURES

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/metrics.md").read_text("utf-8")
RULES = (ROOT / "config/alerts.yaml").read_text("utf-8")
SHOWN = {f"sidecar_{name}" + ("_total" if each.kind == "counter" else "") for name, each in FIGURES.items()}


@pytest.mark.parametrize("name", sorted(FIGURES))
def test_a_figure_has_a_row_with_its_kind_labels_and_meaning(name: str) -> None:
    figure = FIGURES[name]
    full = f"sidecar_{name}" + ("_total" if figure.kind == "counter" else "")
    labels = ", ".join(f"`{label}`" for label in figure.labels) or "—"
    assert f"| `{full}` | {figure.kind} | {labels} | {figure.about} |" in PAGE


def test_the_page_and_the_alert_rules_name_no_other_figure() -> None:
    named = set(re.findall(r"\bsidecar_[a-z_]+", PAGE + RULES))
    assert named - SHOWN == {"sidecar_build_info"}
