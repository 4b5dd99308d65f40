"""The files that a configuration names: whether they can be used, and are private enough.

Owns: what is wrong with a file or folder, in words that say what to do.
Doesn't belong here: what is in them (reader.py, atproto/oauth/keys.py).
"""

import os
import stat
from pathlib import Path

_UNREADABLE = "run this as its owner, as with sudo, or give the file to the user that runs the sidecar"


def private_file_fault(path: Path) -> str | None:
    """What is wrong with a file of secrets, and how to mend it; None where only its owner can read it.

    What systemd hands over (LoadCredential=) is guarded by its folder, and shows a group mode for its ACL.
    """
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError as error:
        return f"{path}: {error.strerror}; `sidecar init` writes it"
    except OSError as error:
        return f"{path}: {error.strerror}; {_UNREADABLE}"
    if not os.access(path, os.R_OK):
        return f"{path} can't be read; {_UNREADABLE}"
    handed_over = os.environ.get("CREDENTIALS_DIRECTORY")
    if mode & 0o077 and not (handed_over and path.parent == Path(handed_over)):
        return f"{path} has mode {mode:04o}, so others may read it; run: chmod 600 {path}"
    return None


def store_folder_fault(path: Path) -> str | None:
    """Why the store can't have its file there, and what to do; None where it can, or we may not look."""
    try:
        if path.is_dir():
            return f"{path} is a folder; name a file in it"
        if path.parent.exists():
            return None if path.parent.is_dir() else f"{path.parent} is no folder; name a file in one"
    except PermissionError:
        return None
    return f"there is no folder {path.parent}; make it, unless systemd does (StateDirectory=)"
