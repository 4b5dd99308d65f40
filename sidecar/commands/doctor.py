"""`sidecar doctor`: does the deployment work, as others see it?

Owns: the checks, each a small function that yields what it found, and what to do about it.
Doesn't belong here: faults of the configuration alone (config_file/consistency.py), how the world is asked
(probes.py).
"""

import asyncio
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from ipaddress import ip_address
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

from sidecar.atproto.addresses import is_public
from sidecar.atproto.oauth.clock import BACKDATED, seconds_ahead
from sidecar.commands import client_keys
from sidecar.commands.probes import LIMIT, Answer, Outside
from sidecar.config_file import advice, files
from sidecar.errors import SidecarError
from sidecar.settings import Settings
from sidecar.store.sqlite import SqliteStore

PUBLIC_PLC = "https://plc.directory"
CADDY_NEEDED = (2, 11, 2)  # GHSA-7r4p-vjf4-gxv4: before it, clients can inject identity headers

_KNOWN_HANDLE = "_atproto.bsky.app"  # any name with a record would do
_SLOW = 5.0  # seconds; authorization servers give up at 10
_CLOCK_WARN = 2.0  # seconds; BACKDATED is where sign-ins begin to fail


class Finding(NamedTuple):
    """One line of the report: `FAIL` keeps people from signing in or from being protected."""

    verdict: Literal["ok", "warn", "FAIL"]
    text: str


Findings = Iterator[Finding]


class Mend(ValueError):
    """What is wrong, in words that say what to do."""


Check = Callable[[Settings, Outside], Findings]


def examine(settings: Settings, say: Callable[[str], object], outside: Outside | None = None) -> bool:
    """Run every check and report line by line; whether nothing failed."""
    world = outside or Outside()
    found: Counter[str] = Counter()
    for check in CHECKS:
        for finding in _findings(check, settings, world):
            found[finding.verdict] += 1
            say(f"{finding.verdict:<4}  {finding.text}")
    if found["FAIL"]:
        say(f"Next: mend {found['FAIL']} failure(s) and run sidecar doctor again")
    elif found["warn"]:
        say(f"Next: see to {found['warn']} warning(s); nothing has failed")
    else:
        say("Next: nothing, it works")
    return not found["FAIL"]


def _findings(check: Check, settings: Settings, world: Outside) -> Findings:
    subject = check.__name__.strip("_").replace("_", " ")
    try:
        yield from check(settings, world)
    except Mend as error:
        yield Finding("FAIL", f"{subject}: {error}")
    except (OSError, ValueError, TypeError, SidecarError) as error:
        yield Finding("FAIL", f"{subject}: {error}; {CHECKS[check]}")


def _configuration(settings: Settings, _: Outside) -> Findings:
    yield Finding("ok", "configuration: no contradictions")
    for line in advice.warnings(settings):
        yield Finding("warn", line)


def _files(settings: Settings, _: Outside) -> Findings:
    session, store = settings.session, settings.store
    private = [session.cookie_secrets_file] if session.cookie_secrets_file else []
    private += [] if settings.loopback else [settings.client.keys_file]
    private += [store.path] if store.kind == "sqlite" and store.path.exists() else []
    for path in private:
        fault = files.private_file_fault(path)
        yield Finding("FAIL", fault) if fault else Finding("ok", f"{path}: only its owner can read it")


def _store(settings: Settings, _: Outside) -> Findings:
    if settings.store.kind == "memory":
        yield Finding("ok", "store: in memory; a restart forgets what is in it")
        return
    path = settings.store.path
    fault = files.store_folder_fault(path)
    if fault:
        raise Mend(fault)
    if not os.access(path.parent, os.W_OK):
        raise Mend(
            f"{path.parent} can't be written; give it to the user that runs the sidecar, and run the doctor "
            "as that user or as root"
        )
    if not path.exists():  # made here it would belong to whoever runs the doctor
        yield Finding("warn", f"{path} isn't there yet; the first `sidecar serve` makes it")
        return
    asyncio.run(_open_and_close(settings))
    yield Finding("ok", f"{path}: opens and answers")


