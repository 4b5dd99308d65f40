"""The tally: many refusals, few lines, bounded."""

import asyncio
import logging
from typing import Any

import pytest

from sidecar.check.tally import Tally

log = logging.getLogger("sidecar")
DID = "did:plc:ewvi7nxzyoun6zhxrhs64oiz"
SESSION = "0123456789abcdef0123456789abcdef"


@pytest.fixture(autouse=True)
def at_info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "sidecar")


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    names = ("event", "app", "reason", "did", "session", "count")
    found = [{n: vars(record)[n] for n in names if n in vars(record)} for record in caplog.records]
    assert all(line.pop("event") == "check_refused" for line in found)
    caplog.clear()
    return found


def test_refusals_of_one_session_by_one_app_for_one_reason_are_one_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tally = Tally(log)
    for _ in range(3):
        tally.refused("wiki", "not_allowed", DID, SESSION)
    tally.refused("wiki", "denied", DID, SESSION)
    tally.flush()
    expected = {"app": "wiki", "did": DID, "session": "01234567"}
    assert lines(caplog) == [
        {**expected, "reason": "not_allowed", "count": 3},
        {**expected, "reason": "denied", "count": 1},
    ]


def test_the_line_shows_too_little_of_a_session_id_to_use_it(caplog: pytest.LogCaptureFixture) -> None:
    tally = Tally(log)
    tally.refused("wiki", "not_allowed", DID, SESSION)
    tally.flush()
    assert lines(caplog)[0]["session"] == SESSION[:8]


def test_missing_and_forged_cookies_are_one_total_each(caplog: pytest.LogCaptureFixture) -> None:
    tally = Tally(log)
    for _ in range(5):
        tally.missing("wiki")
    tally.forged("wiki")
    tally.flush()
    assert lines(caplog) == [
        {"reason": "missing_cookie", "count": 5},
        {"reason": "forged_cookie", "count": 1},
    ]


def test_what_is_not_known_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    tally = Tally(log)
    tally.refused("", "unknown_host", "", "")
    tally.flush()
    assert lines(caplog) == [{"reason": "unknown_host", "count": 1}]


def test_past_the_bound_the_new_are_one_total_and_the_known_go_on(caplog: pytest.LogCaptureFixture) -> None:
    tally = Tally(log, max_entries=2)
    for number in range(10):
        tally.refused("wiki", "not_allowed", f"did:web:{number}.net", SESSION)
    tally.refused("wiki", "not_allowed", "did:web:0.net", SESSION)
    tally.flush()
    assert [(line.get("did"), line["count"]) for line in lines(caplog)] == [
        ("did:web:0.net", 2),
        ("did:web:1.net", 1),
        (None, 8),
    ]


def test_a_minute_without_refusals_writes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    tally = Tally(log)
    tally.missing("wiki")
    tally.flush()
    lines(caplog)
    tally.flush()
    assert lines(caplog) == []


class Seen(logging.Handler):
    """Tells that something was written."""

    def __init__(self) -> None:
        super().__init__()
        self.event = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.event.set()


async def test_it_writes_by_itself_once_every_interval() -> None:
    tally, seen = Tally(log, interval=0.001), Seen()
    log.addHandler(seen)
    try:
        await tally.start()
        tally.missing("wiki")
        await seen.event.wait()
    finally:
        log.removeHandler(seen)
        await tally.stop()


async def test_stopping_writes_the_rest(caplog: pytest.LogCaptureFixture) -> None:
    tally = Tally(log, interval=3600)
    await tally.start()
    tally.forged("wiki")
    await tally.stop()
    assert lines(caplog) == [{"reason": "forged_cookie", "count": 1}]
    await tally.stop()
