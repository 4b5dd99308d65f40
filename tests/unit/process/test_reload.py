"""A new configuration while the service runs: all follow it or none, also on connections that are open."""

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sidecar.commands import cli
from sidecar.config_file import inputs, reader
from sidecar.config_file.inputs import Contents, Inputs
from sidecar.errors import ConfigError
from sidecar.figures.counters import Snapshot
from sidecar.process import control
from sidecar.process.reload import Reload
from sidecar.process.watch import Watch
from sidecar.sessions.cookie import Session
from sidecar.settings import Limits, Server, Settings, StoreSettings
from tests.fakes.as_user import NOBODY_ELSE, make_reachable, run_as
from tests.fakes.running import ALICE, BOB, Connection, Run, children, cookie, write_set

OTHER_SECRET = "t" * 40


async def started(run: Run, folder: Path, workers: int, allow: Sequence[str] = (ALICE,)) -> Path:
    config = write_set(folder, workers=workers, allow=tuple(allow))
    await run.start_real(config)
    for _ in range(workers):
        await run.says(" worker_serves " if workers > 1 else " started ")
    return config


async def reload(config: Path) -> int:
    return await asyncio.to_thread(cli.main, ["reload", "--config", str(config)])


async def everywhere(run: Run, cookie: str) -> set[int]:
    """What new connections are answered: enough of them for every worker to be among those that answer."""
    found = set()
    for _ in range(20):
        async with Connection(run.socket) as connection:
            found.add(await connection.check(cookie))
    return found


@pytest.mark.parametrize("workers", [1, 3])
async def test_a_reload_changes_rules_and_secrets_on_connections_that_are_open(
    run: Run, tmp_path: Path, workers: int, capsys: pytest.CaptureFixture[str]
) -> None:
    config = await started(run, tmp_path, workers)
    alice, bob = cookie(config, ALICE), cookie(config, BOB)
    async with Connection(run.socket) as one, Connection(run.socket) as other:
        assert [await each.check(alice) for each in (one, one, one, other)] == [200] * 4
        assert [await each.check(bob) for each in (one, other)] == [403] * 2
        write_set(tmp_path, workers=workers, allow=(BOB,))
        assert await reload(config) == cli.OK
        assert [await each.check(alice) for each in (one, other)] == [403] * 2
        assert [await each.check(bob) for each in (one, other)] == [200] * 2
        assert await everywhere(run, bob) == {200}
        write_set(tmp_path, workers=workers, allow=(BOB,), secret=OTHER_SECRET)
        assert await reload(config) == cli.OK
        assert [await each.check(bob) for each in (one, other)] == [401] * 2
        assert await one.check(cookie(config, BOB)) == 200
    assert await everywhere(run, bob) == {401}
    assert "in every worker" in capsys.readouterr().err
    assert await run.stop() == 0
    assert not (tmp_path / "sidecar.db.control").exists()


def break_config(folder: Path) -> None:
    config = folder / "sidecar.toml"
    config.write_text(config.read_text().replace("hosts =", "host =").replace('allow = ["', 'allow = ["@'))


def break_secrets(folder: Path) -> None:
    (folder / "secrets.txt").write_text("short\n")


def break_keys(folder: Path) -> None:
    (folder / "keys.json").write_text("nonsense")


