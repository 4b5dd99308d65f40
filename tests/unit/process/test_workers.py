"""Several workers: one that can't start ends none of the others, and all of them end with their parent."""

import asyncio
import fcntl
import os
import signal
import socket
from pathlib import Path

import pytest

from tests.fakes.running import Run, children, write_set


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


async def until(condition: object) -> None:
    while not condition():  # type: ignore[operator]
        await asyncio.sleep(0.05)


async def test_workers_end_with_a_parent_that_was_killed_and_the_address_is_free(run: Run) -> None:
    await run.start(workers=2)
    for _ in range(2):
        await run.says(" worker_serves ")
    workers = children(run.process.pid)
    assert len(workers) == 2
    run.process.kill()
    await run.process.wait()
    await until(lambda: not any(alive(worker) for worker in workers))
    await until(lambda: not listens(run.socket))  # a zombie's last threads may hold it for a moment
    await run.start(workers=2)
    for _ in range(2):
        await run.says(" worker_serves ")
    assert (await run.ask()).startswith("HTTP/1.1 200")
    assert await run.stop() == 0


async def test_a_worker_that_is_busy_ends_with_its_parent_too(run: Run) -> None:
    await run.start(workers=2, STOP_TIMEOUT="1")
    for _ in range(2):
        await run.says(" worker_serves ")
    workers = children(run.process.pid)
    asking = asyncio.create_task(run.ask("/slow"))
    await run.says("slow begun")
    run.process.kill()
    await run.process.wait()
    await until(lambda: not any(alive(worker) for worker in workers))
    with pytest.raises((AssertionError, OSError)):
        assert (await asking).startswith("HTTP/1.1 200")


async def test_a_worker_that_cannot_start_leaves_the_others_and_is_tried_again(
    run: Run, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    await run.start(workers=2, FAIL=str(broken))
    for _ in range(2):
        await run.says(" worker_serves ")
    broken.touch()
    first, second = children(run.process.pid)
    os.kill(first, signal.SIGKILL)
    await run.says("worker_ended")
    assert "again_in=1.0" in await run.says("worker_not_started")
    assert "again_in=2.0" in await run.says("worker_not_started")
    assert (await run.ask()).startswith("HTTP/1.1 200")
    assert alive(second)
    broken.unlink()
    await run.says(" worker_serves ")
    assert (await run.ask()).startswith("HTTP/1.1 200")
    assert len(children(run.process.pid)) == 2
    assert await run.stop() == 0


def break_config(folder: Path) -> None:
    (folder / "sidecar.toml").write_text("public_url = \n")


def break_secrets(folder: Path) -> None:
    (folder / "secrets.txt").write_text("short\n")


def break_keys(folder: Path) -> None:
    (folder / "keys.json").write_text("nonsense")


def break_template(folder: Path) -> None:
    (folder / "pages/sign_in.html").write_text("{% if %}")


@pytest.mark.parametrize("broken", [break_config, break_secrets, break_keys, break_template])
async def test_files_broken_while_it_runs_take_no_healthy_worker_down(
    run: Run, tmp_path: Path, broken: object
) -> None:
    write_set(tmp_path, workers=3)
    await run.start_real(tmp_path / "sidecar.toml")
    for _ in range(3):
        await run.says(" worker_serves ")
    broken(tmp_path)  # type: ignore[operator] # one of the four above
    first, *others = children(run.process.pid)
    os.kill(first, signal.SIGKILL)
    await run.says("worker_ended")
    line = await run.says("")
    while "worker_not_started" not in line and "worker_serves" not in line:
        line = await run.says("")
    assert all(alive(other) for other in others)
    assert "worker_serves" in line  # with what the parent has read
    assert (await run.ask("/auth/healthz")).startswith("HTTP/1.1 200")
    assert await run.stop() == 0


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_log_that_nobody_reads_stops_neither_answers_nor_the_end(run: Run, workers: int) -> None:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    try:
        await run.start(workers=workers, stderr=writer)
        while not run.socket.exists():
            await asyncio.sleep(0.05)
        for _ in range(8):  # 2.4 MB
            assert (await run.ask("/log?300")).startswith("HTTP/1.1 200")
        assert await run.stop() == 0
    finally:
        os.close(reader)
        os.close(writer)
