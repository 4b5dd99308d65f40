"""Where a visitor goes after signing in.

Owns: which `return_to` is believed under one configuration, and the words and address for it. "" is the
profile.
Doesn't belong here: the reading of a URL itself (forwarded.py).
"""

from urllib.parse import quote, urlsplit

from sidecar.forwarded import accept_return_to
from sidecar.policy import Policy
from sidecar.settings import Settings


class Destinations:
    """The pages that a sign-in may lead back to."""

    def __init__(self, settings: Settings, policy: Policy) -> None:
        self._settings = settings
        self._policy = policy

    def accept(self, return_to: str | None) -> str:
        """The address, built anew, or "" where it isn't one of ours."""
        accepted = accept_return_to(
            return_to,
            scheme=self._settings.scheme,
            known=self._policy.knows,
            public_host=self._settings.public_host,
            prefix=self._settings.prefix,
        )
        return accepted or ""

    def address(self, return_to: str) -> str:
        """The absolute address to send the visitor to."""
        return return_to or self._settings.base_url + "/"

    def host(self, return_to: str) -> str:
        """The host it leads to, for people; "" for the profile."""
        return urlsplit(return_to).netloc

    def login(self, return_to: str, *, switch: bool = False) -> str:
        """The sign-in page that leads there."""
        query = [f"return_to={quote(return_to, safe='')}"] if return_to else []
        query += ["switch=1"] if switch else []
        return f"{self._settings.base_url}/login" + ("?" + "&".join(query) if query else "")
