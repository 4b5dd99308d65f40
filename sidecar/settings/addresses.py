"""How names and addresses in the configuration are parsed: hosts, origins, networks, DIDs and handles.

Owns: parsers as in values.py, for values whose syntax is defined elsewhere (hosts.py, atproto/syntax.py).
Every name comes out in its canonical spelling.
Doesn't belong here: what one value means for another (config_file/consistency.py).
"""

import ipaddress
import re
from typing import Any
from urllib.parse import urlsplit

from sidecar.atproto.errors import AtprotoError
from sidecar.atproto.syntax import parse_did, parse_handle
from sidecar.hosts import canonical_host, canonical_pattern
from sidecar.settings.values import Network, Provider, each, line, text, texts

ANYONE = "*"
ANYONE_IN_WORDS = "anyone-with-an-account"
LONGEST_SOCKET = 107  # bytes of a path: Linux keeps 108 for it, with the zero at its end (unix(7))

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")

_PREFIX = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+")
_ID_PATH = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~-]+)+")
_HTTPS_URL = re.compile(r"https://[!-~]{1,2000}")
_ANY_SCHEME = ""  # keeps every port as it stands


def networks(value: Any) -> tuple[Network, ...]:
    """A list of addresses or networks, as "127.0.0.1" or "10.0.0.0/8"."""
    return each(_network, texts(value))


def _network(value: str) -> Network:
    try:
        return ipaddress.ip_network(value)
    except ValueError as error:
        raise ValueError(f'{error}; write an address or a network, as "10.0.0.0/8"') from error


def nameservers(value: Any) -> tuple[str, ...]:
    """A list of DNS servers, as "9.9.9.9", "9.9.9.9:5353" or "[2620:fe::fe]:53"."""
    return each(_nameserver, texts(value))


def _nameserver(value: str) -> str:
    try:
        return str(ipaddress.ip_address(value.strip("[]")))
    except ValueError:
        pass
    host, _, port = value.rpartition(":")
    try:
        address = ipaddress.ip_address(host.strip("[]"))
        if address.version == 4 or host.startswith("["):
            return f"{f'[{address}]' if address.version == 6 else address}:{_port(port)}"
    except ValueError:
        pass
    raise ValueError(f"{value!r} is not an address, or address:port; names can't be used here")


def hosts(value: Any) -> tuple[str, ...]:
    """A list of host names, or "*.domain" for every host under it; ":port" only if the host has one."""
    found = texts(value)
    if not found:
        raise ValueError("no host; name at least one")
    return each(_host_pattern, found)


def _host_pattern(value: str) -> str:
    try:
        return canonical_pattern(value, scheme=_ANY_SCHEME)
    except ValueError as error:
        raise ValueError(f'{value!r}: {error}; write "host", "host:port" or "*.domain"') from error


def rules(value: Any) -> tuple[str, ...]:
    """A list of DIDs, handles, "*.domain", "@group", or "*" (or "anyone-with-an-account")."""
    return each(_rule, texts(value))


def members(value: Any) -> tuple[str, ...]:
    """A list of DIDs, handles or "*.domain": a group can't hold a group."""
    return each(_member, texts(value))


def _member(value: str) -> str:
    found = _rule(value)
    if found.startswith("@"):
        raise ValueError(f"{found!r}: a group can't hold a group; name its members here")
    return found


def _rule(value: str) -> str:
    if value == ANYONE_IN_WORDS:
        return ANYONE
    if value == ANYONE or (value.startswith("@") and NAME.fullmatch(value[1:])):
        return value
    if value.startswith("@"):
        raise ValueError(f"{value!r}: a group can't have this name; a handle is written without @")
    try:
        if value.startswith("did:"):
            return str(parse_did(value, development=True))
        if value.startswith("*."):
            return "*." + _handle_domain(value[2:])
        return str(parse_handle(canonical_host(value, scheme=_ANY_SCHEME), development=True))
    except (AtprotoError, ValueError) as error:
        raise ValueError(f'{value!r}: {error}; write a DID, a handle, "*.domain", "@group" or "*"') from error


def _handle_domain(value: str) -> str:
    domain = canonical_host(value, scheme=_ANY_SCHEME)
    if ":" in domain or domain[-1].isdigit():
        raise ValueError("a handle can't be under an address or a port")
    return domain


def optional_listen(value: Any) -> str:
    """As server.listen has it, or nothing."""
    return "" if value == "" else listen(value)