async def _open_and_close(settings: Settings) -> None:
    store = SqliteStore(settings.store.path, now=time.time, max_records=settings.limits.pending_sign_ins)
    await store.open()
    try:
        await store.ping()
    finally:
        await store.close()


def _public_address(settings: Settings, world: Outside) -> Findings:
    host = urlsplit(settings.public_url).hostname or ""
    if settings.loopback:
        return
    addresses = world.addresses(host)
    private = [each for each in addresses if not is_public(ip_address(each))]
    if private:
        text = (
            f"{host} is {', '.join(private)} from here; authorization servers use public addresses only: "
            "see that public DNS has one"
        )
        yield Finding("warn", text)
    else:
        yield Finding("ok", f"{host} is {', '.join(addresses)}")


def _client_metadata(settings: Settings, world: Outside) -> Findings:
    if settings.loopback:
        yield Finding("ok", "client metadata: none, the loopback client needs no public address")
        return
    client_id = settings.client_id
    document = _fetched_as_by_a_server(world.get(client_id), client_id)
    if document.get("client_id") != client_id:
        raise Mend(
            f"{client_id} says client_id {document.get('client_id')!r}; they must be identical: restart the "
            "sidecar, and let Caddy pass this host to no other one"
        )
    published = document.get("jwks")
    if published is None:
        jwks_uri = f"{settings.base_url}/jwks.json"
        published = _fetched_as_by_a_server(world.get(jwks_uri), jwks_uri)
    _compare_keys(published, client_keys.read(settings.client.keys_file))
    yield Finding("ok", f"{client_id}: served as authorization servers want it, with our keys")


def _fetched_as_by_a_server(answer: Answer, url: str) -> dict[str, Any]:
    """The JSON object; ValueError or TypeError where an authorization server would refuse it."""
    location, kind = answer.headers.get("location", ""), answer.headers.get("content-type", "")
    if location:
        raise Mend(f"{url} redirects to {location[:200]!r}; servers follow none: serve it right there")
    if answer.status != 200:
        raise Mend(
            f"{url} answers {answer.status}; it must be 200: is forward_auth in front of it? Import "
            "atproto-pages above that, and let it serve client.id_path if that is set"
        )
    if kind.partition(";")[0].strip().lower() != "application/json":
        raise ValueError(f"{url} has content type {kind[:80]!r}; it must be application/json")
    if len(answer.body) > LIMIT:
        raise ValueError(f"{url} is larger than 512 kB")
    if answer.seconds > _SLOW:
        raise Mend(f"{url} took {answer.seconds:.1f} s; servers wait 10 s at most: see what holds it up")
    return dict(json.loads(answer.body))


def _compare_keys(published: Any, ours: list[client_keys.Jwk]) -> None:
    keys = published.get("keys") if isinstance(published, dict) else None
    if not isinstance(keys, list) or not all(isinstance(key, dict) for key in keys):
        raise ValueError("the published keys are no JWK set")
    if any("d" in key for key in keys):
        raise Mend("a PRIVATE key is published: take it down, and replace it with sidecar keygen")
    if [_public_part(key) for key in keys] != [_public_part(key) for key in ours]:
        raise Mend("the published keys aren't those of client.keys_file; restart the sidecar")


def _public_part(key: client_keys.Jwk) -> tuple[Any, ...]:
    return tuple(key.get(name) for name in ("kid", "kty", "crv", "x", "y"))


def _gate(settings: Settings, world: Outside) -> Findings:
    ready = world.get(f"{settings.base_url}/readyz")
    if ready.status == 200:
        yield Finding("ok", f"{settings.base_url}/readyz: ready to work")
    else:
        yield Finding(
            "FAIL", f"{settings.base_url}/readyz answers {ready.status}; look into the sidecar's log"
        )
    check = world.get(f"{settings.base_url}/check")
    if check.status == 404:
        yield Finding("ok", "the check can't be reached from outside")
    else:
        text = "answers visitors; import atproto-pages from Caddyfile.example, which answers 404"
        yield Finding("FAIL", f"{settings.base_url}/check {text}")


