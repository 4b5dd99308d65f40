"""The request that Caddy asks about.

Owns: reading the forwarded headers into a `Target`.
Doesn't belong here: the way back to it after a sign-in (return_to.py), who may pass (access/policy.py), the
session cookie among the cookies (sessions/cookie.py). Pure.

Only what Caddy sets is believed: `X-Original-URL`, `X-Forwarded-Prefix`, `X-Forwarded-Port` and `Forwarded`
come from the client untouched and are never read. A header that is missing, doubled or odd makes the whole
request unreadable.

What clients and other proxies may rightly send is read and brought into one spelling: bytes beyond ASCII and
the absolute form of an address, and `X-Forwarded-Proto` in any case, as a list, or as `ws` or `wss`.
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType

from sidecar.access.foreign_headers import is_stripped
from sidecar.access.identity_headers import MARK, NAMES
from sidecar.hosts import canonical_host

_HOST = b"x-forwarded-host"
_URI = b"x-forwarded-uri"
_METHOD = b"x-forwarded-method"
_PROTO = b"x-forwarded-proto"
_FOR = b"x-forwarded-for"
_MODE = b"sec-fetch-mode"
_DEST = b"sec-fetch-dest"
_SITE = b"sec-fetch-site"
_PURPOSE = b"sec-purpose"
SINGLE = frozenset(
    (_HOST, _URI, _METHOD, _PROTO, _FOR, _MODE, _DEST, _SITE, _PURPOSE, b"origin", b"upgrade", b"range")
)
SENT = frozenset(name.lower().encode("ascii") for name in (MARK, *NAMES))
# Some servers read other characters in a header's name as "-": many do it with "_", PHP with ".", lighttpd
# with all of them. Such a twin of a header that matters is an attack.
_USUAL_IN_A_NAME = b"abcdefghijklmnopqrstuvwxyz0123456789-"
_FOLDED = bytes(code if code in _USUAL_IN_A_NAME else ord("-") for code in range(0x100))

# Visible ASCII without "#": nothing that a URL parser drops, or cuts at.
_IN_A_URI = bytes(code for code in range(0x21, 0x7F) if code != ord("#"))
_BEYOND_ASCII = re.compile(rb"[\x80-\xff]")
_ABSOLUTE = re.compile(rb"https?://([A-Za-z0-9.:\[\]-]+)((?:[/?].*)?)", re.IGNORECASE | re.DOTALL)
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")  # RFC 9110 section 5.6.2
_SCHEMES = {"http": "http", "ws": "http", "https": "https", "wss": "https"}
_FETCH_METADATA = frozenset((_MODE, _DEST, _SITE))
_NOT_RENEWABLE = frozenset((_PURPOSE, b"upgrade", b"range"))
_FRAMES = frozenset((b"iframe", b"frame", b"embed", b"object", b"fencedframe"))


class Unreadable(Exception):
    """The check can't tell what it is asked about. `reason`: a stable code, safe for logs and replies."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Target:
    """The request that Caddy asks about.

    `host`: canonical. `uri`: path and query, visible ASCII from "/" on. `cookies`: value of each Cookie
    header. The rest is worked out when somebody wants to know: an allow doesn't.
    """

    __slots__ = ("_accept", "_method", "_values", "cookies", "host", "uri")

    def __init__(
        self,
        host: str,
        uri: str,
        cookies: list[bytes],
        method: bytes = b"GET",
        values: Mapping[bytes, bytes] = MappingProxyType({}),
        accept: bytes = b"",
    ) -> None:
        self.host = host
        self.uri = uri
        self.cookies = cookies
        self._method = method
        self._values = values
        self._accept = accept

    def again(self, uri: bytes, cookies: list[bytes]) -> "Target":
        """The same request for another URI, which `is_uri`, with other cookies."""
        return Target(self.host, uri.decode("ascii"), cookies, self._method, self._values, self._accept)

    @property
    def navigation(self) -> bool:
        """A person's browser loads a page, and a redirect to the sign-in page will bring it back."""
        return self._safe and self._shows_a_document

    @property
    def page(self) -> bool:
        """A person will look at the answer, but can't be sent to sign in and back: a form's POST, a frame."""
        framed = self._values.get(_MODE) == b"navigate" and self._values.get(_DEST) in _FRAMES
        return framed or (self._shows_a_document and not self._safe)

    @property
    def renewable(self) -> bool:
        """A plain page load that may be redirected to itself for a new cookie."""
        return (
            self._method == b"GET"
            and self._values.get(_MODE) == b"navigate"
            and self._values.get(_DEST) == b"document"
            and _NOT_RENEWABLE.isdisjoint(self._values)
        )

    @property
    def websocket_origin(self) -> str | None:
        """The Origin of a WebSocket upgrade, "" if it has none; None for any other request.

        By the Upgrade header, whatever the method: GET in RFC 6455, CONNECT in RFC 8441.
        """
        upgrade = self._values.get(b"upgrade")
        if upgrade is None or b"websocket" not in upgrade.lower():
            return None
        return self._values.get(b"origin", b"").decode("latin-1")

    @property
    def _safe(self) -> bool:
        return self._method in (b"GET", b"HEAD")

    @property
    def _shows_a_document(self) -> bool:
        """By Fetch Metadata; by Accept if a browser sends none (plain http)."""
        if _FETCH_METADATA.isdisjoint(self._values):
            return b"text/html" in self._accept.lower() and b"upgrade" not in self._values
        return self._values.get(_MODE) == b"navigate" and self._values.get(_DEST) == b"document"


