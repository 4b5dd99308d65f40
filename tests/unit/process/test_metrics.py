"""Figures of a service that runs: right with one worker and with several, also after one has died."""

import asyncio
import os
import signal
import socket
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sidecar.commands import cli
from sidecar.config_file import reader
from sidecar.errors import ConfigError
from tests.fakes.running import ALICE, BOB, Connection, Run, children, cookie, write_set

TOKEN = "0123456789abcdef"


def with_metrics(folder: Path, workers: int, lines: str) -> Path:
    config = write_set(folder, workers=workers, allow=(ALICE,))
    config.write_text(config.read_text() + f"[metrics]\n{lines}\n")
    return config


async def started(run: Run, config: Path, workers: int) -> None:
    await run.start_real(config)
    for _ in range(workers):
        await run.says(" worker_serves " if workers > 1 else " started ")


def read(path: Path, *headers: str, target: str = "/metrics") -> tuple[int, str]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        lines = [f"GET {target} HTTP/1.1", "Host: x", *headers, "", ""]
        connection.sendall("\r\n".join(lines).encode())
        answer = b""
        while more := connection.recv(65536):
            answer += more
    head, _, body = answer.decode().partition("\r\n\r\n")
    return int(head.split()[1]), body


def figures(path: Path) -> dict[str, float]:
    """Every sample, by name and labels."""
    status, body = read(path)
    assert status == 200
    return {
        sample.name + "".join(f",{value}" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(body)
        for sample in family.samples
    }


@pytest.mark.parametrize("workers", [1, 2])
async def test_checks_are_counted_by_app_and_outcome(run: Run, tmp_path: Path, workers: int) -> None:
    path = tmp_path / "m"
    config = with_metrics(tmp_path, workers, f'listen = "unix:{path}"')
    await started(run, config, workers)
    alice, bob = cookie(config, ALICE), cookie(config, BOB)
    for _ in range(10):  # spread over the workers
        async with Connection(run.socket) as connection:
            assert [await connection.check(alice) for _ in range(3)] == [200] * 3
            assert await connection.check(bob) == 403
            assert await connection.check("other=1") == 401
            assert await connection.check(alice[:-1] + "!") == 401
    found = await asyncio.to_thread(figures, path)
    assert found["sidecar_checks_total,wiki,allowed"] == 30
    assert found["sidecar_checks_total,wiki,not_allowed"] == 10
    assert found["sidecar_checks_total,wiki,missing_cookie"] == 10
    assert found["sidecar_checks_total,wiki,forged_cookie"] == 10
    assert found["sidecar_workers"] == workers
    assert 0 <= found["sidecar_feed_age_seconds"] < 60
    assert found["sidecar_log_lines_dropped_total"] == 0
    assert any(name.startswith("sidecar_build_info") for name in found)
    assert path.stat().st_mode & 0o777 == 0o660
    assert await run.stop() == 0
    assert not path.exists()


async def test_a_counter_never_falls_when_a_worker_dies(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "m"
    config = with_metrics(tmp_path, 2, f'listen = "unix:{path}"')
    await started(run, config, 2)
    alice = cookie(config, ALICE)
    for _ in range(10):
        async with Connection(run.socket) as connection:
            assert await connection.check(alice) == 200
    assert (await asyncio.to_thread(figures, path))["sidecar_checks_total,wiki,allowed"] == 10
    for child in children(run.process.pid):
        os.kill(child, signal.SIGKILL)
        await run.says(" worker_serves ")
    found = await asyncio.to_thread(figures, path)
    assert (found["sidecar_checks_total,wiki,allowed"], found["sidecar_workers"]) == (10, 2)
    assert await run.stop() == 0


async def test_a_token_is_asked_for_if_one_is_set(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "m"
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    (tmp_path / "token").chmod(0o600)
    config = with_metrics(tmp_path, 1, f'listen = "unix:{path}"\ntoken_file = "token"')
    await started(run, config, 1)
    wrong = ["", f"Authorization: Bearer {TOKEN}x", f"Authorization: {TOKEN}", "Authorization: Bearer é"]
    for header in wrong:
        status, body = await asyncio.to_thread(read, path, *([header] if header else []))
        assert (status, "sidecar_" in body) == (401, False)
    right = f"Authorization: Bearer {TOKEN}"
    assert (await asyncio.to_thread(read, path, right))[0] == 200
    status, _ = await asyncio.to_thread(lambda: read(path, right, target="/auth/check"))
    assert status == 404


async def test_an_address_that_is_taken_is_one_line_and_the_end(run: Run, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        config = with_metrics(tmp_path, 1, f'listen = "127.0.0.1:{taken.getsockname()[1]}"')
        await run.start_real(config)
        assert "in use" in await run.says("metrics.listen")
        assert await run.ended() == cli.FAILED
    assert not run.socket.exists()


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('listen = "0.0.0.0:9182"', "metrics.token_file: missing, and others can reach"),
        ('listen = "[::]:9182"', "metrics.token_file: missing"),
        ('listen = "127.0.0.1:9182"\ntoken_file = "short"', "needs one word of 16 characters"),
        ('listen = "127.0.0.1:9182"\ntoken_file = "nowhere"', "metrics.token_file"),
        ('listen = "0.0.0.0:9182"\ntoken_file = "open"', "others may read it"),
        ('listen = "unix:{folder}/s"', "the same as server.listen"),
        ('listen = "9182"', "metrics.listen: must be an address"),
    ],
)
def test_what_would_show_figures_to_others_is_a_fault(tmp_path: Path, lines: str, said: str) -> None:
    for name, text, mode in (("short", "abc", 0o600), ("open", TOKEN, 0o644)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(mode)
    config = with_metrics(tmp_path, 1, lines.replace("{folder}", str(tmp_path)))
    with pytest.raises(ConfigError) as raised:
        reader.load(config, {})
    assert [fault for fault in raised.value.faults if said in fault]


def test_metrics_are_off_and_not_loaded_unless_they_are_wanted(tmp_path: Path) -> None:
    assert reader.load(write_set(tmp_path, workers=1), {}).metrics.listen == ""
