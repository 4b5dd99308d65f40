"""What an app learns about the person who is signed in.

Owns: the identity headers, their names and values. The Caddy snippet and the docs are tested against `NAMES`.
Doesn't belong here: who may pass (policy.py). Pure.

Every name is sent on every allow, exactly once and never empty: a header left out is one that Caddy would let
a client fill in. The DID is the key; handles change hands.
"""

from sidecar.access.policy import Principal

NAMES: tuple[str, ...] = ("X-User-DID", "X-User-Handle")
NO_HANDLE = "handle.invalid"  # what ATProto shows where no handle is verified

_DID, _HANDLE = (name.lower().encode("ascii") for name in NAMES)


def identity_headers(principal: Principal) -> list[tuple[bytes, bytes]]:
    """One pair per name in `NAMES`, in that order. ValueError for a value that can't stand in a header."""
    return [(_DID, _value(principal.did)), (_HANDLE, _value(principal.handle or NO_HANDLE))]


def _value(text: str) -> bytes:
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("not fit for an identity header")
    return text.encode("ascii")
