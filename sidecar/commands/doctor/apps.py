"""The doctor knocks at each app's door, as a stranger: nothing but the sign-in gate's own refusal may answer.

Owns: how a door is reached, the knocks, and what each answer means.
Doesn't belong here: the refusals themselves (check/refusals.py), our own pages (public_host.py).

A host that can't be reached by its public name is asked at 127.0.0.1, with its name in TLS and in Host. A
certificate that isn't accepted hides no open door: the doctor then knocks without checking it, since it sends
no secret.
"""

import json
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sidecar.access.identity_headers import NAMES
from sidecar.commands.doctor.findings import Finding, Findings, Remedy
from sidecar.commands.doctor.no_answer import CERTIFICATE, Kind, NoAnswer
from sidecar.commands.doctor.probes import Answer, Outside
from sidecar.settings import Settings

_HERE = "127.0.0.1"
# A claim to be someone: the gate must not look at it, and the app must not see it.
_FORGED = {**dict.fromkeys(NAMES, "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"), "Remote-User": "admin"}
_FORGED |= {"X-User-Auth": "signed-in"}

_OPEN = Remedy(
    "the site in the Caddyfile doesn't import atproto, or another rule there answers before it",
    "put `import atproto ADDRESS` into the site's block, and take out every other way to the app",
)
_NO_SITE = Remedy(
    "Caddy has no site for this host, so it answers with an empty page",
    "add the site to the Caddyfile, with `import atproto ADDRESS`",
)
_NO_SIDECAR = Remedy(
    "Caddy can't reach the sidecar, or the site goes straight to an app that is down",
    "start the sidecar; compare SIDECAR_UPSTREAM with server.listen; let the site import atproto",
)
_OTHER_GATE = Remedy(
    "another sidecar answers, or this one still runs with another public_url",
    "restart the sidecar, and see that Caddy's SIDECAR_UPSTREAM leads to it",
)
_EXPOSED = Remedy(
    "the site passes this path to the sidecar, so visitors can ask the check themselves",
    "import atproto-pages from Caddyfile.example instead of a rule of your own",
)
# Refusals of ours that keep everybody out: the door is closed, but nobody gets in by it.
_OURS = {
    "unknown_host": Remedy(
        "the running sidecar doesn't know this host: the configuration has changed since it was read",
        "run sidecar reload",
    ),
    "untrusted_peer": Remedy(
        "Caddy connects from an address that isn't in server.trusted_peers",
        "add Caddy's address there; the sidecar's log has it (event=untrusted_peer)",
    ),
}
_OTHER_REFUSAL = Remedy("a rule in the Caddyfile refuses it", "see docs/troubleshooting.md for this code")


@dataclass(frozen=True, slots=True)
class _Door:
    """One host, and how it is reached. `at`: "" for its public name. `unverified`: with any certificate."""

    url: str
    at: str = ""
    unverified: bool = False

    def knock(self, world: Outside, path: str, headers: Mapping[str, str]) -> Answer:
        return world.get(self.url + path, headers, at=self.at, unverified=self.unverified)

    def __str__(self) -> str:
        return f"{self.url}{f' at {self.at}' if self.at else ''}"


def doors(settings: Settings, world: Outside) -> Findings:
    """Every host of every app, once."""
    for app in settings.apps.values():
        for host in app.hosts:
            yield from _host(settings, world, host)


def _host(settings: Settings, world: Outside, host: str) -> Findings:
    named = host if not host.startswith("*.") else secrets.token_hex(6) + host[1:]  # any name under it
    url = f"{settings.scheme}://{named}"
    failures: list[Finding] = []
    for at in ("",) if named.startswith(_HERE) else ("", _HERE):
        door = _Door(url, at)
        try:
            door.knock(world, "/", {})
        except NoAnswer as error:
            if not (named != host and error.kind is Kind.NO_ADDRESS):  # DNS needn't have a made-up name
                failures.append(Finding("warn", str(door), str(error), error.remedy(ours=True)))
            if error.kind not in CERTIFICATE:
                continue
            door = replace(door, unverified=True)
        yield from failures
        yield from _knocks(settings, world, door)
        return
    yield from failures


def _knocks(settings: Settings, world: Outside, door: _Door) -> Iterator[Finding]:
    """Three knocks; those that end alike are one finding."""
    check = f"{settings.prefix}/check"
    knocks: tuple[tuple[str, str, Mapping[str, str]], ...] = (
        ("without a cookie", "/", {}),
        ("with forged identity headers", "/", _FORGED),
        (f"at {check}", check, {}),
    )
    if door.url == settings.public_url:
        knocks = knocks[:-1]  # public_host.py looks at that
    found: dict[Finding, list[str]] = {}
    for how, path, headers in knocks:
        try:
            answer = door.knock(world, path, headers)
        except NoAnswer as error:
            finding = Finding("warn", "", str(error), error.remedy(ours=True))
        else:
            finding = _judged(settings, answer, at_the_check=path == check)
        found.setdefault(finding, []).append(how)
    for finding, ways in found.items():
        yield finding._replace(tried=f"{door} {', '.join(ways)}")


def _judged(settings: Settings, answer: Answer, *, at_the_check: bool) -> Finding:
    login = f"{settings.base_url}/login"
    said = _json(answer)
    code = str(said.get("error", ""))
    place = answer.headers.get("location", "")
    if answer.status == 401 and code == "sign_in_required":
        place = str(said.get("login_url", ""))
    if answer.status in (302, 401) and place.partition("?")[0] == login:
        return Finding("ok", "", "refused by the sign-in gate")
    if at_the_check and answer.status == 404 and not answer.body:
        return Finding("ok", "", "can't be reached from outside")
    seen = f"answers {answer.status}{f' {code[:40]}' if code else ''}"
    if answer.status == 403 and code in _OURS:
        return Finding("warn", "", f"{seen}: nobody gets in", _OURS[code])
    return Finding("FAIL", "", f"{seen} instead of the sign-in gate's refusal", _cause(answer, code))


def _cause(answer: Answer, code: str) -> Remedy:
    if code == "sign_in_required":
        return _OTHER_GATE
    if code.startswith("missing_x_forwarded"):
        return _EXPOSED
    if answer.status in (502, 503, 504):
        return _NO_SIDECAR
    if answer.status in (200, 404) and not answer.body and "via" not in answer.headers:
        return _NO_SITE
    return _OPEN


def _json(answer: Answer) -> Mapping[str, Any]:
    try:
        found = json.loads(answer.body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
