"""What the names of ATProto look like: DIDs, handles and the origins of servers.

Owns: the syntax, its canonical spelling, and what of it people may type. Pure: no I/O, no clock.
Doesn't belong here: whether a name exists, or who it belongs to (identity/).

The strict parsers (`parse_did`, `parse_handle`, `parse_origin`) are for what machines say,
`parse_identifier` is for what people type or paste. Only people may write an internationalised name in
Unicode: it becomes the ASCII one (IDNA 2008 after the UTS 46 mapping). What that refuses, emoji among it,
can be typed as `xn--…`.

`development` admits what exists on a developer's machine only: `.test` handles, http and ports on loopback.
"""

import ipaddress
import re
import unicodedata

from .errors import InvalidIdentifier, UnsupportedDidMethod


class Did(str):
    """A DID of a method we can resolve: `did:plc:…` or `did:web:…`. Case-sensitive."""

    __slots__ = ()


class Handle(str):
    """A handle in canonical spelling: lower case, ASCII, without `@`."""

    __slots__ = ()


class ServerUrl(str):
    """An origin in canonical spelling: `https://host[:port]`; in development `http://localhost:2583` too."""

    __slots__ = ()


INVALID_HANDLE = Handle("handle.invalid")

_MAX_DID = 2048
_MAX_HANDLE = 253
_MAX_TYPED = 4096

_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_HOSTNAME = rf"(?:{_LABEL}\.)+[a-zA-Z](?:[a-zA-Z0-9-]{{0,61}}[a-zA-Z0-9])?"

_HANDLE = re.compile(_HOSTNAME)
_DID = re.compile(r"did:([a-z]+):[a-zA-Z0-9._:%-]*[a-zA-Z0-9._-]")
_DID_PLC = re.compile(r"did:plc:[a-z2-7]{24}")
_DID_WEB = re.compile(rf"did:web:{_HOSTNAME}")
_DID_WEB_LOCALHOST = re.compile(r"did:web:localhost(?:%3A[1-9][0-9]{0,4})?")

_HOST = rf"{_LABEL}(?:\.{_LABEL})*"
_ORIGIN = re.compile(rf"(https?)://({_HOST}|\[[0-9a-f:.]+\])(?::([1-9][0-9]{{0,4}}))?")
_TYPED_URL = re.compile(r"(https?)://([^/?#@\\:\[\]]+|\[[^\]]*\])(:[0-9]+)?(/[^?#]*)?", re.IGNORECASE)
_PROFILE_PATH = re.compile(r"/profile/([^/]+)/?")
_DEFAULT_PORTS = {"https": "443", "http": "80"}

# Syntactically fine, never resolved [handle spec, "Additional Non-Syntax Restrictions"].
_RESERVED_TLDS = frozenset({"alt", "arpa", "example", "internal", "invalid", "local", "localhost", "onion"})


def is_valid_did_syntax(text: str) -> bool:
    """Whether the text is a DID of any method, ours or not."""
    return len(text) <= _MAX_DID and _DID.fullmatch(text) is not None


def is_valid_handle_syntax(text: str) -> bool:
    """Whether the text is a handle in any case, under a TLD that is resolved or not."""
    return len(text) <= _MAX_HANDLE and _HANDLE.fullmatch(text) is not None


def parse_did(text: str, *, development: bool = False) -> Did:
    """A did:plc, or a did:web of a bare host name: no path, no port (but for localhost in development).

    Raises InvalidIdentifier for bad syntax, UnsupportedDidMethod for other methods.
    """
    if not is_valid_did_syntax(text):
        raise InvalidIdentifier(f"not a DID: {text[:80]!r}")
    method = text.split(":", 2)[1]
    if method not in ("plc", "web"):
        raise UnsupportedDidMethod(f"neither did:plc nor did:web: {text[:80]!r}")
    forms = [_DID_PLC, _DID_WEB, *([_DID_WEB_LOCALHOST] if development else [])]
    if not any(form.fullmatch(text) for form in forms):
        raise InvalidIdentifier(f"not a valid did:{method}: {text[:80]!r}")
    return Did(text)


