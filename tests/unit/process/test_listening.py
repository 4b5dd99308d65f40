"""The listening socket: who can connect and when, what is in the way."""

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from sidecar.errors import ConfigError
from sidecar.process import listening
from sidecar.settings import Server


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s"


@pytest.fixture
def port() -> Iterator[int]:
    """A port that is taken as long as the test runs."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield taken.getsockname()[1]


def server(path: Path, mode: int = 0o660, owner: str = "") -> Server:
    return Server(listen=f"unix:{path}", socket_mode=mode, socket_owner=owner)


def fault(settings: Server) -> str:
    with pytest.raises(ConfigError) as caught:
        listening.bind(settings)
    (line,) = caught.value.faults
    return line


@pytest.mark.parametrize("mode", [0o600, 0o660, 0o666])
def test_a_unix_socket_has_its_mode_whatever_the_umask(path: Path, mode: int) -> None:
    before = os.umask(0o777)
    try:
        with closing(listening.bind(server(path, mode))):
            assert stat.S_IMODE(path.stat().st_mode) == mode
            assert os.umask(0o777) == 0o777
    finally:
        os.umask(before)


def test_nothing_can_connect_before_mode_and_owner_are_set(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    chmod = Path.chmod

    def watching(self: Path, mode: int) -> None:
        seen.append(stat.S_IMODE(self.stat().st_mode))
        with socket.socket(socket.AF_UNIX) as visitor, pytest.raises(ConnectionRefusedError):
            visitor.connect(str(self))
        chmod(self, mode)

    monkeypatch.setattr(Path, "chmod", watching)
    with closing(listening.bind(server(path))):
        assert seen == [0]


@pytest.mark.parametrize("owner", ["{user}", ":{group}", "{user}:{group}"])
def test_a_unix_socket_gets_its_owner(path: Path, owner: str) -> None:
    named = owner.format(user=os.getuid(), group=os.getgid())
    with closing(listening.bind(server(path, owner=named))):
        assert (path.stat().st_uid, path.stat().st_gid) == (os.getuid(), os.getgid())


def test_an_owner_that_does_not_exist_is_one_line_and_leaves_no_socket(path: Path) -> None:
    assert "server.socket_owner" in fault(server(path, owner=":no-such-group"))
    assert not path.exists()


def test_the_socket_of_a_killed_run_is_replaced(path: Path) -> None:
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()
    with closing(listening.bind(server(path))), socket.socket(socket.AF_UNIX) as visitor:
        visitor.connect(str(path))


def test_a_socket_in_use_is_left_alone(path: Path) -> None:
    with closing(listening.bind(server(path))):
        assert "another process listens on it; stop what is there" in fault(server(path))
        assert path.exists()


def test_a_file_that_is_no_socket_is_left_alone(path: Path) -> None:
    path.write_text("mine")
    assert "isn't a socket" in fault(server(path))
    assert path.read_text() == "mine"


def test_a_link_is_not_followed(path: Path, tmp_path: Path) -> None:
    path.symlink_to(tmp_path / "elsewhere")
    assert "isn't a socket" in fault(server(path))


def test_a_missing_folder_is_one_line(tmp_path: Path) -> None:
    assert "make its folder first" in fault(server(tmp_path / "none" / "s"))


def test_a_path_too_long_for_a_socket_is_one_line(tmp_path: Path) -> None:
    assert "too long" in fault(server(tmp_path / ("a" * 200)))


def test_a_permission_that_is_missing_is_one_line(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> socket.socket:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket, "create_server", refused)
    line = fault(Server(listen="127.0.0.1:80"))
    assert line.startswith("server.listen: 127.0.0.1:80: Permission denied; choose a port from 1024 on")


def test_a_port_in_use_is_one_line(port: int) -> None:
    line = fault(Server(listen=f"127.0.0.1:{port}"))
    assert line.startswith(f"server.listen: 127.0.0.1:{port}: ")
    assert "in use" in line
    assert line.endswith("stop what is there, or choose another address")


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_it_listens_on_the_address_it_is_given(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(listening.bind(Server(listen=f"{host}:0"))) as made:
        assert made.getsockname()[0] == host.strip("[]")
        assert made.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)


def test_only_a_unix_socket_has_a_path() -> None:
    assert Server(listen="unix:/run/s").socket_path == Path("/run/s")
    assert Server().socket_path is None


# a socket of systemd


@pytest.fixture
def third(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A listening socket in place of descriptor 3, which pytest may use itself."""
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))
        path.chmod(0o612)
        made.listen()
        handed_over = os.dup(made.fileno())
        monkeypatch.setattr(listening, "_FIRST_HANDED_OVER", handed_over)
        yield handed_over
        with suppress(OSError):
            os.close(handed_over)


def environ(**other: str) -> dict[str, str]:
    return {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1", "LISTEN_FDNAMES": "s", "HOME": "/", **other}


def test_a_socket_of_systemd_is_taken_and_nothing_about_it_changes(path: Path, third: int) -> None:
    before = path.stat()
    given = environ()
    made = listening.Listener(server(path), given)
    assert made.socket.fileno() == third
    assert not made.socket.get_inheritable()
    assert given == {"HOME": "/"}  # a child must not take it for its own
    made.close()
    after = path.stat()
    assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)


def test_a_socket_that_was_meant_for_another_process_is_none_of_ours(tmp_path: Path, third: int) -> None:
    own = tmp_path / "own"
    made = listening.Listener(server(own), environ(LISTEN_PID="1"))
    assert made.socket.getsockname() == str(own)
    made.close()
    assert not own.exists()


@pytest.mark.parametrize("count", ["0", "2", "x"])
def test_another_number_of_sockets_is_a_fault(path: Path, third: int, count: str) -> None:
    with pytest.raises(ConfigError, match="name one ListenStream="):
        listening.Listener(server(path), environ(LISTEN_FDS=count))


def test_a_socket_at_another_address_is_a_fault_that_names_both(
    tmp_path: Path, path: Path, third: int
) -> None:
    with pytest.raises(ConfigError) as raised:
        listening.Listener(server(tmp_path / "other"), environ())
    assert f"systemd listens at unix:{path}, and the setting says unix:{tmp_path / 'other'}" in str(
        raised.value
    )
