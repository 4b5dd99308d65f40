"""`sidecar doctor`: does the deployment work, as others see it?

Owns: the checks, each a small function that yields what it found, and what to do about it.
Doesn't belong here: faults of the configuration alone (consistency.py), how the world is asked (outside.py).
"""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

from sidecar import client_keys, consistency
from sidecar.atproto.addresses import is_public
from sidecar.errors import SidecarError
from sidecar.outside import LIMIT, Answer, Outside
from sidecar.settings import Settings
from sidecar.store.sqlite import SqliteStore

PUBLIC_PLC = "https://plc.directory"
CADDY_NEEDED = (2, 11, 2)  # GHSA-7r4p-vjf4-gxv4: before it, clients can inject identity headers

_KNOWN_HANDLE = "_atproto.bsky.app"  # any name with a record would do
_SLOW = 5.0  # seconds; authorization servers give up at 10
_CLOCK_WARN, _CLOCK_FAIL = 2.0, 5.0  # seconds; our assertions are back-dated by 5


class Finding(NamedTuple):
    """One line of the report: `FAIL` keeps people from signing in or from being protected."""

    verdict: Literal["ok", "warn", "FAIL"]
    text: str


Findings = Iterator[Finding]


def examine(settings: Settings, say: Callable[[str], object], outside: Outside | None = None) -> bool:
    """Run every check and report line by line; whether nothing failed."""
    world = outside or Outside()
    failed = 0
    for check in CHECKS:
        for finding in _findings(check, settings, world):
            failed += finding.verdict == "FAIL"
            say(f"{finding.verdict:<4}  {finding.text}")
    say(
        f"Next: mend {failed} failure(s) and run sidecar doctor again"
        if failed
        else "Next: nothing, it works"
    )
    return not failed


def _findings(check: Callable[[Settings, Outside], Findings], settings: Settings, world: Outside) -> Findings:
    try:
        yield from check(settings, world)
    except (OSError, ValueError, TypeError, SidecarError) as error:
        subject = check.__name__.strip("_").replace("_", " ")
        yield Finding("FAIL", f"{subject}: {error}")


def _configuration(settings: Settings, _: Outside) -> Findings:
    yield Finding("ok", "configuration: no contradictions")
    for line in consistency.warnings(settings):
        yield Finding("warn", line)


def _files(settings: Settings, _: Outside) -> Findings:
    session, store = settings.session, settings.store
    private = [session.cookie_secrets_file] if session.cookie_secrets_file else []
    private += [] if settings.loopback else [settings.client.keys_file]
    private += [store.path] if store.kind == "sqlite" and store.path.exists() else []
    for path in private:
        fault = consistency.private_file_fault(path)
        yield Finding("FAIL", fault) if fault else Finding("ok", f"{path}: only its owner can read it")


def _store(settings: Settings, _: Outside) -> Findings:
    if settings.store.kind == "memory":
        yield Finding("ok", "store: in memory; a restart signs everybody out")
        return
    path = settings.store.path
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
        text = f"{host} is {', '.join(private)} from here; authorization servers use public addresses only"
        yield Finding("warn", text)
    else:
        yield Finding("ok", f"{host} is {', '.join(addresses)}")


def _client_metadata(settings: Settings, world: Outside) -> Findings:
    if settings.loopback:
        yield Finding("ok", "client metadata: none, the loopback client needs no public address")
        return
    client_id = f"{settings.base_url}/client-metadata.json"
    document = _fetched_as_by_a_server(world.get(client_id), client_id)
    if document.get("client_id") != client_id:
        raise ValueError(f"{client_id} says client_id {document.get('client_id')!r}; they must be identical")
    published = document.get("jwks")
    if published is None:
        jwks_uri = f"{settings.base_url}/jwks.json"
        published = _fetched_as_by_a_server(world.get(jwks_uri), jwks_uri)
    _compare_keys(published, client_keys.read(settings.client.keys_file))
    yield Finding("ok", f"{client_id}: served as authorization servers want it, with our keys")


def _fetched_as_by_a_server(answer: Answer, url: str) -> dict[str, Any]:
    """The JSON object; ValueError with the reason why an authorization server would refuse it."""
    location, kind = answer.headers.get("location", ""), answer.headers.get("content-type", "")
    if location:
        raise ValueError(f"{url} redirects to {location[:200]!r}; servers follow none: serve it right there")
    if answer.status != 200:
        raise ValueError(f"{url} answers {answer.status}; it must be 200: is forward_auth in front of it?")
    if kind.partition(";")[0].strip().lower() != "application/json":
        raise ValueError(f"{url} has content type {kind[:80]!r}; it must be application/json")
    if len(answer.body) > LIMIT:
        raise ValueError(f"{url} is larger than 512 kB")
    if answer.seconds > _SLOW:
        raise ValueError(f"{url} took {answer.seconds:.1f} s; servers wait 10 s at most")
    return dict(json.loads(answer.body))


def _compare_keys(published: Any, ours: list[client_keys.Jwk]) -> None:
    keys = published.get("keys") if isinstance(published, dict) else None
    if not isinstance(keys, list) or not all(isinstance(key, dict) for key in keys):
        raise ValueError("the published keys are no JWK set")
    if any("d" in key for key in keys):
        raise ValueError("a PRIVATE key is published: take it down, and replace it with sidecar keygen")
    if [_public_part(key) for key in keys] != [_public_part(key) for key in ours]:
        raise ValueError("the published keys aren't those of client.keys_file; restart the sidecar")


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
        answer = world.get(f"{url}/")
        stated = answer.headers.get("date", "")
        if not stated:
            yield Finding("warn", f"clock: {url} doesn't say what time it is")
            continue
        ahead = answer.received - parsedate_to_datetime(stated).timestamp()
        off = max(0.0, abs(ahead) - answer.seconds - 1)  # it tells whole seconds
        text = f"clock: {off:.0f} s from that of {url}"
        if off > _CLOCK_WARN:
            verdict: Literal["warn", "FAIL"] = "FAIL" if off > _CLOCK_FAIL else "warn"
            yield Finding(verdict, f"{text}; sign-ins fail when clocks differ: start a time service (NTP)")
        else:
            yield Finding("ok", text)


def _plc(settings: Settings, world: Outside) -> Findings:
    url = settings.identity.plc_url
    answer = world.get(f"{url}/_health")
    verdict: Literal["ok", "FAIL"] = "ok" if answer.status < 500 else "FAIL"
    yield Finding(verdict, f"PLC directory: {url} answers {answer.status}")
    if url != PUBLIC_PLC and not url.startswith("https://"):
        yield Finding("warn", f"{url} is neither https nor the public directory, and decides who everyone is")


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


CHECKS = (
    _configuration,
    _files,
    _store,
    _public_address,
    _client_metadata,
    _gate,
    _clocks,
    _plc,
    _dns,
    _caddy,
)
