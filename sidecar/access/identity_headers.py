"""The headers by which an app learns who is signed in, and Caddy that the check has answered.

Owns: the identity headers and the mark, their names and values. The Caddy snippet and the docs are tested
against `NAMES` and `MARK`.
Doesn't belong here: who may pass (policy.py), identity headers of others (foreign_headers.py). Pure.

Every name is sent on every allow, exactly once and never empty: a missing one could come from a client. The
DID is the key; handles change hands.
"""

from sidecar.access.policy import Principal

NAMES: tuple[str, ...] = ("X-User-DID", "X-User-Handle")
NO_HANDLE = "handle.invalid"  # what ATProto shows if no handle is verified

# On every 2xx of the check. Caddy opens only if it is there: another program at our address opens nothing.
MARK = "X-User-Auth"
SIGNED_IN = (MARK.lower().encode("ascii"), b"signed-in")

_DID, _HANDLE = (name.lower().encode("ascii") for name in NAMES)


def identity_headers(principal: Principal) -> list[tuple[bytes, bytes]]:
    """One pair per name in `NAMES`, in that order. ValueError for a value that a header can't have."""
    return [(_DID, _value(principal.did)), (_HANDLE, _value(principal.handle or NO_HANDLE))]


def _value(text: str) -> bytes:
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("not fit for an identity header")
    return text.encode("ascii")
