"""Host names in one canonical spelling, and tables that map them and whole domains to something.

Owns: `canonical_host`, the only way a host enters a comparison; `HostTable`, exact hosts and `*.domain`.
Doesn't belong here: what a host may do (access/policy.py), where it comes from (request/forwarded.py,
settings/values.py). Pure.
"""

import ipaddress
import re
from collections.abc import Iterable
from typing import Generic, TypeVar

import idna

DEFAULT_PORTS = {"http": "80", "https": "443"}
_MAX_NAME = 253  # RFC 1035 section 2.3.4, as text without the trailing dot
_MAX_HOST = _MAX_NAME + len(".:65535")

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_AUTHORITY = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\[\]:]+)(?::(?P<port>[0-9]{1,5}))?")
# Browsers read a name that ends in a number as an IPv4 address (WHATWG URL, "ends in a number checker").
_ENDS_IN_A_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")

T = TypeVar("T")


def canonical_host(text: str, *, scheme: str) -> str:
    """The one spelling of a host: `host`, or `host:port` if the port isn't the scheme's own.

    Lower case, without a trailing dot, IDNA A-labels, IPv6 compressed and in brackets. ValueError for
    anything that is not exactly a host with an optional port.
    """
    if len(text) > _MAX_HOST:
        raise ValueError("host name too long")
    match = _AUTHORITY.fullmatch(text)
    if match is None:
        raise ValueError("not a host name, or host:port")
    host = _ipv6(match["host"]) if text.startswith("[") else _name(match["host"])
    if match["port"] is None:
        return host
    port = int(match["port"])
    if not 0 < port <= 65535:
        raise ValueError("port out of range")
    return host if str(port) == DEFAULT_PORTS.get(scheme) else f"{host}:{port}"


def canonical_pattern(text: str, *, scheme: str) -> str:
    """A host as in `canonical_host`, or `*.` and a domain with an optional port. ValueError as there."""
    if not text.startswith("*."):
        return canonical_host(text, scheme=scheme)
    domain = canonical_host(text[2:], scheme=scheme)
    if domain.startswith("[") or _ENDS_IN_A_NUMBER.fullmatch(domain.partition(":")[0]):
        raise ValueError("an address has no subdomains")
    return f"*.{domain}"


def _ipv6(bracketed: str) -> str:
    return f"[{ipaddress.IPv6Address(bracketed[1:-1]).compressed}]"


def _name(text: str) -> str:
    name = text.lower() if text.isascii() and "xn--" not in text.lower() else _a_labels(text)
    name = name.removesuffix(".")
    if len(name) > _MAX_NAME or not _NAME.fullmatch(name):
        raise ValueError("not a host name")
    if _ENDS_IN_A_NUMBER.fullmatch(name):
        return str(ipaddress.IPv4Address(name))
    return name


def _a_labels(text: str) -> str:
    """Unicode to A-labels as browsers do it (UTS 46, not transitional); faked A-labels are refused."""
    try:
        return idna.encode(text, uts46=True, std3_rules=True).decode("ascii")
    except UnicodeError as error:
        raise ValueError("not an internationalised host name") from error


class HostTable(Generic[T]):
    """Maps hosts to values: by exact host, else by the longest `*.domain` that the host lies under.

    A pattern without a port stands for the scheme's own port only; `*.example.com` doesn't match
    `example.com`. A look-up costs as much as the host has labels, however many patterns there are. No value
    may be None. ValueError for a pattern that can't be read, or that is there twice.
    """

    __slots__ = ("_domains", "_exact")

    def __init__(self, entries: Iterable[tuple[str, T]], *, scheme: str) -> None:
        self._exact: dict[str, T] = {}
        self._domains: dict[str, T] = {}
        for text, value in entries:
            pattern = canonical_pattern(text, scheme=scheme)
            table, key = (self._domains, pattern[2:]) if pattern[0] == "*" else (self._exact, pattern)
            if key in table:
                raise ValueError(f"{pattern} is there twice")
            table[key] = value

    def get(self, host: str) -> T | None:
        """The value for a canonical host, or None."""
        value = self._exact.get(host)
        if value is not None or not self._domains:
            return value
        rest = host
        while True:
            _, dot, rest = rest.partition(".")
            if not dot:
                return None
            value = self._domains.get(rest)
            if value is not None:
                return value

    def __len__(self) -> int:
        return len(self._exact) + len(self._domains)
