"""How a browser reads the origin of an absolute URL, in short (WHATWG URL, special schemes)."""

import re
from urllib.parse import unquote

import idna


def browser_origin(url: str) -> tuple[str, str] | None:
    """(scheme, host, with its port unless it is the scheme's own); None where it sees no web address."""
    url = re.sub(r"[\t\r\n]", "", url.strip("".join(map(chr, range(0x21)))))
    match = re.fullmatch(r"(?is)(https?):[/\\]*([^/\\?#]*).*", url)
    if match is None:
        return None
    scheme = match[1].lower()
    host, _, port = match[2].rpartition("@")[2].partition(":")
    if port and not re.fullmatch("[0-9]+", port):
        return None
    host = unquote(host).removesuffix(".")
    try:
        host = idna.encode(host, uts46=True).decode() if not host.isascii() else host.lower()
    except UnicodeError:
        return None
    own = {"http": "80", "https": "443"}[scheme]
    shown = str(int(port)) if port else own
    return scheme, host if shown == own else f"{host}:{shown}"
