"""Every page with something in each of its fields, and a strict reader of what came out.

Owns: `SAMPLES`, `every_page`, `Outline`.
"""

from collections.abc import Mapping
from html.parser import HTMLParser
from types import SimpleNamespace

from sidecar.replies.pages import Pages
from sidecar.replies.reply import Reply
from sidecar.replies.words import Explanation

DID = "did:plc:ewvi7nxzyoun6zhxrhs64oiz"
LOGIN = "https://auth.club.net/auth/login?return_to=https%3A%2F%2Fwiki.club.net%2Fa%3Fb%3D1"
EXPLANATION = Explanation(404, "handle_not_found", "Handle not found", "Check the spelling.", "try_again")

SAMPLES: dict[str, dict[str, object]] = {
    "sign_in": {
        "return_to": "https://wiki.club.net/a?b=1",
        "host": "wiki.club.net",
        "switch": True,
        "shortened": True,
        "identifier": "alice.club.net",
        "explanation": EXPLANATION,
    },
    "profile": {"did": DID, "handle": "alice.club.net", "display_name": "Alice"},
    "sign_out": {"session": SimpleNamespace(handle="alice.club.net", did=DID)},
    "signed_out": {"recorded": False},
    "error": {
        "explanation": EXPLANATION._replace(action="other_account"),
        "login_url": LOGIN,
        "switch_url": LOGIN + "&switch=1",
        "request_id": "0123456789ab",
    },
    "loop": {"explanation": EXPLANATION, "return_to": "https://wiki.club.net/a", "host": "wiki.club.net"},
}
# The check's pages: text in every slot
SLOTS: dict[str, dict[str, str]] = {
    "forbidden": {
        "handle": "alice.club.net",
        "did": DID,
        "host": "wiki.club.net",
        "login_url": LOGIN,
        "reason": "not_allowed",
    },
    "not_delivered": {"host": "wiki.club.net", "login_url": LOGIN},
    "check_error": {"heading": "Not set up", "message": "No rule for this site.", "code": "unknown_host"},
}


def every_page(pages: Pages) -> dict[str, Reply]:
    """Each page once, by the template's name."""
    return {name: show(pages, name, SAMPLES.get(name) or SLOTS[name]) for name in (*SAMPLES, *SLOTS)}


def show(pages: Pages, name: str, context: Mapping[str, object]) -> Reply:
    """One page, in the way that the app makes it."""
    if name in SAMPLES:
        return pages.page(200, name, (), **context)
    values = {slot: str(value) for slot, value in context.items()}
    return pages.prepared(name, *context).reply(403, (), **values)


class Outline(HTMLParser):
    """The elements of a page in order, with their attributes. ValueError where tags don't balance."""

    VOID = frozenset({"meta", "link", "input", "br", "img"})

    def __init__(self, page: Reply) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []  # (innermost element, text)
        self._open: list[str] = []
        self.feed(page.body.decode())
        self.close()
        if self._open:
            raise ValueError(f"never closed: {self._open}")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if len(dict(attrs)) != len(attrs):
            raise ValueError(f"an attribute twice: {attrs}")
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            raise ValueError(f"</{tag}> closes nothing")

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append((self._open[-1] if self._open else "", data.strip()))

    @property
    def shape(self) -> list[tuple[str, tuple[str, ...]]]:
        """What is markup and not text: tags and the names of their attributes."""
        return [(tag, tuple(attributes)) for tag, attributes in self.elements]

    def all(self, *tags: str) -> list[dict[str, str | None]]:
        """The attributes of each of these elements."""
        return [attributes for tag, attributes in self.elements if tag in tags]

    def text(self, tag: str) -> str:
        """What stands directly in elements of this kind."""
        return " ".join(text for element, text in self.texts if element == tag)