def listen(value: Any) -> str:
    """An address to listen on, as "127.0.0.1:9180", "[::1]:9180" or "unix:/run/sidecar/sidecar.sock"."""
    found = text(value)
    if found.startswith("unix:"):
        if not found.startswith("unix:/") or found.endswith("/") or "\0" in found:
            raise ValueError('must be an absolute path after unix:, as "unix:/run/sidecar/sidecar.sock"')
        if len(found.removeprefix("unix:").encode(errors="surrogateescape")) > LONGEST_SOCKET:
            raise ValueError(f"a unix socket's path has at most {LONGEST_SOCKET} bytes; choose a shorter one")
        return found
    host, _, port = found.rpartition(":")
    try:
        address = ipaddress.ip_address(host.strip("[]"))
        if (address.version == 6) == host.startswith("["):
            return f"{host}:{_port(port)}"
    except ValueError:
        pass
    raise ValueError('must be an address and a port, as "127.0.0.1:9180" or "[::1]:9180", or "unix:/path"')


def _port(value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", value) or not 0 < int(value) < 65536:
        raise ValueError("the port must be from 1 to 65535")
    return int(value)


def http_origin(value: Any) -> str:
    """An address without a path, as "https://auth.example.com"."""
    found = text(value)
    wrong = 'must be an http or https address without a path, as "https://auth.example.com"'
    scheme, separator, rest = found.partition("://")
    if scheme.lower() not in ("http", "https") or not separator:
        raise ValueError(wrong)
    try:
        return f"{scheme.lower()}://{canonical_host(rest.removesuffix('/'), scheme=scheme.lower())}"
    except ValueError as error:
        raise ValueError(f"{wrong}: {error}") from error


def optional_http_origin(value: Any) -> str:
    """An address without a path, as "https://bsky.social", or nothing."""
    return "" if value == "" else http_origin(value)


def https_origins(value: Any) -> tuple[str, ...]:
    """A list of https addresses without a path, as "https://pds.home.example"."""
    return each(_https_origin, texts(value))


def _https_origin(value: str) -> str:
    origin = http_origin(value)
    if not origin.startswith("https://"):
        raise ValueError('must be an https address, as "https://pds.home.example"')
    return origin


def https_url(value: Any) -> str:
    """An https address, or nothing."""
    found = text(value)
    if not found:
        return ""
    if not _HTTPS_URL.fullmatch(found) or not urlsplit(found).hostname or "@" in urlsplit(found).netloc:
        raise ValueError('must be an https address, as "https://example.com/logo.png"')
    return found


def cookie_domain(value: Any) -> str:
    """A domain, as "example.com", or nothing."""
    found = text(value).removeprefix(".")
    if not found:
        return ""
    try:
        domain = canonical_host(found, scheme=_ANY_SCHEME)
    except ValueError as error:
        raise ValueError(f'{error}; write the domain alone, as "example.com"') from error
    if ":" in domain or domain[-1].isdigit():
        raise ValueError('must be a domain, as "example.com"; cookies are not shared by addresses or ports')
    return domain


def prefix(value: Any) -> str:
    """A path that starts with a slash and ends without one, as "/auth"."""
    found = text(value)
    if not _PREFIX.fullmatch(found):
        raise ValueError(
            'must start with a slash and end without one, as "/auth"; letters, digits and ._~- between'
        )
    return found


def id_path(value: Any) -> str:
    """A path that starts with a slash and ends without one, as "/oauth-client-metadata.json", or nothing."""
    found = text(value)
    if found and not _ID_PATH.fullmatch(found):
        raise ValueError(
            "must start with a slash and end without one, "
            'as "/oauth-client-metadata.json"; letters, digits and ._~- between'
        )
    if len(found) > 200:
        raise ValueError("must have at most 200 characters; shorten it")
    return found


def providers(value: Any) -> tuple[Provider, ...]:
    """A list of { name = "…", url = "https://…" }; in the environment, as Name=https://…,Name=https://…."""
    if isinstance(value, str) and all("=" in entry for entry in texts(value)):
        return each(_provider, [entry.split("=", 1) for entry in texts(value)])
    tables: list[Any] = value if isinstance(value, list) else [None]
    if any(not isinstance(table, dict) or set(table) != {"name", "url"} for table in tables):
        example = '[{ name = "Bluesky", url = "https://bsky.social" }]'
        raise ValueError(f"must be a list of tables, as {example}; in the environment, Name=https://…")
    return each(_provider, [[table["name"], table["url"]] for table in tables])


def _provider(pair: list[Any]) -> Provider:
    name, url = line(pair[0]), http_origin(pair[1])
    if not name:
        raise ValueError("a provider has no name; give the button some words")
    return Provider(name, url)
