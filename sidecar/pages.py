"""What people see: templates, and how they become replies.

Owns: the template environment (the operator's folder first, then ours), autoescape, the pages' security
headers, pages prepared for the hot path.
Doesn't belong here: the words for errors (replies.py), which page is shown when (login.py, check.py, …).
"""

import base64
import hashlib
import secrets
from collections.abc import Iterable, Iterator
from functools import lru_cache

from jinja2 import (
    ChoiceLoader,
    Environment,
    FileSystemLoader,
    PackageLoader,
    PrefixLoader,
    StrictUndefined,
    TemplateError,
    meta,
    nodes,
)
from markupsafe import Markup, escape

from sidecar.errors import ConfigError
from sidecar.replies import Header, Reply, html
from sidecar.settings import Settings
from sidecar.visible import visible

# What each template is given, beside what all have; docs/pages.md says it in words
VARIABLES: dict[str, frozenset[str]] = {
    "base": frozenset(),
    "sign_in": frozenset({"return_to", "host", "switch", "shortened", "identifier", "explanation"}),
    "profile": frozenset({"did", "handle", "display_name"}),
    "sign_out": frozenset({"session"}),
    "signed_out": frozenset({"recorded"}),
    "error": frozenset({"explanation", "login_url", "switch_url", "request_id"}),
    "loop": frozenset({"explanation", "return_to", "host"}),
    "forbidden": frozenset({"handle", "did", "host", "login_url", "reason"}),
    "not_delivered": frozenset({"host", "login_url"}),
    "check_error": frozenset({"heading", "message", "code"}),
}

# CSP's grammar has no IPv6 literals: a server at http://[::1] can't be named here
_DEVELOPMENT_FORMS = "http://localhost:* http://127.0.0.1:*"


class Pages:
    """The pages of one configuration. Raises ConfigError for a template of the operator's that can't work."""

    def __init__(self, settings: Settings) -> None:
        ours = PackageLoader("sidecar", "templates")
        theirs = [FileSystemLoader(settings.pages.templates)] if settings.pages.templates else []
        loader = ChoiceLoader([*theirs, ours, PrefixLoader({"ours": ours})])
        self._environment = Environment(
            loader=loader,
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,  # the style's hash and the prepared pages are made once, so all of it is
        )
        style, _, _ = loader.get_source(self._environment, "style.css")
        self._environment.filters["visible"] = visible
        self._environment.globals |= {
            "style": Markup(style),  # noqa: S704 # a file of ours or the operator's
            "base_url": settings.base_url,
            "public_host": settings.public_host,
            "title": settings.pages.title,
            "providers": settings.pages.providers,
            "signup": settings.pages.signup,
        }
        if theirs:
            _refuse(list(_faults(self._environment)))
        # The form's answer is a redirect to a server that isn't known when the page is made, and browsers
        # hold redirects of a form against form-action too.
        development = settings.loopback or settings.identity.development_servers
        forms = f"'self' https: {_DEVELOPMENT_FORMS}" if development else "'self' https:"
        self._own = security_headers(style, forms=forms)
        self._apps = security_headers(style, forms="'none'", framed_by_its_own_origin=True)

    def page(self, status: int, name: str, headers: Iterable[Header] = (), **context: object) -> Reply:
        """A page on our own origin, from the template of that name."""
        return html(status, self._render(name, context), (*self._own, *headers))

    def prepared(self, name: str, *slots: str) -> "Prepared":
        """A page for the check to send, on the app's origin: no forms, its slots filled in per request."""
        mark = f"{secrets.randbits(128):039}"  # nothing else on the page looks like it
        rendered = self._render(name, {slot: f"{mark}{slot}{mark}" for slot in slots}).decode()
        parts = rendered.split(mark)
        if not set(parts[1::2]) <= set(slots):
            _refuse([f"pages.templates: {name}.html changes a slot; show {', '.join(slots)} as they are"])
        return Prepared(parts, self._apps)

    def _render(self, name: str, context: dict[str, object] | dict[str, str]) -> bytes:
        return self._environment.get_template(f"{name}.html").render(context).encode()


class Prepared:
    """A rendered page with open slots. `parts`: text and names of slots in turn."""

    def __init__(self, parts: list[str], headers: tuple[Header, ...]) -> None:
        self._parts = [part.encode() for part in parts]
        self._slots = [(place, parts[place]) for place in range(1, len(parts), 2)]
        self._headers = headers

    def reply(self, status: int, headers: Iterable[Header] = (), **values: str) -> Reply:
        """The page with every slot filled, escaped for text and attributes. KeyError for a missing value."""
        filled = self._parts.copy()
        for place, slot in self._slots:
            filled[place] = _escaped(values[slot])
        return html(status, b"".join(filled), (*self._headers, *headers))


@lru_cache(maxsize=1024)
def _escaped(text: str) -> bytes:
    return escape(text).encode()


def security_headers(style: str, *, forms: str, framed_by_its_own_origin: bool = False) -> tuple[Header, ...]:
    """Headers of a page whose one style element is `style`. `forms`: where its forms may lead (CSP).

    Framing is for the check's pages alone, so that an app's own frame can show why it is empty.
    """
    ancestors = "'self'" if framed_by_its_own_origin else "'none'"
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; form-action {forms}; "
        f"base-uri 'none'; frame-ancestors {ancestors}"
    )
    return (
        (b"content-security-policy", policy.encode()),
        (b"referrer-policy", b"same-origin"),  # no-referrer would make our own POST say `Origin: null`
        (b"x-frame-options", b"SAMEORIGIN" if framed_by_its_own_origin else b"DENY"),
        (b"cross-origin-opener-policy", b"same-origin"),
        (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), publickey-credentials-get=()"),
    )


def _faults(environment: Environment) -> Iterator[str]:
    """What would fail once a page is shown: found when we start, from the source alone."""
    known = set(environment.globals)
    for name, given in VARIABLES.items():
        try:
            source, _, _ = environment.loader.get_source(environment, f"{name}.html")  # type: ignore[union-attr] # it has one
            tree = environment.parse(source)
            environment.get_template(f"{name}.html")
        except (TemplateError, UnicodeDecodeError) as error:
            yield f"pages.templates: {name}.html {error}; mend it, or delete it to get ours back"
            continue
        unknown = meta.find_undeclared_variables(tree) - _declared(tree)
        for variable in sorted(unknown - known - given):
            yield f"pages.templates: {name}.html is given no {variable}; docs/pages.md lists what it gets"


def _declared(tree: nodes.Template) -> set[str]:
    """What a template names itself outside its blocks: jinja doesn't count that inside them."""
    names = {name.name for name in tree.find_all(nodes.Name) if name.ctx == "store"}
    names |= {macro.name for macro in tree.find_all(nodes.Macro)}
    names |= {each.target for each in tree.find_all(nodes.Import)}
    for each in tree.find_all(nodes.FromImport):
        names |= {name if isinstance(name, str) else name[1] for name in each.names}
    return names


def _refuse(faults: list[str]) -> None:
    if faults:
        raise ConfigError(faults)
