"""Serving: a real process, asked over its socket and told to stop."""

import asyncio
import gc
import os
import pickle
import signal
from pathlib import Path
from typing import Any

import pytest
from uvicorn.config import STARTUP_FAILURE

from sidecar import app
from sidecar.config_file.inputs import Contents, Inputs
from sidecar.process import serve
from sidecar.process.orders import Serving
from sidecar.settings import App, Server, Session, Settings, StoreSettings
from tests.fakes.running import Run


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
async def test_it_answers_and_stops_cleanly_when_told(run: Run, by: int) -> None:
    await run.start()
    await run.says(" listening ")
    answer = await run.ask()
    assert answer.startswith("HTTP/1.1 200")
    assert f"{run.process.pid} None http://127.0.0.1:8080" in answer
    assert "server:" not in answer.lower()
    assert "date:" not in answer.lower()
    assert run.socket.stat().st_mode & 0o777 == 0o600
    assert await run.stop(by) == 0
    assert not run.socket.exists()


async def test_a_running_request_is_finished_before_the_end(run: Run) -> None:
    await run.start()
    await run.says(" listening ")
    asking = asyncio.create_task(run.ask("/slow"))
    await run.says("slow begun")
    run.process.send_signal(signal.SIGTERM)
    await run.says("Shutting down")
    assert not asking.done()
    await asyncio.to_thread(run.slow.write_bytes, b"go on")
    assert (await asking).startswith("HTTP/1.1 200")
    assert await run.ended() == 0


async def test_a_restart_that_overlaps_leaves_the_new_process_its_socket(run: Run, tmp_path: Path) -> None:
    await run.start()
    await run.says(" listening ")
    asking = asyncio.create_task(run.ask("/slow"))
    await run.says("slow begun")
    run.process.send_signal(signal.SIGTERM)
    await run.says("Shutting down")  # it listens no more, and waits for the answer
    old, held_by_old = run.process, run.slow
    run.slow = tmp_path / "slow of the new one"
    os.mkfifo(run.slow)
    await run.start()
    await run.says(" listening ")
    await asyncio.to_thread(held_by_old.write_bytes, b"go on")
    assert (await asking).startswith("HTTP/1.1 200")
    assert await old.wait() == 0
    assert (await run.ask()).startswith("HTTP/1.1 200")
    assert await run.stop() == 0
    assert not run.socket.exists()


async def test_several_workers_serve_one_socket(run: Run) -> None:
    await run.start(workers=2)
    for _ in range(2):
        await run.says("Started server process")
    answers = await asyncio.gather(*(run.ask() for _ in range(4)))
    assert all(answer.startswith("HTTP/1.1 200") for answer in answers)
    assert all(answer.endswith("http://127.0.0.1:8080") for answer in answers)
    assert all(f"\r\n\r\n{run.process.pid} " not in answer for answer in answers)
    assert await run.stop() == 0
    assert not run.socket.exists()


@pytest.mark.parametrize("workers", [1, 2])
async def test_an_app_that_cannot_start_is_exit_code_1(run: Run, workers: int) -> None:
    await run.start(workers=workers, FAIL=str(Path(__file__)))
    assert await run.ended() == 1
    assert not run.socket.exists()


def test_uvicorn_runs_without_what_costs_or_harms() -> None:
    server = Server(workers=3, keep_alive=150.5, stop_timeout=20)
    inputs = Inputs(Settings(public_url="https://a.net"), Contents("", {}))
    config = serve.uvicorn_config(server, Serving(serve.worker_app, inputs).make)
    assert config.workers == 3
    assert (config.ws, config.lifespan) == ("none", "on")
    assert [config.access_log, config.proxy_headers, config.server_header, config.date_header] == [False] * 4
    assert (config.timeout_keep_alive, config.timeout_graceful_shutdown) == (151, 20)
    handed_down: Any = pickle.loads(pickle.dumps(config)).app
    assert handed_down.__self__.inputs == inputs


def test_a_worker_looks_for_garbage_rarely() -> None:
    before = gc.get_threshold()
    settings = Settings(
        public_url="http://127.0.0.1:8080",
        session=Session(cookie_secrets=("s" * 32,)),
        store=StoreSettings(kind="memory"),
    )
    try:
        serve.worker_app(Inputs(settings, Contents("", {})))
        assert gc.get_threshold() == (10_000, 20, 20)
    finally:
        gc.set_threshold(*before)


def test_a_worker_that_cannot_be_made_tells_uvicorn_not_to_try_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    session = Session(cookie_secrets=("s" * 40,))
    broken = {"wiki": App(hosts=("wiki.net",), allow=("@nobody-knows",))}
    settings = Settings(public_url="https://auth.wiki.net", session=session, apps=broken)
    with pytest.raises(SystemExit) as end:
        app.create(Inputs(settings, Contents("", {})))
    assert end.value.code == STARTUP_FAILURE
    assert "nobody-knows" in vars(caplog.records[-1])["reason"]
