"""Checks of files that would load much: they run in a child, and their word arrives."""

import subprocess
import sys
import textwrap
import threading
from pathlib import Path

from sidecar.commands import client_keys
from sidecar.config_file import files

ROOT = Path(__file__).parents[3]


def alone(code: str, *arguments: str) -> str:
    """What a process without other threads prints."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_what_a_child_finds_is_found() -> None:
    code = """
    from sidecar.config_file.files import in_a_child
    print(in_a_child(lambda: "a fault"), in_a_child(lambda: None), in_a_child(lambda: "ü" * 9000)[:3])
    """
    assert alone(code).split() == ["a", "fault", "None", "üüü"]


def test_a_check_whose_child_dies_runs_here() -> None:
    code = """
    import os
    from sidecar.config_file.files import in_a_child
    mine = os.getpid()
    print(in_a_child(lambda: "here" if os.getpid() == mine else os.abort()))
    """
    assert alone(code).split() == ["here"]


def test_beside_other_threads_a_check_runs_here() -> None:
    waiting = threading.Event()
    thread = threading.Thread(target=waiting.wait)
    thread.start()
    try:
        assert files.in_a_child(lambda: threading.current_thread().name) == threading.current_thread().name
    finally:
        waiting.set()
        thread.join()


def test_a_service_that_signs_nobody_in_loads_no_cryptography(tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text(client_keys.key_set([client_keys.new_key()]))
    (tmp_path / "keys.json").chmod(0o600)
    config = tmp_path / "sidecar.toml"
    config.write_text(
        f'''
        public_url = "https://auth.wiki.net"
        client.keys_file = "keys.json"
        session.cookie_secrets = ["{"s" * 40}"]
        '''
    )
    code = """
    import sys
    from pathlib import Path
    from sidecar.app import Sidecar
    from sidecar.config_file import inputs
    from sidecar.process import serve
    given = inputs.read(Path(sys.argv[1]), {})
    Sidecar(given.settings, given.contents)
    print(*({"cryptography", "joserfc", "httpx", "dns"} & set(sys.modules)))
    """
    assert alone(code, str(config)).split() == []