def parse_handle(text: str, *, development: bool = False) -> Handle:
    """The handle in lower case. Raises InvalidIdentifier: bad syntax, or a TLD that is never resolved."""
    if not is_valid_handle_syntax(text):
        raise InvalidIdentifier(f"not a handle: {text[:80]!r}")
    handle = text.lower()
    tld = handle.rpartition(".")[2]
    if tld in _RESERVED_TLDS or (tld == "test" and not development):
        raise InvalidIdentifier(f"handles under .{tld} don't resolve: {text[:80]!r}")
    return Handle(handle)


def parse_origin(text: str, *, development: bool = False) -> ServerUrl:
    """A bare https origin, spelled exactly as a browser would: lower case, no `:443`, nothing after the port.

    In development http too, on loopback (localhost, 127.0.0.0/8, [::1]). Raises InvalidIdentifier.
    """
    match = _ORIGIN.fullmatch(text)
    if match is None:
        raise InvalidIdentifier(f"not a bare https origin: {text[:80]!r}")
    scheme, host, port = match.groups()
    if host != _canonical_host(host) or port == _DEFAULT_PORTS[scheme] or int(port or 0) > 65535:
        raise InvalidIdentifier(f"not spelled as an origin is: {text[:80]!r}")
    if scheme == "http" and not (development and _is_loopback(host)):
        raise InvalidIdentifier(f"not https: {text[:80]!r}")
    return ServerUrl(text)


def parse_identifier(text: str, *, development: bool = False) -> Did | Handle | ServerUrl:
    """What a person typed or pasted: a handle, a DID, the address of a server or of a profile page.

    Forgives `@`, `at://`, case, spaces around it and invisible characters anywhere. Raises InvalidIdentifier,
    and UnsupportedDidMethod for DIDs that are neither plc nor web.
    """
    if len(text) > _MAX_TYPED:
        raise InvalidIdentifier(f"too long: {len(text)} characters")
    # Category C: control and format characters (zero-width, direction marks), which pastes bring along.
    visible = "".join(c for c in text if not unicodedata.category(c).startswith("C")).strip()
    if url := _TYPED_URL.fullmatch(visible):
        return _parse_typed_url(*url.groups(), development=development)
    name = re.sub(r"\A(?:at://)?@?", "", visible, flags=re.IGNORECASE)
    if name.lower().startswith(("did:plc:", "did:web:")):
        # plc has no upper case, nor has a host name; telephones capitalise the first letter.
        return parse_did(name.lower().replace("%3a", "%3A"), development=development)
    if name.startswith("did:"):
        return parse_did(name, development=development)
    return parse_handle(_to_ascii(name), development=development)


def _parse_typed_url(
    scheme: str, host: str, port: str | None, path: str | None, *, development: bool
) -> Did | Handle | ServerUrl:
    """An address as it stands in the address bar; `/profile/NAME`, as all viewers have it, means NAME."""
    if profile := _PROFILE_PATH.fullmatch(path or ""):
        return parse_identifier(f"at://{profile[1]}", development=development)
    if path not in (None, "", "/"):
        raise InvalidIdentifier("the address of a server has no path")
    scheme, port = scheme.lower(), (port or "").removeprefix(":")
    port = "" if port == _DEFAULT_PORTS[scheme] else port
    return parse_origin(
        f"{scheme}://{_to_ascii(host).lower()}{':' if port else ''}{port}", development=development
    )


def _to_ascii(name: str) -> str:
    if name.isascii():
        return name
    import idna  # noqa: PLC0415 - 3 MB of tables that most processes never need

    try:
        return idna.encode(name, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError) as exc:
        raise InvalidIdentifier(f"not an internationalised name: {name[:80]!r}") from exc


def _canonical_host(host: str) -> str | None:
    """The host as a browser spells it; None where a browser refuses it or reads it as some other address."""
    try:
        if host.startswith("["):
            return f"[{ipaddress.IPv6Address(host[1:-1])}]"
        if host.rpartition(".")[2][0].isdigit():  # WHATWG URL, "ends in a number": only a dotted quad will do
            return str(ipaddress.IPv4Address(host))
    except ValueError:
        return None
    return host.lower() if len(host) <= _MAX_HANDLE else None


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
