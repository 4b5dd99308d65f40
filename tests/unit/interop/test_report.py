"""docs/interop.md: what is written, and that it can be read back."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.interop import report
from tests.interop.report import Report, Row

ROW = Row(
    "@atproto/pds", "0.5.35", "2026-11-26", "yes", "yes", "yes", "yes", "yes", "took the new key at once"
)
OTHER = replace(ROW, server="pds.example.net", version="2.0", keys="not tried: no keys", note="by hand")
REPORT = Report("atproto-sidecar 0.1.0, Caddy v2.11.7", [ROW, OTHER])


def test_a_page_is_read_back_as_it_was_written() -> None:
    assert report.read(report.markdown(REPORT)) == REPORT


def test_the_page_in_docs_is_as_the_script_writes_it_and_has_two_releases_at_least() -> None:
    found = report.read(report.PAGE.read_text("utf-8"))
    assert len({row.version for row in found.rows if row.server == "@atproto/pds"}) >= 2


def test_a_page_that_somebody_edited_is_refused() -> None:
    with pytest.raises(ValueError, match="make interop"):
        report.read(report.markdown(REPORT).replace("# Servers", "# All servers"))


def test_a_run_by_hand_changes_its_own_row_alone(tmp_path: Path) -> None:
    page = tmp_path / "interop.md"
    report.write(REPORT, page)
    again = replace(OTHER, by_handle="no: access_denied")
    report.write(report.read(page.read_text()).with_row(again), page)
    assert report.read(page.read_text()).rows == [ROW, again]


def test_a_server_that_is_new_comes_last() -> None:
    assert REPORT.with_row(replace(OTHER, version="3.0")).rows[2].version == "3.0"


@pytest.mark.parametrize(
    "said", ["a | b", "two\nlines", "<script>", "[a](https://x.test)", "`code`", "\u202eturned", "end\\"]
)
def test_a_servers_words_stay_text_in_their_cell(said: str) -> None:
    text = report.markdown(replace(REPORT, rows=[replace(ROW, by_did=f"no: {said}"), OTHER]))
    (line,) = [line for line in text.splitlines() if line.startswith("| @atproto/pds | 0.5.35")]
    assert line.count("|") == report.markdown(REPORT).splitlines()[8].count("|")
    assert not set("<>[]`\\\u202e") & set(line)
    assert report.read(text).rows[0].by_did.startswith("no: ")


def test_only_a_no_is_a_fault() -> None:
    assert not ROW.faulty
    assert not OTHER.faulty
    assert replace(ROW, nonces="no: client_refused").faulty
