"""The Cookie line that goes on to the app.

Owns: taking our own cookies out of what a client sent, in every spelling that a server would read as ours.
Doesn't belong here: reading the session cookie (cookie.py).

Servers don't agree on what a cookie's name is. Go, Node, Werkzeug and Starlette drop white space around it,
the latter three also white space beyond ASCII. PHP turns " ", "." and "[" into "_", and once percent-decoded
names. Whatever is left here is read as one of ours by none of them.
"""

import re
from urllib.parse import unquote_to_bytes

# At the start of a cookie, in lower case. What can't be part of a name there (RFC 9110 token) is skipped.
_OURS = re.compile(
    rb"[^!#$%&'*+.^_`|~0-9a-z=-]*"
    rb"(?:[_. \[]{2}(?:host|secure)-)?"
    rb"sidecar[_. \[]"
)
_WORD = b"sidecar"
_VALUE = re.compile(rb"=[^;]*")
_LOWER = bytes(range(0x100)).lower()
_ENDS_A_HEADER = bytes({*range(0x09), *range(0x0A, 0x20), 0x7F})


def for_app(headers: list[bytes], session: bytes = b"") -> bytes:
    """One line with all cookies but ours; b"" if none is left. `headers`: the value of each Cookie header.

    The app's cookies stay as they came, byte for byte. `session`: the session cookie as `name=value`; it is
    quicker to cut out than to search for.
    """
    if len(headers) != 1:
        return b"; ".join(line for line in map(_without_ours, headers) if line)
    header = headers[0]
    if session:
        before, found, after = header.partition(session)
        if found and before[-2:] in (b"", b"; ") and after[:2] in (b"", b"; "):
            return _without_ours(before[:-2] + after if before else after[2:]).strip(b"; \t")
    return _without_ours(header)


def _without_ours(header: bytes) -> bytes:
    """The quick way if our word isn't in it and no name can be percent-encoded: most headers."""
    lower = header.translate(_LOWER, _ENDS_A_HEADER)
    if len(lower) < len(header):
        return b""  # Caddy passes none on; in our answer it could end the header
    if _WORD not in lower:
        encoded = b"%" in lower or b"+" in lower
        if not encoded or not _may_be_encoded(_VALUE.sub(b"", lower)):
            return header.strip(b" \t")
    return _without_any(header, lower)


def _without_any(header: bytes, lower: bytes) -> bytes:
    parts = header.split(b";")
    kept = [part for part, low in zip(parts, lower.split(b";"), strict=True) if not _is_ours(low)]
    return header.strip(b" \t") if len(kept) == len(parts) else b";".join(kept).strip(b"; \t")


def _is_ours(cookie: bytes) -> bool:
    """`cookie`: in lower case."""
    name = cookie.partition(b"=")[0]
    if _WORD in name and _OURS.match(name):
        return True
    decoded = unquote_to_bytes(name.replace(b"+", b" ")).lower() if _may_be_encoded(name) else b""
    return _OURS.match(decoded) is not None


def _may_be_encoded(names: bytes) -> bool:
    return b"%" in names or b"+" in names
