"""How servers read a Cookie header: models of their parsers, each a list of the names that it finds.

Taken from the sources of Go 1.25 (net/http readCookies), the npm package cookie 0.7 and 1.0, Werkzeug 3.1
(parse_cookie), Starlette 1.0 (cookie_parser) and PHP 8.4 (php_default_treat_data, php_register_variable_ex).
Each is given the lines that arrived, as the bytes that a server behind Caddy gets.
"""

import re
from collections.abc import Callable, Iterator
from urllib.parse import unquote_to_bytes

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_JAVASCRIPT_SPACE = "\t\n\v\f\r \xa0"  # what trim() takes of Latin-1, which Node decodes headers as


def go(lines: list[bytes]) -> list[str]:
    names = (part.strip(b" \t").partition(b"=")[0].strip(b" \t") for part in _parts(lines))
    return [name.decode("ascii") for name in names if _TOKEN.fullmatch(name)]


def node(lines: list[bytes]) -> list[str]:
    text = b"; ".join(lines).decode("latin-1")
    return [part.partition("=")[0].strip(_JAVASCRIPT_SPACE) for part in text.split(";") if "=" in part]


def werkzeug(lines: list[bytes]) -> list[str]:
    text = b",".join(lines).decode("utf-8", "replace") + ";"  # PEP 3333 servers join with a comma
    found = re.findall(r"([^=;]*)(?:\s*=\s*([^;]*))?\s*;\s*", text)
    return [name.strip() for name, _ in found if name.strip()]


def starlette(lines: list[bytes]) -> list[str]:
    texts = (line.decode("latin-1") for line in lines)
    return [part.partition("=")[0].strip() for text in texts for part in text.split(";") if "=" in part]


def php(lines: list[bytes], *, decodes_names: bool = False) -> list[str]:
    """`decodes_names`: as before 7.2.34, 7.3.23 and 7.4.11 (CVE-2020-7070)."""
    found = []
    for part in b", ".join(lines).split(b";"):  # Caddy joins lines so for FastCGI
        name = part.lstrip(b" \t\n\v\f\r").partition(b"=")[0]
        if decodes_names:
            name = unquote_to_bytes(name.replace(b"+", b" "))
        name = name.partition(b"\0")[0].lstrip(b" ")
        if name and not name.startswith(b"["):
            found.append(_registered(name).decode("latin-1"))
    return found


def old_php(lines: list[bytes]) -> list[str]:
    return php(lines, decodes_names=True)


def _registered(name: bytes) -> bytes:
    before, bracket, after = name.partition(b"[")
    if bracket and b"]" in after:
        return before.translate(_FOLDED)  # an array of that name
    return name.translate(_FOLDED)


_FOLDED = bytes.maketrans(b" .[", b"___")


def _parts(lines: list[bytes]) -> Iterator[bytes]:
    return (part for line in lines for part in line.split(b";"))


READERS: tuple[Callable[[list[bytes]], list[str]], ...] = (go, node, werkzeug, starlette, php, old_php)