def _clocks(settings: Settings, world: Outside) -> Findings:
    for url in (settings.identity.plc_url, settings.public_url):
        try:
            answer = world.get(f"{url}/")
            asked, date = answer.received - answer.seconds, answer.headers.get("date", "")
            ahead = seconds_ahead(date, asked=asked, answered=answer.received)
        except (OSError, ValueError) as error:  # another check reports a server that is down
            text = f"clock: {url} doesn't say what time it is ({error}); see that ours is right: timedatectl"
            yield Finding("warn", text)
            continue
        off, side = abs(ahead), "ahead of" if ahead > 0 else "behind" if ahead < 0 else "from"
        text = f"clock: {off:.0f} s {side} that of {url}"
        if off > _CLOCK_WARN:
            verdict: Literal["warn", "FAIL"] = "FAIL" if off > BACKDATED else "warn"
            yield Finding(verdict, f"{text}; sign-ins fail when clocks differ: start a time service (NTP)")
        else:
            yield Finding("ok", text)


def _plc(settings: Settings, world: Outside) -> Findings:
    url = settings.identity.plc_url
    answer = world.get(f"{url}/_health")
    if answer.status == 200:
        yield Finding("ok", f"PLC directory: {url} is well")
    else:
        text = f"PLC directory: {url} answers {answer.status} to /_health, not 200; {CHECKS[_plc]}"
        yield Finding("FAIL", text)
    if url != PUBLIC_PLC and not url.startswith("https://"):
        text = f"{url} is neither https nor the public directory, and decides who everyone is: use https"
        yield Finding("warn", text)


def _dns(settings: Settings, world: Outside) -> Findings:
    if settings.identity.handle_resolver:
        yield Finding("ok", f"DNS: not used; handles are asked of {settings.identity.handle_resolver}")
    elif any(text.startswith("did=") for text in world.txt(_KNOWN_HANDLE, settings.identity.nameservers)):
        yield Finding("ok", "DNS: TXT records resolve")
    else:
        text = (
            f"DNS: no TXT record for {_KNOWN_HANDLE}; set identity.nameservers to servers that pass them on"
        )
        yield Finding("FAIL", text)


def _caddy(_: Settings, world: Outside) -> Findings:
    version = world.caddy_version()
    needed = ".".join(map(str, CADDY_NEEDED))
    if version is None:
        yield Finding("warn", f"Caddy: no caddy command here; see that it is {needed} or newer")
        return
    shown = ".".join(map(str, version))
    if version < CADDY_NEEDED:
        yield Finding(
            "FAIL", f"Caddy {shown} lets clients forge identity headers; update to {needed} or newer"
        )
    else:
        yield Finding("ok", f"Caddy {shown}")


# The checks in their order, each with what to do where it can't come to an end.
CHECKS: Mapping[Check, str] = {
    _configuration: "run sidecar check-config",
    _files: "run the doctor as root, or as the user that runs the sidecar",
    _store: "run the doctor as root, or as the user that runs the sidecar; move away a file that is no "
    "database of ours: the next start makes one",
    _public_address: "add a DNS record (A or AAAA) for it, or mend public_url",
    _client_metadata: "start Caddy and the sidecar, and import atproto-pages at the public host: it must be "
    "the sidecar's own answer",
    _gate: "start Caddy and the sidecar, and import atproto-pages at the public host",
    _clocks: "see that the clock is right: timedatectl",
    _plc: "see that identity.plc_url is right, and that this machine may make https connections to it",
    _dns: "set identity.nameservers to servers that answer this machine, or set identity.handle_resolver",
    _caddy: "run caddy version, and mend what it says",
}
