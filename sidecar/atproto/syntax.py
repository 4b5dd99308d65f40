"""How the names of ATProto are spelled: DIDs, handles and the origins of servers.

Owns: the syntax, the one usual spelling of each name, and how to read what people type.
Doesn't belong here: what surrounds a name in a paste or a link (typed.py); whether a name exists, or whose it
is (identity/). No I/O, no clock.

`parse_did`, `parse_handle` and `parse_origin` are strict: they are for what machines say. Two others are
lenient: `origin_of_endpoint` for URLs in documents, and `parse_identifier` for what people type or paste.
All return the usual spelling only. A Unicode name becomes the ASCII one (IDNA 2008 after the UTS 46 mapping).
IDNA refuses some names, with emoji for example. Those can be typed as `xn--…`.

`development` also allows what exists on a developer's machine only: `.test` handles, http and ports on
loopback.
"""

import ipaddress
import re
from contextlib import suppress

from . import typed
from .errors import IdentifierKind, InvalidIdentifier, UnsupportedDidMethod


class Did(str):
    """A DID of a method that we can resolve: `did:plc:…` or `did:web:…`. Case-sensitive."""

    __slots__ = ()


class Handle(str):
    """A handle in its usual spelling: lower case, ASCII, without `@`."""

    __slots__ = ()


class ServerUrl(str):
    """An origin in its usual spelling: `https://host[:port]`; in development `http://localhost:2583` too."""

    __slots__ = ()


INVALID_HANDLE = Handle("handle.invalid")

_MAX_DID = 2048
_MAX_HANDLE = 253
_MAX_TYPED = 4096
_MAX_ENDPOINT = 2048

_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_HOSTNAME = rf"(?:{_LABEL}\.)+[a-zA-Z](?:[a-zA-Z0-9-]{{0,61}}[a-zA-Z0-9])?"

_HANDLE = re.compile(_HOSTNAME)
_DID = re.compile(r"did:([a-z]+):[a-zA-Z0-9._:%-]*[a-zA-Z0-9._-]")
_DID_PLC = re.compile(r"did:plc:[a-z2-7]{24}")
_DID_WEB = re.compile(rf"did:web:{_HOSTNAME}")
_DID_WEB_LOCALHOST = re.compile(r"did:web:localhost(?:%3A[1-9][0-9]{0,4})?")

_HOST = rf"{_LABEL}(?:\.{_LABEL})*"
_ORIGIN = re.compile(rf"(https?)://({_HOST}|\[[0-9a-f:.]+\])(?::([1-9][0-9]{{0,4}}))?")
# Scheme, host, port, path, and what follows; no user, no backslash, no spaces: parsers disagree about those.
_URL = re.compile(
    r"(https?)://([^/?#@\\:\[\]\s]+|\[[^\]\s]*\])(:[0-9]+)?((?:/[^?#\\\s]*)?)((?:[?#][^\\\s]*)?)",
    re.IGNORECASE,
)
_DEFAULT_PORTS = {"https": "443", "http": "80"}

# The syntax allows these; they are never resolved [handle spec, "Additional Non-Syntax Restrictions"].
_RESERVED_TLDS = frozenset({"alt", "arpa", "example", "internal", "invalid", "local", "localhost", "onion"})

_MARKS = re.compile(r"(at://)?@?", re.IGNORECASE)
_MARKED = ("@", "at://", "did:", "http://", "https://")
_LINK = re.compile(rf"(?://)?{_HOST}(/\S*)")  # without a scheme
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")


def is_valid_did_syntax(text: str) -> bool:
    """Whether the text is a DID of any method, ours or not."""
    return len(text) <= _MAX_DID and _DID.fullmatch(text) is not None


def is_valid_handle_syntax(text: str) -> bool:
    """Whether the text is a handle in any case, under a TLD that is resolved or not."""
    return len(text) <= _MAX_HANDLE and _HANDLE.fullmatch(text) is not None


def parse_did(text: str, *, development: bool = False) -> Did:
    """A did:plc, or a did:web of a host name: without a path, without a port (localhost in development).

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
    """A bare https origin, as a browser spells it: lower case, no `:443`, nothing after the port.

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


