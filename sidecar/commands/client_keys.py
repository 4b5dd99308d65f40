"""The file of the client's keys: a JWK set. The first key signs, and all are published.

Owns: making a key, and rewriting the file so that a crash leaves either the old file or the new one.
Doesn't belong here: using keys (atproto/oauth/).
"""

import json
import os
import secrets
import stat
from pathlib import Path
from typing import Any

Jwk = dict[str, Any]

# How long until authorization servers know a new key, by client.jwks. They ask a `jwks_uri` again after 10
# minutes at most, and a cache on the way may keep it for 5. Some keep all metadata for 1 hour, one for ever.
SEEN_AFTER = {"uri": "15 minutes", "inline": "1 hour"}


def new_key() -> Jwk:
    """A private ES256 key; its `kid` is the thumbprint (RFC 7638)."""
    from sidecar.atproto.oauth import generate_key  # noqa: PLC0415 - the other commands start in half the time

    return generate_key()


def key_set(keys: list[Jwk]) -> str:
    """The file's text."""
    return json.dumps({"keys": keys}, indent=2) + "\n"


def read(path: Path) -> list[Jwk]:
    """The keys in the file; a single JWK is a set of one. Raises OSError, and ValueError for another file."""
    from sidecar.atproto.oauth.keys import listed  # noqa: PLC0415 - see above

    try:
        keys = [dict(key) for key in listed(json.loads(path.read_text("utf-8-sig")))]
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} isn't a JWK set; `sidecar keygen` prints one") from error
    if not keys or not all(
        key.get("crv") == "P-256" and {"kid", "x", "y", "d"} <= key.keys() for key in keys
    ):
        raise ValueError(f"{path} must hold private P-256 keys with a kid; `sidecar keygen` prints one")
    return keys


def add(path: Path) -> Jwk:
    """Append a new key, published from the next start on."""
    key = new_key()
    _write(path, [*read(path), key])
    return key


def use(path: Path, kid: str) -> None:
    """Put a key first, so that it signs. ValueError if no key has this name."""
    keys = read(path)
    _write(path, [_named(keys, kid), *(key for key in keys if key["kid"] != kid)])


def remove(path: Path, kid: str) -> None:
    """Take a key out. ValueError for an unknown key, and for the key that signs."""
    keys = read(path)
    if _named(keys, kid) is keys[0]:
        raise ValueError(f"{kid} is the key that signs; put another key first with --use")
    _write(path, [key for key in keys if key["kid"] != kid])


def _named(keys: list[Jwk], kid: str) -> Jwk:
    for key in keys:
        if key["kid"] == kid:
            return key
    raise ValueError(f"there is no key {kid}; the file has {', '.join(key['kid'] for key in keys)}")


def _write(path: Path, keys: list[Jwk]) -> None:
    """Replace the file in one step, keeping its mode and owner."""
    before = path.stat()
    made = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    file = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(file, "w", encoding="utf-8") as stream:
            stream.write(key_set(keys))
            stream.flush()
            os.fsync(file)
        os.chown(made, before.st_uid, before.st_gid)
        made.chmod(stat.S_IMODE(before.st_mode))
        made.replace(path)
    except OSError:
        made.unlink(missing_ok=True)
        raise
