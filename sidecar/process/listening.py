"""The socket we listen on, there before uvicorn starts: bound by us, or handed over by systemd.

Owns: TCP and unix sockets; that a unix socket has its mode and owner before anything can connect; the stale
socket of a run that was killed; that the end of a run deletes no socket but its own.
Doesn't belong here: what is served on it (serve.py).

A socket of systemd (`LISTEN_FDS`, sd_listen_fds(3)) stays systemd's: it listens on while we restart, and we
change nothing about it.
"""

import os
import shutil
import socket
import stat
from collections.abc import MutableMapping
from contextlib import suppress
from pathlib import Path

from sidecar.errors import ConfigError
from sidecar.settings import Server

_BACKLOG = 2048
_FIRST_HANDED_OVER = 3  # SD_LISTEN_FDS_START
_NO_PERMISSION = 0o777  # as umask


class Listener:
    """A listening `socket`. Raises ConfigError, one line, if there can't be one."""

    def __init__(self, server: Server, environ: MutableMapping[str, str] = os.environ) -> None:
        handed_over = _handed_over(server, environ)
        self.socket = handed_over or bind(server)
        path = None if handed_over else server.socket_path
        self._file = None if path is None else SocketFile(path)

    def close(self) -> None:
        """Listen no more, and delete the unix socket if we have made it."""
        if self._file is not None:
            self._file.remove()
        self.socket.close()


def bind(server: Server) -> socket.socket:
    """A socket of our own. Raises ConfigError, one line, if there can't be one."""
    path = server.socket_path
    try:
        return _bind_tcp(server.listen) if path is None else _bind_unix(path, server)
    except (OSError, LookupError) as error:  # LookupError: an owner that doesn't exist
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ConfigError([f"server.listen: {server.listen}: {reason}; {_remedy(error)}"]) from error


def _handed_over(server: Server, environ: MutableMapping[str, str]) -> socket.socket | None:
    """The socket that systemd has made for us, if it has."""
    meant_for_us = environ.pop("LISTEN_PID", "") == str(os.getpid())
    count = environ.pop("LISTEN_FDS", "")
    environ.pop("LISTEN_FDNAMES", None)
    if not meant_for_us:
        return None
    if count != "1":
        raise ConfigError([f"server.listen: systemd handed over {count} sockets; name one ListenStream="])
    made = socket.socket(fileno=_FIRST_HANDED_OVER)
    made.set_inheritable(False)
    where = _address(made)
    if where != server.listen:
        made.detach()
        text = f"systemd listens at {where}, and the setting says {server.listen}; make both the same"
        raise ConfigError([f"server.listen: {text}"])
    return made


def _address(listening: socket.socket) -> str:
    """As `server.listen` has it."""
    name = listening.getsockname()
    if listening.family == socket.AF_UNIX:
        return f"unix:{name}"
    return f"[{name[0]}]:{name[1]}" if listening.family == socket.AF_INET6 else f"{name[0]}:{name[1]}"


class SocketFile:
    """The file of a unix socket that we have just bound."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ours = _identity(path)

    def remove(self) -> None:
        """Delete it, unless another process has bound its own in the meantime: a restart may overlap."""
        with suppress(FileNotFoundError):
            if _identity(self._path) == self._ours:
                self._path.unlink()


def _identity(path: Path) -> tuple[int, int, int]:
    """With the time, since a file system may give a new file the inode number of one that is gone."""
    found = path.lstat()
    return found.st_dev, found.st_ino, found.st_ctime_ns


def _bind_tcp(listen: str) -> socket.socket:
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, int(port)), family=family, backlog=_BACKLOG)


def _bind_unix(path: Path, server: Server) -> socket.socket:
    """Nobody can connect before `listen`, and until the mode is set nobody but us may open the file."""
    _remove_stale(path)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(_NO_PERMISSION)
    try:
        made.bind(str(path))
    except OSError:
        made.close()
        raise
    finally:
        os.umask(before)
    try:
        _chown(path, server.socket_owner)
        path.chmod(server.socket_mode)
        made.listen(_BACKLOG)
    except (OSError, LookupError):
        made.close()
        path.unlink(missing_ok=True)
        raise
    return made


def _remove_stale(path: Path) -> None:
    """Delete the socket of a run that is over; FileExistsError if it is in use, or isn't a socket."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise FileExistsError(None, "is there and isn't a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe, suppress(ConnectionRefusedError):
        probe.connect(str(path))
        raise FileExistsError(None, "another process listens on it")
    path.unlink(missing_ok=True)


def _chown(path: Path, owner: str) -> None:
    user, _, group = owner.partition(":")
    if user:
        shutil.chown(path, user=_number_or_name(user))
    if group:
        shutil.chown(path, group=_number_or_name(group))


def _number_or_name(name: str) -> int | str:
    return int(name) if name.isdigit() else name


def _remedy(error: Exception) -> str:
    if isinstance(error, PermissionError):
        return "choose a port from 1024 on, a folder we may write to, or an owner we belong to"
    if isinstance(error, FileNotFoundError):
        return "make its folder first"
    if isinstance(error, LookupError):
        return "name an existing user and group in server.socket_owner"
    return "stop what is there, or choose another address"
