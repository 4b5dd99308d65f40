"""The file of the client's own keys, as text.

Owns: reading it. Nothing here loads cryptography.
Doesn't belong here: what is in it (keys.py).
"""

import stat
from pathlib import Path


def read_keys(path: Path) -> str:
    """The text of a file of keys. Raises ValueError if it can't be read, or if others can read it."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        text = path.read_text("utf-8-sig")  # some editors begin a file with a byte order mark
    except OSError as exc:
        raise ValueError(f"{path} can't be read: {exc.strerror}; put a JWK set there, mode 0600") from exc
    except UnicodeDecodeError as exc:
        raise ValueError(f"{path} isn't a text file; put a JWK set there") from exc
    if mode & 0o037:  # group may read: that is how systemd hands over credentials
        raise ValueError(f"{path} has mode {mode:04o}, so others can read the keys; run: chmod 600 {path}")
    return text
