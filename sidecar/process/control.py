"""The control socket: how a command reaches a service that runs.

Owns: its path, who may use it, the messages, both ends.
Doesn't belong here: what a command does (reload.py), what is printed (commands/).

A unix socket beside the store, for its owner and root only: by its mode, and by the uid of the peer, which
the kernel names. No request of a visitor reaches it. Each connection is one command: a line of JSON,
`{"command": NAME, …}`, and a line of JSON as the answer.
"""

import json
import logging
import os
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sidecar.process.listening import SocketFile
from sidecar.settings import Settings

log = logging.getLogger("sidecar")

Message = Mapping[str, Any]

_LONGEST = 1_000_000  # bytes of a line
_PATIENCE = 5.0  # seconds for a command to arrive
_ANSWER_PATIENCE = 120.0  # seconds for the answer
_PEER = struct.Struct("3i")  # pid, uid, gid


class NotRunningError(Exception):
    """No service listens there."""


def path_of(settings: Settings) -> Path:
    """Where the service listens for commands: the store's path, and `.control`."""
    store = settings.store.path
    return store.with_name(store.name + ".control")


class Control:
    """Answers commands, one after the other, in a thread.

    `commands`: by name, from message to answer. The message has the `uid` of the sender, too.
    """

    def __init__(self, path: Path, commands: Mapping[str, Callable[[Message], Message]]) -> None:
        self._path = path
        self._commands = commands
        self._listener: socket.socket | None = None
        self._file: SocketFile | None = None

    def start(self) -> None:
        """Listen; if that isn't possible, say so in the log, and go on without."""
        try:
            self._listener = _bind(self._path)
            self._file = SocketFile(self._path)
        except OSError as error:
            log.warning(
                "no control socket, so `sidecar reload` can't reach this service; SIGHUP still does",
                extra={"event": "control_unavailable", "path": str(self._path), "reason": str(error)},
            )
            return
        threading.Thread(target=self._serve, args=(self._listener,), name="control", daemon=True).start()

    def stop(self) -> None:
        if self._listener is not None:
            self._listener.close()
        if self._file is not None:
            self._file.remove()

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:  # closed
                return
            with connection:
                try:
                    self._answer(connection)
                except Exception:  # one command must not end all later ones
                    log.exception("a command failed", extra={"event": "control_failed"})

    def _answer(self, connection: socket.socket) -> None:
        connection.settimeout(_PATIENCE)
        message = _receive(connection)
        uid = _uid(connection)
        if uid not in (0, os.geteuid()):
            _send(connection, {"refused": "only root and the user of the service may give commands"})
            return
        command = self._commands.get(str(message.get("command")))
        if command is None:
            _send(connection, {"refused": "this service doesn't know the command; is it of another version?"})
        else:
            _send(connection, command({**message, "uid": uid}))


def ask(path: Path, command: str, **values: Any) -> Message:
    """The answer of the service that listens there. Raises NotRunningError, PermissionError, or ValueError
    with what the service says against it.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_ANSWER_PATIENCE)
        try:
            connection.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise NotRunningError(str(path)) from error
        _send(connection, {"command": command, **values})
        answer = _receive(connection)
    if "refused" in answer:
        raise ValueError(answer["refused"])
    return answer


def _bind(path: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    path.unlink(
        missing_ok=True
    )  # of a run that was killed; two services never share a store's folder and name
    before = os.umask(0o177)
    try:
        made.bind(str(path))
    except OSError:
        made.close()
        raise
    finally:
        os.umask(before)
    made.listen()
    return made


def _uid(connection: socket.socket) -> int:
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    return int(_PEER.unpack(credentials)[1])


def _send(connection: socket.socket, message: Message) -> None:
    connection.sendall(json.dumps(message).encode() + b"\n")


def _receive(connection: socket.socket) -> dict[str, Any]:
    """Raises ValueError if no message comes."""
    data = b""
    while not data.endswith(b"\n"):
        more = connection.recv(_LONGEST)
        if not more or len(data) > _LONGEST:
            raise ValueError("the connection ended before a whole message came")
        data += more
    message = json.loads(data)
    if not isinstance(message, dict):
        raise ValueError("no message")  # noqa: TRY004 - one kind for all faults
    return message
