"""What the doctor reads in Caddy's running configuration: whether each app's site has the check, and whole.

Owns: the way through Caddy's JSON, and what each difference means.
Doesn't belong here: knocking at the sites (apps.py), the snippets (Caddyfile.example).

Caddy's admin address answers on this machine only. If it is off, nothing is read, and nothing has failed:
the doctor knocks at every app's door anyway.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from sidecar.access.foreign_headers import STRIPPED
from sidecar.access.identity_headers import MARK
from sidecar.commands.doctor.findings import Finding, Findings, Remedy, ok
from sidecar.commands.doctor.probes import CADDY_ADMIN, Outside
from sidecar.settings import Settings

_UPDATE = "replace your snippets by those that `sidecar init` prints in an empty folder, and reload Caddy"
_OLD = Remedy("the snippets in the Caddyfile are of an older version", _UPDATE)
_NO_CHECK = Remedy(
    "the site in the Caddyfile doesn't import atproto",
    "put `import atproto ADDRESS` into the site's block, and reload Caddy",
)
_REWRITTEN = Remedy(
    "a rewrite, uri, handle_path or try_files of yours stands before `import atproto`",
    "put it into the block behind `import atproto ADDRESS`, so that the check sees the visitor's own address",
)


class Step(NamedTuple):
    """One handler, in the order in which Caddy runs them."""

    kind: str
    handler: dict[str, Any]
    matchers: list[Any]


def sites(settings: Settings, world: Outside) -> Findings:
    """Every host of every app."""
    config = world.caddy_config()
    if config is None:
        yield ok(
            "Caddy's sites", f"not looked at: nothing answers at {CADDY_ADMIN} (the admin address may be off)"
        )
        return
    hosts = [host for app in settings.apps.values() for host in app.hosts]
    for host in hosts:
        yield from _site(host, list(_steps_for(config, host)), settings)


def _site(host: str, steps: list[Step], settings: Settings) -> Iterator[Finding]:
    tried = f"Caddy's site of {host}"
    if not steps:
        yield Finding("warn", tried, "this Caddy has no such site", Remedy(
            "another Caddy serves it, or none does", "run the doctor where that Caddy runs"
        ))  # fmt: skip
        return
    at = next((n for n, step in enumerate(steps) if _is_check(step, settings)), None)
    if at is None:
        yield Finding("FAIL", tried, "it doesn't ask the sidecar's check", _NO_CHECK)
        return
    before, after = steps[:at], steps[at + 1 :]
    wrong = [*_rewrites(before), *_old(before, steps[at], after)]
    for remedy, seen, verdict in wrong:
        yield Finding(verdict, tried, seen, remedy)
    if not wrong:
        yield ok(tried, "it asks the check, with the snippets of this version")


def _is_check(step: Step, settings: Settings) -> bool:
    uri = str(step.handler.get("rewrite", {}).get("uri", ""))
    return step.kind == "reverse_proxy" and uri.partition("?")[0] == f"{settings.prefix}/check"


def _rewrites(before: list[Step]) -> Iterator[tuple[Remedy, str, Any]]:
    if any(step.kind == "rewrite" for step in before):
        yield _REWRITTEN, "the address is rewritten before the check", "FAIL"


def _old(before: list[Step], check: Step, after: list[Step]) -> Iterator[tuple[Remedy, str, Any]]:
    deleted = {
        name.lower()
        for step in before
        if step.kind == "headers"
        for name in step.handler.get("request", {}).get("delete", [])
    }
    missing = [name for name in STRIPPED if name.lower() not in deleted]
    if MARK.lower() not in deleted:
        yield _OLD, f"a visitor's own {MARK} isn't deleted before the check", "FAIL"
    if missing:
        shown = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        yield _OLD, f"these headers of visitors reach the app: {shown}", "FAIL"
    if not any(_tests_the_mark(step) for step in after):
        yield _OLD, "any answer with 2xx opens the app, not the check's alone", "FAIL"
    if "Cookie" not in str(check.handler.get("handle_response", "")):
        yield _OLD, "the app gets the session cookie", "FAIL"
    if not check.handler.get("load_balancing", {}).get("try_duration"):
        yield _OLD, "a restart of the sidecar fails requests (no lb_try_duration)", "warn"


def _tests_the_mark(step: Step) -> bool:
    return step.kind in ("static_response", "error") and MARK.lower() in str(step.matchers).lower()


def _steps_for(config: dict[str, Any], host: str) -> Iterator[Step]:
    for server in config.get("apps", {}).get("http", {}).get("servers", {}).values():
        for route in server.get("routes", []):
            if _has_host(route, host):
                yield from _steps(route, settled=True)


def _has_host(route: dict[str, Any], host: str) -> bool:
    names = {name.lower() for match in route.get("match") or [] for name in match.get("host", [])}
    bare = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    return bare in names or f"*.{bare.partition('.')[2]}" in names


def _steps(route: dict[str, Any], *, settled: bool = False) -> Iterator[Step]:
    """The sidecar's own pages are another way through the site: they have a matcher for a path."""
    matchers = route.get("match") or []
    if not settled and any("path" in match for match in matchers):
        return
    for handler in route.get("handle", []):
        if handler.get("handler") == "subroute":
            for inner in handler.get("routes", []):
                yield from _steps(inner)
        else:
            yield Step(str(handler.get("handler")), handler, matchers)
