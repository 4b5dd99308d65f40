"""What people see: templates, and how they become replies.

Owns: the template environment (the operator's folder first, then ours), autoescape, pages prepared for the
hot path.
Doesn't belong here: the words for errors (replies.py), which page is shown when (login.py, check.py, …).
"""

import html as markup
from collections.abc import Iterable

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, PackageLoader, StrictUndefined
from markupsafe import Markup

from sidecar.replies import Header, Reply, html, page_headers
from sidecar.settings import Settings
from sidecar.visible import visible

_DEVELOPMENT_FORMS = "http://localhost:* http://127.0.0.1:* http://[::1]:*"


class Pages:
    """The pages of one configuration."""

    def __init__(self, settings: Settings) -> None:
        folders = [FileSystemLoader(settings.pages.templates)] if settings.pages.templates else []
        self._environment = Environment(
            loader=ChoiceLoader([*folders, PackageLoader("sidecar", "templates")]),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters["visible"] = visible
        style, _, _ = self._environment.loader.get_source(self._environment, "style.css")  # type: ignore[union-attr] # set above
        self._environment.globals |= {
            "style": Markup(style),  # noqa: S704 # a file of ours or the operator's
            "base_url": settings.base_url,
            "public_host": settings.public_host,
            "title": settings.pages.title,
            "providers": settings.pages.providers,
            "signup": settings.pages.signup,
        }
        # The form's answer is a redirect to a server that isn't known when the page is made, and browsers
        # hold redirects of a form against form-action too.
        development = f" {_DEVELOPMENT_FORMS}" if settings.loopback else ""
        self._own = page_headers(style, forms=f"'self' https:{development}")
        self._apps = page_headers(style, forms="'none'")

    def page(self, status: int, name: str, headers: Iterable[Header] = (), **context: object) -> Reply:
        """A page on our own origin, from the template of that name."""
        return html(status, self._render(name, context), (*self._own, *headers))

    def prepared(self, name: str, *slots: str) -> "Prepared":
        """A page for the check to send, on the app's origin: no forms, its slots filled in per request."""
        marks = {slot: f"\ue000{slot}\ue000" for slot in slots}
        rendered = self._render(name, marks).decode()
        return Prepared(rendered.split("\ue000"), frozenset(slots), self._apps)

    def _render(self, name: str, context: dict[str, object] | dict[str, str]) -> bytes:
        return self._environment.get_template(f"{name}.html").render(context).encode()


class Prepared:
    """A rendered page with open slots. `parts`: text and names of slots in turn."""

    def __init__(self, parts: list[str], slots: frozenset[str], headers: tuple[Header, ...]) -> None:
        self._parts = parts
        self._slots = slots
        self._headers = headers

    def reply(self, status: int, headers: Iterable[Header] = (), **values: str) -> Reply:
        """The page with every slot filled, escaped for text and attributes. KeyError for a missing value."""
        texts = [
            part if index % 2 == 0 else markup.escape(values[part]) for index, part in enumerate(self._parts)
        ]
        return html(status, "".join(texts).encode(), (*self._headers, *headers))
