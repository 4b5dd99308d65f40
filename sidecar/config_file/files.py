"""The files that a configuration names: whether they can be used, and whether others can read them.

Owns: what is wrong with a file or folder, and what to do about it.
Doesn't belong here: what is in them (reader.py, atproto/oauth/keys.py).
"""

import grp
import os
import stat
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_PIPE = 4096  # bytes that one write to a pipe takes whole (pipe(7))
SERVICE_GROUP = "sidecar"  # of config/sidecar.service

_RUN = Path("/run")  # systemd makes folders below it when it starts a service
_UNWRITABLE = "give it to the user that runs the sidecar, or run this as that user"
_UNREADABLE = "run this as its owner, as with sudo, or give the file to the user that runs the sidecar"


def private_file_fault(path: Path) -> str | None:
    """What is wrong with a file of secrets, and how to fix it; None if only its owner can read it.

    root may own it and let the group of the service read it, as config/sidecar.service has it. systemd's
    LoadCredential= protects its files by their folder; their mode shows a group because of an ACL.
    """
    try:
        status = path.stat()
    except FileNotFoundError as error:
        return f"{path}: {error.strerror}; `sidecar init` writes it"
    except OSError as error:
        return f"{path}: {error.strerror}; {_UNREADABLE}"
    if not os.access(path, os.R_OK):
        return f"{path} can't be read; {_UNREADABLE}"
    mode = stat.S_IMODE(status.st_mode)
    handed_over = os.environ.get("CREDENTIALS_DIRECTORY")
    if mode & 0o077 and not (_for_our_group(status) or (handed_over and path.parent == Path(handed_over))):
        return f"{path} has mode {mode:04o}, so others may read it; run: chmod 600 {path}"
    return None


def token_fault(path: Path) -> str | None:
    """What is wrong with a token; None if nothing is."""
    text = path.read_text("utf-8").strip()
    if len(text) < 16 or not text.isascii() or not text.isprintable() or " " in text:
        return f"{path} needs one word of 16 characters or more; `openssl rand -hex 16` prints one"
    return None


def in_a_child(check: Callable[[], str | None]) -> str | None:
    """What `check` finds. What it loads is gone with the child that it runs in: 10 MB for client keys.

    Beside other threads it runs here, since a fork would copy their locks as they are.
    """
    if threading.active_count() > 1:
        return check()
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        with suppress(BaseException):
            os.write(writer, (check() or "").encode()[:_PIPE])
            os._exit(0)
        os._exit(1)
    os.close(writer)
    with os.fdopen(reader, encoding="utf-8", errors="replace") as stream:
        fault = stream.read()
    _, status = os.waitpid(child, 0)
    return check() if status else fault or None


def service_group() -> int | None:
    """The number of the group that config/sidecar.service runs as; None if there is none."""
    try:
        return grp.getgrnam(SERVICE_GROUP).gr_gid
    except KeyError:
        return None


def _for_our_group(status: os.stat_result) -> bool:
    groups = {os.getegid(), service_group()} - {0}
    return status.st_uid == 0 and status.st_gid in groups and not stat.S_IMODE(status.st_mode) & ~0o640


def socket_fault(path: Path) -> str | None:
    """Why no unix socket can be made there, and what to do; None if it can, or systemd makes the folder."""
    try:
        if path.exists() and not path.is_socket():
            return f"{path} is there and isn't a socket; choose another path"
        if not path.parent.exists():
            return None if _may_come_from_systemd(path.parent) else f"{_missing(path.parent)}; make it"
        if not path.parent.is_dir():
            return f"{path.parent} isn't a folder; choose a path in one"
    except PermissionError:
        return f"{path.parent} can't be entered; {_UNREADABLE}"
    if not os.access(path.parent, os.W_OK | os.X_OK):
        return f"{path.parent} can't be written; {_UNWRITABLE}"
    return None


def socket_warning(path: Path) -> str | None:
    """What must be done before a unix socket can be made there, if systemd doesn't do it."""
    with suppress(PermissionError):
        if _may_come_from_systemd(path.parent) and not path.parent.exists():
            return f"{_missing(path.parent)}; make it, unless systemd does (RuntimeDirectory=)"
    return None


def _may_come_from_systemd(folder: Path) -> bool:
    return _RUN in folder.parents


def _missing(folder: Path) -> str:
    return f"there is no folder {folder}"


def store_folder_fault(path: Path) -> str | None:
    """Why the store's file can't be there, and what to do; None if it can, or if we may not look."""
    try:
        if path.is_dir():
            return f"{path} is a folder; name a file in it"
        if path.parent.exists():
            return None if path.parent.is_dir() else f"{path.parent} isn't a folder; name a file in one"
    except PermissionError:
        return None
    return f"{_missing(path.parent)}; make it, unless systemd does (StateDirectory=)"
