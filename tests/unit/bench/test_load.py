"""What h2load says, and that nothing wrong is counted."""

from pathlib import Path

import pytest

from bench import load
from bench.load import WrongAnswersError
from bench.request import check
from bench.wire import Address

SAID = """\
starting benchmark...
progress: 100% done

finished in {seconds}, 92371.41 req/s, 14.27MB/s
requests: {count} total, {count} started, {count} done, {count} succeeded, 0 failed, 0 errored, 0 timeout
status codes: {s2} 2xx, {s3} 3xx, {s4} 4xx, {s5} 5xx
traffic: 7.72MB ({traffic}) total, 5.67MB (5950000) headers (space savings 0.00%), 0B (0) data
"""


def said(
    *, count: int = 10, s2: int = 10, s3: int = 0, s4: int = 0, traffic: int = 1620, seconds: str = "2.00ms"
) -> str:
    return SAID.format(count=count, s2=s2, s3=s3, s4=s4, s5=0, traffic=traffic, seconds=seconds)


def h2load(monkeypatch: pytest.MonkeyPatch, text: str, statuses: list[int]) -> None:
    """Let h2load say this, and log these statuses."""

    def stand_in(_address: Address, _request: object, _count: int, _connections: int, log: Path) -> str:
        lines = [f"1795445844377509\t{status}\t{number * 100}" for number, status in enumerate(statuses, 1)]
        log.write_text("\n".join(["", *lines]) + "\n")
        return text

    monkeypatch.setattr(load, "_h2load", stand_in)


def run(status: int = 200) -> load.Load:
    return load.repeat(
        Address(port=1), check("notes.bench.internal"), 10, connections=2, status=status, length=162
    )


def test_a_load_of_right_answers_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    h2load(monkeypatch, said(), [200] * 10)
    found = run()
    assert (found.requests, found.wrong, found.reply_length, found.seconds) == (10, 0, 162, 0.002)
    assert [found.p50, found.p99] == pytest.approx([5e-4, 1e-3])


@pytest.mark.parametrize(
    ("text", "statuses"),
    [
        pytest.param(said(s2=9, s4=1), [200] * 9 + [403], id="one refused"),
        pytest.param(said(s2=9, s3=1), [200] * 10, id="one redirected, by the summary alone"),
        pytest.param(said(count=9, s2=9, traffic=1458), [200] * 9, id="one missing"),
        pytest.param(said(traffic=1621), [200] * 10, id="one longer"),
        pytest.param(said(), [200] * 9 + [204], id="another status of the same kind"),
        pytest.param("h2load: no such option", [], id="no report"),
    ],
)
def test_a_wrong_answer_spoils_the_load(
    monkeypatch: pytest.MonkeyPatch, text: str, statuses: list[int]
) -> None:
    h2load(monkeypatch, text, statuses)
    with pytest.raises(WrongAnswersError):
        run()


@pytest.mark.parametrize(("text", "seconds"), [("550.58ms", 0.55058), ("1.50s", 1.5), ("99us", 99e-6)])
def test_times_are_read_in_every_unit(monkeypatch: pytest.MonkeyPatch, text: str, seconds: float) -> None:
    h2load(monkeypatch, said(seconds=text), [200] * 10)
    assert run().seconds == pytest.approx(seconds)


def test_a_task_puts_cookies_where_the_one_in_the_request_is() -> None:
    request = check("notes.bench.internal", "session=" + "a" * 200)
    work = load.task(
        Address(path=Path("/run/s")),
        request,
        place="session=" + "a" * 200,
        cookies=Path("cookies"),
        count=5,
        connections=1,
        status=200,
    )
    assert work.head.endswith("Cookie: theme=dark; ")
    assert work.tail.startswith("; visitor=")
    assert (work.head + "session=" + "a" * 200 + work.tail).encode() == request.raw()