def origin_of_endpoint(text: str, *, development: bool = False) -> ServerUrl:
    """The origin of a URL, in its usual spelling; path, query and fragment are dropped.

    Raises InvalidIdentifier for what `parse_origin` refuses then, and for a user in the URL.
    """
    url = _URL.fullmatch(text) if len(text) <= _MAX_ENDPOINT else None
    if url is None:
        raise InvalidIdentifier(f"not an https URL: {text[:80]!r}")
    scheme, host, port = url[1].lower(), _to_ascii(url[2]).lower(), (url[3] or "").removeprefix(":")
    colon_port = f":{port}" if port not in ("", _DEFAULT_PORTS[scheme]) else ""
    return parse_origin(f"{scheme}://{host}{colon_port}", development=development)


def handle_of_site(server: ServerUrl) -> Handle | None:
    """The handle that a web address may stand for: people type `https://alice.example.com` for it, too."""
    with suppress(InvalidIdentifier):
        return parse_handle(server.removeprefix("https://"), development=True)
    return None


def parse_identifier(text: str, *, development: bool = False) -> Did | Handle | ServerUrl:
    """What a person typed or pasted: a handle, a DID, the address of a server, a link to a profile or record.

    It must name exactly one account or server. These don't matter: upper case, `@`, `at://`, quotes,
    brackets, punctuation, invisible characters; nor do other words, if the name has a mark (`@`, `did:`, …).
    Raises InvalidIdentifier, which says what was read, and UnsupportedDidMethod for other methods of DIDs.
    """
    if len(text) > _MAX_TYPED:
        raise InvalidIdentifier(f"too long: {len(text)} characters")
    whole = typed.clean(text)
    try:
        return _parse_typed(whole, development=development)
    except InvalidIdentifier as fault:
        found = set()
        for word in _candidates(whole):
            with suppress(InvalidIdentifier, UnsupportedDidMethod):
                found.add(_parse_typed(word, development=development))
        if len(found) == 1:
            return found.pop()
        raise InvalidIdentifier(str(fault), read=whole[:80], kind=_kind(whole)) from None


def _candidates(text: str) -> list[str]:
    """The only word, or those of several words that are marked as names: others may be part of a password."""
    words = typed.words(text)
    return words if len(words) == 1 else [word for word in words if word.lower().startswith(_MARKED)]


def _parse_typed(text: str, *, development: bool) -> Did | Handle | ServerUrl:
    marks = _MARKS.match(text)
    at_uri, name = (marks[1], text[marks.end() :]) if marks else (None, text)
    if at_uri:
        return _parse_name(re.split("[/?#]", name, maxsplit=1)[0], development=development)
    if (url := _URL.fullmatch(name)) and url[4] in ("", "/") and not url[5]:
        return origin_of_endpoint(name, development=development)
    if link := url or _LINK.fullmatch(name):
        path = link[4] + link[5] if url else link[1]
        if not url and path == "/":
            return _parse_name(name.strip("/"), development=development)
        if (person := typed.person_in(path)) is None:
            raise InvalidIdentifier(f"a link that doesn't name one person: {text[:80]!r}")
        return _parse_name(person.removeprefix("@"), development=development)
    return _parse_name(name, development=development)


def _parse_name(name: str, *, development: bool) -> Did | Handle:
    name = typed.decoded(name)
    lower = name.lower()
    if lower.startswith(("did:plc:", "did:web:")):
        # did:plc has no upper case, and neither has a host name; telephones capitalise the first letter.
        did = re.split("[/?#]", lower, maxsplit=1)[0].replace("%3a", "%3A")
        return parse_did(did, development=development)
    if name.startswith("did:"):
        return parse_did(name, development=development)
    return parse_handle(_to_ascii(name), development=development)


def _kind(text: str) -> IdentifierKind:
    """What a text that can't be used was read as."""
    if not text:
        return "nothing"
    if _URL.fullmatch(text) or _LINK.fullmatch(text):
        return "link"
    if text.lower().startswith("did:"):
        return "did"
    if _EMAIL.fullmatch(text):
        return "email"
    return "handle" if "." in text else "word"


def _to_ascii(name: str) -> str:
    if name.isascii():
        return name
    import idna  # noqa: PLC0415 - 3 MB of tables that most processes never need

    try:
        return idna.encode(name, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError) as exc:
        raise InvalidIdentifier(f"not an internationalised name: {name[:80]!r}") from exc


def _canonical_host(host: str) -> str | None:
    """The host as a browser spells it; None if a browser refuses it or reads it as some other address."""
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