def read(headers: Iterable[tuple[bytes, bytes]]) -> Target:
    """`headers`: as ASGI has them, names in lower case. Unreadable unless they describe just one request."""
    pairs = list(headers)
    values = dict(pairs)
    if b"".join(values).translate(None, _USUAL_IN_A_NAME):
        _refuse_twins(values)
    cookies = [values[b"cookie"]] if b"cookie" in values else []
    accept = values.get(b"accept", b"")
    if len(values) != len(pairs):
        _refuse_repeated(pairs)
        cookies = [value for name, value in pairs if name == b"cookie"]
        accept = b",".join(value for name, value in pairs if name == b"accept")
    try:
        host, uri, method, proto = values[_HOST], values[_URI], values[_METHOD], values[_PROTO]
    except KeyError as error:
        raise Unreadable("missing_" + _code(error.args[0])) from None
    scheme = _scheme(proto)
    canonical = _canonical_host(host, scheme)
    if not is_uri(uri):
        uri = _canonical_uri(uri, canonical, scheme)
    if not _is_method(method):
        raise Unreadable("bad_x_forwarded_method")
    return Target(canonical, uri.decode("ascii"), cookies, method, values, accept)


def is_uri(text: bytes) -> bool:
    """Whether it is a path and query as a client may send them: from "/" on, without a fragment."""
    return text.startswith(b"/") and not text.translate(None, _IN_A_URI)


def _canonical_uri(raw: bytes, host: str, scheme: str) -> bytes:
    """Bytes beyond ASCII are percent-encoded, as browsers do it.

    The absolute form (RFC 9112 section 3.2.2) must name the very host that Caddy serves.
    """
    uri = _BEYOND_ASCII.sub(lambda byte: b"%%%02X" % byte[0][0], raw)
    absolute = _ABSOLUTE.fullmatch(uri)
    if absolute is not None and _is_host(absolute[1], host, scheme):
        uri = absolute[2] if absolute[2].startswith(b"/") else b"/" + absolute[2]
    if not is_uri(uri):
        raise Unreadable("bad_x_forwarded_uri")
    return uri


def _is_host(raw: bytes, host: str, scheme: str) -> bool:
    try:
        return _canonical_host(raw, scheme) == host
    except Unreadable:
        return False


def _refuse_twins(names: Iterable[bytes]) -> None:
    for name in names:
        folded = name.translate(_FOLDED)
        if folded == name:
            continue
        if folded in SINGLE or folded in SENT:
            raise Unreadable("twin_of_" + _code(folded))
        if is_stripped(folded):
            raise Unreadable("twin_of_a_stripped_header")


def _refuse_repeated(pairs: list[tuple[bytes, bytes]]) -> None:
    seen: set[bytes] = set()
    for name, _ in pairs:
        if name in SINGLE and name in seen:
            raise Unreadable("repeated_" + _code(name))
        seen.add(name)


@lru_cache(maxsize=256)
def _is_method(text: bytes) -> bool:
    return _TOKEN.fullmatch(text) is not None


@lru_cache(maxsize=256)
def _scheme(text: bytes) -> str:
    """The first of a list is what the client used; the proxies between it and Caddy have added the others."""
    schemes = [_SCHEMES.get(part.strip().lower(), "") for part in text.decode("latin-1").split(",")]
    if not all(schemes):
        raise Unreadable("bad_x_forwarded_proto")
    return schemes[0]


@lru_cache(maxsize=4096)
def _canonical_host(raw: bytes, scheme: str) -> str:
    try:
        return canonical_host(raw.decode("ascii"), scheme=scheme)
    except ValueError:
        raise Unreadable("bad_x_forwarded_host") from None


def _code(name: bytes) -> str:
    """Bounded, since only names that matter come here."""
    return name.decode("ascii").replace("-", "_")
