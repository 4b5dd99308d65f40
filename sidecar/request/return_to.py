"""The way back to the page that was asked for, and the sign-in page that leads there.

Owns: building `return_to` from a request, believing one that comes back, its length, and how it is escaped.
"" means the profile page.
Doesn't belong here: reading the request (forwarded.py). Pure.
"""

import re
from collections.abc import Callable
from posixpath import normpath
from urllib.parse import quote, unquote, urlsplit

from sidecar.hosts import canonical_host
from sidecar.request.forwarded import Target
from sidecar.settings import Settings

MAX_RETURN_TO = 4096  # bytes
CHECKED = "checked"  # how the check tells the sign-in page when it sent the visitor there

_QUERY_SAFE = "/:?="  # as they are in a query's value (RFC 3986 section 3.4), which also keeps it readable
_URL = re.compile(r"(?P<scheme>[A-Za-z]+)://(?P<host>[A-Za-z0-9.:\[\]-]+)(?P<uri>/[!\"$-~]*)?")


class Destinations:
    """The pages that a sign-in may lead back to, under one configuration.

    `known`: whether a canonical host belongs to an app.
    """

    def __init__(self, settings: Settings, known: Callable[[str], bool]) -> None:
        self._scheme = settings.scheme
        self._prefix = settings.prefix
        self._public_host = settings.public_host
        self._profile = settings.base_url + "/"
        self._login = settings.base_url + "/login"
        self._known = known

    def accept(self, text: str | None) -> str:
        """The address, built anew, or "" if it isn't one of ours."""
        accepted = accept_return_to(
            text,
            scheme=self._scheme,
            known=self._known,
            public_host=self._public_host,
            prefix=self._prefix,
        )
        return accepted or ""

    def address(self, return_to: str) -> str:
        """The absolute address to send the visitor to."""
        return return_to or self._profile

    def host(self, return_to: str) -> str:
        """The host it leads to, for people to read; "" for the profile page."""
        return urlsplit(return_to).netloc

    def login(
        self, return_to: str, *, switch: bool = False, shortened: bool = False, checked: int | None = None
    ) -> str:
        """The sign-in page that leads there. `switch`: with another account; `shortened`: say that it was.

        `checked`: when the check found nobody signed in, in seconds since the epoch.
        """
        query = [f"return_to={quote(return_to, safe=_QUERY_SAFE)}"] if return_to else []
        query += ["switch=1"] if switch else []
        query += ["shortened=1"] if shortened else []
        query += [f"{CHECKED}={checked}"] if checked is not None else []
        return self._login + ("?" + "&".join(query) if query else "")

    def login_for(self, target: Target, *, switch: bool = False, checked: int | None = None) -> str:
        """The sign-in page that leads back to the request."""
        back, shortened = return_to(
            target, scheme=self._scheme, prefix=self._prefix, public_host=self._public_host
        )
        return self.login(back, switch=switch, shortened=shortened, checked=checked)

    def login_for_host(self, host: str) -> str:
        """The sign-in page that leads to the front page of a canonical host."""
        return self.login(f"{self._scheme}://{host}/")


def return_to(target: Target, *, scheme: str, prefix: str, public_host: str) -> tuple[str, bool]:
    """The address that was asked for, and whether it was too long and is the app's root instead.

    Scheme from the configuration. A backslash in the path is spelt `%5C`, which is what it means. Under the
    prefix of the public host it is the profile: nothing else there is a place to come back to.
    """
    origin = f"{scheme}://{target.host}"
    path, question, query = target.uri.partition("?")
    if target.host == public_host and _is_under(prefix, path):
        return f"{origin}{prefix}/", False
    path = path.replace("\\", "%5C")
    url = f"{origin}{path}{question}{query}"
    return (url, False) if len(url) <= MAX_RETURN_TO else (f"{origin}/", True)


def accept_return_to(
    text: str | None, *, scheme: str, known: Callable[[str], bool], public_host: str, prefix: str
) -> str | None:
    """The address to go to after a sign-in, built anew; None unless it is exactly one of ours.

    `known`: whether a canonical host belongs to an app. Of the public host's own pages only the profile is.
    """
    match = _URL.fullmatch(text) if text is not None and len(text) <= MAX_RETURN_TO else None
    if match is None or match["scheme"].lower() != scheme:
        return None
    try:
        host = canonical_host(match["host"], scheme=scheme)
    except ValueError:
        return None
    uri = match["uri"] or "/"
    path = uri.partition("?")[0]
    if "\\" in path:
        return None
    if host == public_host and _is_under(prefix, path):
        return f"{scheme}://{host}{prefix}/" if path == f"{prefix}/" else None
    return f"{scheme}://{host}{uri}" if known(host) else None


def _is_under(prefix: str, path: str) -> bool:
    """Whether a path may reach the prefix once browser and server have decoded and resolved it."""
    plain = unquote(path).replace("\\", "/").lower()
    resolved = normpath("/" + plain.lstrip("/"))
    return resolved == prefix.lower() or resolved.startswith(prefix.lower() + "/")
