"""The request that Caddy asks about.

Owns: reading the forwarded headers into a `Target`.
Doesn't belong here: the way back to it after a sign-in (return_to.py), who may pass (access/policy.py), the
session cookie among the cookies (sessions/cookie.py). Pure.

Only what Caddy sets is believed: `X-Original-URL`, `X-Forwarded-Prefix`, `X-Forwarded-Port` and `Forwarded`
come from the client untouched and are never read. What is missing, doubled or odd makes the whole unreadable.
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import product
from types import MappingProxyType

from sidecar.access.identity_headers import NAMES
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
_SINGLE = frozenset(
    (_HOST, _URI, _METHOD, _PROTO, _FOR, _MODE, _DEST, _SITE, _PURPOSE, b"origin", b"upgrade", b"range")
)
_SENT = frozenset(name.lower().encode("ascii") for name in NAMES)
# Some servers take "_" and "." for "-" in a header's name: such a twin of a header that matters is an attack.
_SPELLINGS = frozenset(
    bytes(spelling)
    for name in _SINGLE | _SENT
    for spelling in product(*(b"-_." if letter == ord("-") else (letter,) for letter in name))
)
_TWINS = _SPELLINGS - _SINGLE - _SENT

# Visible ASCII without "#": nothing that a URL parser drops, or cuts at.
_IN_A_URI = bytes(code for code in range(0x21, 0x7F) if code != ord("#"))
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")  # RFC 9110 section 5.6.2
_SCHEMES = {b"http": "http", b"https": "https"}
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

    `host`: canonical. `uri`: path and query as the client sent them, visible ASCII from "/" on. `cookies`:
    value of each Cookie header. The rest is worked out when somebody wants to know: an allow doesn't.
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

        By the Upgrade header, whatever the method: RFC 8441 has CONNECT where RFC 6455 has GET.
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
        """By Fetch Metadata; by Accept where a browser sends none (plain http)."""
        if _FETCH_METADATA.isdisjoint(self._values):
            return b"text/html" in self._accept.lower() and b"upgrade" not in self._values
        return self._values.get(_MODE) == b"navigate" and self._values.get(_DEST) == b"document"


def read(headers: Iterable[tuple[bytes, bytes]]) -> Target:
    """`headers`: as ASGI has them, names in lower case. Unreadable unless they tell exactly one request."""
    pairs = list(headers)
    values = dict(pairs)
    if not _TWINS.isdisjoint(values):
        raise Unreadable("twin_of_" + _code(min(_TWINS.intersection(values))))
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
    scheme = _SCHEMES.get(proto)
    if scheme is None:
        raise Unreadable("bad_x_forwarded_proto")
    if not is_uri(uri):
        raise Unreadable("bad_x_forwarded_uri")
    if not _is_method(method):
        raise Unreadable("bad_x_forwarded_method")
    canonical = _canonical_host(host, scheme)
    return Target(canonical, uri.decode("ascii"), cookies, method, values, accept)


def is_uri(text: bytes) -> bool:
    """Whether it is a path and query as a client may send them: from "/" on, without a fragment."""
    return text.startswith(b"/") and not text.translate(None, _IN_A_URI)


def _refuse_repeated(pairs: list[tuple[bytes, bytes]]) -> None:
    seen: set[bytes] = set()
    for name, _ in pairs:
        if name in _SINGLE and name in seen:
            raise Unreadable("repeated_" + _code(name))
        seen.add(name)


@lru_cache(maxsize=256)
def _is_method(text: bytes) -> bool:
    return _TOKEN.fullmatch(text) is not None


@lru_cache(maxsize=4096)
def _canonical_host(raw: bytes, scheme: str) -> str:
    try:
        return canonical_host(raw.decode("ascii"), scheme=scheme)
    except ValueError:
        raise Unreadable("bad_x_forwarded_host") from None


def _code(name: bytes) -> str:
    """Bounded, since only names that matter come here."""
    return name.decode("ascii").replace("-", "_").replace(".", "_")
