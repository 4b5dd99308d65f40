"""What people see: templates, and how they become replies.

Owns: the template environment (the operator's folder first, then ours), autoescape, the pages' security
headers, pages prepared for the hot path.
Doesn't belong here: the words for errors (replies/words.py), which page is shown when (signin/login.py,
check/check.py, …).
"""

import base64
import hashlib
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import product
from pathlib import Path
from traceback import extract_tb
from types import SimpleNamespace
from typing import get_args

from jinja2 import (
    Environment,
    FileSystemLoader,
    StrictUndefined,
    TemplateError,
    meta,
    nodes,
)
from markupsafe import Markup, escape

from sidecar.errors import ConfigError
from sidecar.replies.reply import Header, Reply, html
from sidecar.replies.server_words import Action
from sidecar.replies.sources import Templates, loader_of, read_templates
from sidecar.replies.visible import visible
from sidecar.replies.words import Explanation
from sidecar.settings import Settings

_TROUBLE = [
    Explanation(404, "handle_not_found", "Handle not found", "Check the spelling.", action)
    for action in get_args(Action)
]
_TROUBLE.append(_TROUBLE[0]._replace(said="This account is suspended."))
_LOGIN = "https://auth.sidecar.test/auth/login?return_to=https%3A%2F%2Fwiki.sidecar.test%2F"
_DID = "did:plc:ewvi7nxzyoun6zhxrhs64oiz"

# What each template is given beside what all have, which docs/pages.md says in words, and what it may be: the
# operator's templates are tried with every combination.
_SAMPLES: dict[str, dict[str, Sequence[object]]] = {
    "base": {},
    "sign_in": {
        "return_to": ["https://wiki.sidecar.test/"],
        "host": ["wiki.sidecar.test", ""],
        "switch": [False, True],
        "shortened": [False, True],
        "identifier": ["", "alice.sidecar.test"],
        "explanation": [None, *_TROUBLE],
    },
    "profile": {"did": [_DID], "handle": ["alice.sidecar.test", None], "display_name": ["Alice", ""]},
    "sign_out": {
        "session": [
            None,
            SimpleNamespace(did=_DID, handle="alice.sidecar.test"),
            SimpleNamespace(did=_DID, handle=None),
        ]
    },
    "signed_out": {"recorded": [True, False]},
    "error": {
        "explanation": _TROUBLE,
        "login_url": [_LOGIN],
        "switch_url": [f"{_LOGIN}&switch=1"],
        "request_id": ["0123456789ab", ""],
    },
    "loop": {
        "explanation": [_TROUBLE[0]],
        "return_to": ["https://wiki.sidecar.test/", ""],
        "host": ["wiki.sidecar.test", ""],
    },
}
# The check's own, prepared at the start: every variable is a slot.
_SLOTS: dict[str, Sequence[str]] = {
    "forbidden": ["handle", "did", "host", "login_url", "reason"],
    "not_delivered": ["host", "login_url"],
    "check_error": ["heading", "message", "code"],
}
VARIABLES = {name: frozenset(given) for name, given in (_SAMPLES | _SLOTS).items()}

# CSP's grammar has no IPv6 literals: a server at http://[::1] can't be named here
_DEVELOPMENT_FORMS = "http://localhost:* http://127.0.0.1:*"


class Pages:
    """The pages of one configuration. Raises ConfigError for a template of the operator's that can't work.

    `templates`: the operator's, if they have been read already. After this no page reads a file.
    """

    def __init__(self, settings: Settings, templates: Templates | None = None) -> None:
        if templates is None:
            templates = read_templates(settings.pages.templates)
        loader = loader_of(templates)
        self._environment = Environment(
            loader=loader,
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,  # the style's hash and the prepared pages are made once, so all of it is
        )
        faults = []
        try:
            style, _, _ = loader.get_source(self._environment, "style.css")
        except (OSError, UnicodeDecodeError) as error:
            style = ""
            faults.append(_fault("style.css", error))
        self._environment.filters["visible"] = visible
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
        development = settings.loopback or settings.identity.development_servers
        forms = f"'self' https: {_DEVELOPMENT_FORMS}" if development else "'self' https:"
        self._own = security_headers(style, forms=forms)
        self._apps = security_headers(style, forms="'none'", framed_by_its_own_origin=True)
        if templates:
            _refuse([*faults, *self._faults()])

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

    def _render(self, name: str, context: Mapping[str, object]) -> bytes:
        return self._environment.get_template(f"{name}.html").render(context).encode()

    def _faults(self) -> Iterator[str]:
        """What would fail once a page is shown, each fault once: found when we start."""
        sound = []
        for name in VARIABLES:
            found = list(_faults_of_source(self._environment, name))
            yield from found
            sound += [] if found else [name]
        yield from dict.fromkeys(fault for name in sound if (fault := self._fault_when_shown(name)))

    def _fault_when_shown(self, name: str) -> str | None:
        try:
            if name in _SLOTS:
                self.prepared(name, *_SLOTS[name])
            else:
                samples = _SAMPLES[name]
                for chosen in product(*samples.values()):
                    self._render(name, dict(zip(samples, chosen, strict=True)))
        except ConfigError as error:
            return error.faults[0]
        except Exception as error:  # noqa: BLE001 - a template can fail in any way that Python can
            return _fault(_place(error) or f"{name}.html", error)
        return None


class Prepared:
    """A rendered page with open slots. `parts`: texts and names of slots, alternating."""

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


def unused(folder: Path) -> list[str]:
    """What is in the operator's folder of templates and never shown: no page's name, nor used by another."""
    loader = FileSystemLoader(folder)
    environment = Environment(loader=loader, autoescape=True)
    names = {*(f"{name}.html" for name in VARIABLES), "style.css"}
    found = [name for name in loader.list_templates() if not name.startswith(".")]
    used = set()
    for name in found:
        try:
            tree = environment.parse(loader.get_source(environment, name)[0])
        except (OSError, UnicodeDecodeError, TemplateError):
            continue  # no template, or a fault that is reported elsewhere
        used |= set(meta.find_referenced_templates(tree))
    if None in used:  # a name that is made while the page is: it may be any
        return []
    folders = [f"{name}/" for name in names if (folder / name).is_dir()]
    return sorted([*(set(found) - names - used), *folders])


def _faults_of_source(environment: Environment, name: str) -> Iterator[str]:
    """What the source alone shows, whichever way the page's conditions go."""
    try:
        source, _, _ = environment.loader.get_source(environment, f"{name}.html")  # type: ignore[union-attr] # it has one
        tree = environment.parse(source)
        environment.get_template(f"{name}.html")
    except (TemplateError, OSError, UnicodeDecodeError) as error:
        yield _fault(f"{name}.html", error)
        return
    unknown = meta.find_undeclared_variables(tree) - _declared(tree)
    for variable in sorted(unknown - set(environment.globals) - VARIABLES[name]):
        yield f"pages.templates: {name}.html is given no {variable}; docs/pages.md lists what it gets"


def _fault(name: str, error: Exception) -> str:
    return f"pages.templates: {name} {error}; fix it, or delete it to get ours back"


def _place(error: Exception) -> str:
    """File and line of the template that failed, "" if there is none: jinja gives them frames."""
    frames = [frame for frame in extract_tb(error.__traceback__) if frame.filename.endswith(".html")]
    return f"{Path(frames[-1].filename).name} line {frames[-1].lineno}:" if frames else ""


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