def break_template(folder: Path) -> None:
    (folder / "pages/sign_in.html").write_text("{% if %}")


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (break_config, ["apps.wiki.host: no such setting", "apps.wiki.hosts: missing"]),
        (break_secrets, ["session.cookie_secrets_file"]),
        (break_keys, ["client.keys_file"]),
        (break_template, ["sign_in.html"]),
    ],
)
@pytest.mark.parametrize("workers", [1, 2])
async def test_a_faulty_set_is_refused_whole(
    run: Run,
    tmp_path: Path,
    broken: Any,
    said: list[str],
    workers: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = await started(run, tmp_path, workers)
    alice, bob = cookie(config, ALICE), cookie(config, BOB)
    write_set(tmp_path, workers=workers, allow=(BOB,))
    broken(tmp_path)
    assert await reload(config) == cli.FAULTY_CONFIG
    terminal = capsys.readouterr().err
    assert "nothing has changed" in terminal
    for text in said:
        assert text in terminal
        assert "reload_refused" in await run.says(text)
    assert await everywhere(run, alice) == {200}
    assert await everywhere(run, bob) == {403}
    assert await run.stop() == 0


async def test_a_file_that_is_no_toml_changes_nothing(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = await started(run, tmp_path, 1)
    alice = cookie(config, ALICE)
    config.write_text("public_url = \n")
    assert await reload(config) == cli.FAULTY_CONFIG
    assert "not TOML" in capsys.readouterr().err
    run.process.send_signal(signal.SIGHUP)
    assert "not TOML" in await run.says("reload_refused")
    assert await everywhere(run, alice) == {200}


@pytest.mark.parametrize("workers", [1, 2])
async def test_sighup_reloads_and_ends_nobody(run: Run, tmp_path: Path, workers: int) -> None:
    config = await started(run, tmp_path, workers)
    bob = cookie(config, BOB)
    assert await everywhere(run, bob) == {403}
    write_set(tmp_path, workers=workers, allow=(BOB,))
    run.process.send_signal(signal.SIGHUP)
    assert "why=SIGHUP" in await run.says(" reloaded ")
    assert await everywhere(run, bob) == {200}
    for child in children(run.process.pid):
        os.kill(child, signal.SIGHUP)  # as a terminal does, which signals every process
    assert await everywhere(run, bob) == {200}
    assert await run.stop() == 0


async def test_a_worker_that_starts_later_follows_the_last_reload(run: Run, tmp_path: Path) -> None:
    config = await started(run, tmp_path, 2)
    bob = cookie(config, BOB)
    write_set(tmp_path, workers=2, allow=(BOB,))
    assert await reload(config) == cli.OK
    write_set(tmp_path, workers=2)  # a later edit that nobody has reloaded
    for child in children(run.process.pid):
        os.kill(child, signal.SIGKILL)
        await run.says(" worker_serves ")
    assert await everywhere(run, bob) == {200}
    assert await run.stop() == 0


@pytest.mark.parametrize("times", [1, 3])
async def test_a_worker_that_was_starting_during_a_reload_follows_it_too(
    run: Run, tmp_path: Path, times: int
) -> None:
    config = await started(run, tmp_path, 2)
    alice, bob = cookie(config, ALICE), cookie(config, BOB)
    os.kill(children(run.process.pid)[0], signal.SIGKILL)
    await run.says(" worker_ended ")  # another one is starting now
    for number in range(times):
        write_set(tmp_path, workers=2, allow=(BOB,) if number % 2 == 0 else (ALICE,))
        assert await reload(config) == cli.OK
    await run.says(" worker_serves ")
    assert await everywhere(run, bob) == {200}
    assert await everywhere(run, alice) == {403}
    assert await run.stop() == 0


async def test_what_needs_a_restart_is_named_and_the_rest_applies(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = await started(run, tmp_path, 1)
    bob = cookie(config, BOB)
    write_set(tmp_path, workers=4, allow=(BOB,))
    assert await reload(config) == cli.OK
    assert "restart the sidecar, since a reload can't change server.workers" in capsys.readouterr().err
    assert "waiting_for_restart=server.workers" in await run.says(" reloaded ")
    assert await everywhere(run, bob) == {200}


async def test_reload_says_when_no_service_runs_and_makes_no_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_set(tmp_path, workers=1)
    before = sorted(tmp_path.iterdir())
    assert await reload(config) == cli.FAILED
    assert "no sidecar runs here" in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before


async def test_the_control_socket_is_for_its_owner_only(run: Run, tmp_path: Path) -> None:
    await started(run, tmp_path, 1)
    path = tmp_path / "sidecar.db.control"
    assert path.stat().st_mode & 0o777 == 0o600
    answer = control.ask(path, "reload")
    assert answer["faults"] == []
    with pytest.raises(ValueError, match="doesn't know the command"):
        control.ask(path, "open-sesame")
    for nonsense in (b"\n", b"[]\n", b"{\n", b"x" * 100, b""):
        with closing(socket.socket(socket.AF_UNIX)) as connection:
            connection.connect(str(path))
            connection.sendall(nonsense)
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(100) == b""
    assert control.ask(path, "reload")["faults"] == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
async def test_another_user_is_refused_even_with_a_mode_that_lets_them_in(run: Run, tmp_path: Path) -> None:
    await started(run, tmp_path, 1)
    path = tmp_path / "sidecar.db.control"
    path.chmod(0o666)
    make_reachable(tmp_path)

    def ask() -> int:
        control.ask(path, "reload")
        return 0

    code, said = await asyncio.to_thread(run_as, NOBODY_ELSE, ask)
    assert code != 0
    assert "only root and the user of the service" in said
    assert (await asyncio.to_thread(control.ask, path, "reload"))["faults"] == []


class Fakes:
    """Workers in memory. `faults`: what the next `prepare` says."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self.prepared: Inputs | None = None
        self.active: Inputs | None = None

    def prepare(self, inputs: Inputs) -> list[str]:
        self.prepared = inputs
        return self.faults

    def switch(self) -> None:
        self.active, self.prepared = self.prepared, None

    def drop(self) -> None:
        self.prepared = None

    def end(self, did: str) -> list[str]:
        return [did]

    def ended(self, session: Session) -> bool | None:
        return session is None

    def figures(self) -> Snapshot:
        return {}


def made(**own: Any) -> Inputs:
    return Inputs(Settings(public_url="https://auth.wiki.net", **own), Contents("", {}))


def test_if_one_worker_cannot_follow_none_does() -> None:
    workers = Fakes()
    old = made()
    reload = Reload(old, lambda _: made(prefix="/auth"), workers)
    workers.faults = ["no room"]
    assert reload.reload("test").faults == ["no room"]
    assert (workers.active, workers.prepared, reload.inputs) == (None, None, old)


def test_a_bug_while_reading_changes_nothing_and_says_so() -> None:
    def broken(_: tuple[str, ...]) -> Inputs:
        raise RuntimeError("broken on purpose")

    workers = Fakes()
    reload = Reload(made(), broken, workers)
    assert "broken on purpose" in reload.reload("test").faults[0]
    assert workers.active is None


def test_what_the_process_is_built_on_keeps_its_value_until_a_restart() -> None:
    workers = Fakes()
    old = made()
    new = made(
        prefix="/door",
        server=Server(listen="127.0.0.1:1", workers=9),
        store=StoreSettings(path=Path("/elsewhere")),
        limits=Limits(pending_sign_ins=11, attempts_per_address=12),
    )
    outcome = Reload(old, lambda _: new, workers).reload("test")
    assert outcome.waiting == [
        "prefix", "server.listen", "server.workers", "store.path", "limits.pending_sign_ins"
    ]  # fmt: skip
    assert workers.active is not None
    kept = workers.active.settings
    assert (kept.prefix, kept.server, kept.store) == ("/auth", old.settings.server, old.settings.store)
    assert kept.limits == replace(old.settings.limits, attempts_per_address=12)


def test_secrets_that_were_made_up_for_this_run_outlive_a_reload(tmp_path: Path) -> None:
    config = tmp_path / "sidecar.toml"
    config.write_text('public_url = "http://127.0.0.1:8080"\n[store]\nkind = "memory"\n')
    first = inputs.read(config, {})
    again = inputs.read(config, {}, made_up=first.settings.session.cookie_secrets)
    assert again.settings.session.cookie_secrets == first.settings.session.cookie_secrets


def test_keys_that_went_away_between_two_looks_are_a_fault(tmp_path: Path) -> None:
    settings = reader.load(write_set(tmp_path, workers=1), {})
    (tmp_path / "keys.json").unlink()
    with pytest.raises(ConfigError):
        inputs.contents(settings)


def test_a_file_that_changes_is_noticed_and_one_that_stays_is_not(tmp_path: Path) -> None:
    path = tmp_path / "family.txt"
    changes = threading.Semaphore(0)
    files = [path]
    watch = Watch(lambda: files, changes.release, every=0.01)
    watch.start()
    try:
        assert not changes.acquire(timeout=0.2)
        path.write_text("a.example.org\n")
        assert changes.acquire(timeout=30)
        assert not changes.acquire(timeout=0.2)
        path.unlink()
        assert changes.acquire(timeout=30)
        files.append(tmp_path)  # named by a new configuration
        assert changes.acquire(timeout=30)
    finally:
        watch.stop()


async def test_deny_by_command_ends_sessions_that_stand_open_in_every_worker(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "family.txt").write_text(f"{ALICE}\n{BOB}\n")
    config = write_set(tmp_path, workers=2, allow=("@family",))
    with config.open("a") as file:
        file.write(
            '[groups]\nfamily = { file = "family.txt" }\n[identity]\nplc_url = "https://127.0.0.1:1"\n'
        )
    await run.start_real(config)
    for _ in range(2):
        await run.says(" worker_serves ")
    alice, bob = cookie(config, ALICE), cookie(config, BOB)
    async with Connection(run.socket) as open_one:
        assert [await open_one.check(each) for each in (alice, bob)] == [200, 200]
        code = await asyncio.to_thread(cli.main, ["deny", BOB, "@family", "--config", str(config)])
        assert code == cli.OK
        told = capsys.readouterr()
        assert f"ended every session of {BOB}" in told.err
        assert f"wiki: refuses {BOB}" in told.out
        assert "sessions_ended" in await run.says("sessions_ended")
        assert await open_one.check(alice) == 200
        code = await asyncio.to_thread(cli.main, ["allow", BOB, "@family", "--config", str(config)])
        assert code == cli.OK
        await asyncio.sleep(2)  # the other worker follows within this time
        assert await everywhere(run, bob) == {401}  # let in again, but that session is over
    assert await everywhere(run, cookie(config, BOB)) == {200}
    assert await run.stop() == 0
