"""What the doctor checks at the public host: its address, the client metadata, the sidecar behind Caddy.

Doesn't belong here: the apps' hosts (apps.py).
"""

import json
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from sidecar.atproto.addresses import is_public
from sidecar.commands import client_keys
from sidecar.commands.doctor.findings import Findings, Trouble, fail, ok, warn
from sidecar.commands.doctor.probes import LIMIT, Answer, Outside
from sidecar.settings import Settings

_SLOW = 5.0  # seconds; authorization servers give up at 10
_IMPORT_PAGES = "import atproto-pages at the public host, above everything else"


def address(settings: Settings, world: Outside) -> Findings:
    """Authorization servers reach the public host by public addresses only."""
    if settings.loopback:
        return
    host = urlsplit(settings.public_url).hostname or ""
    addresses = world.addresses(host)
    private = [each for each in addresses if not is_public(ip_address(each))]
    if private:
        yield warn(
            f"address of {host}",
            f"from here it is {', '.join(private)}, which isn't a public address",
            cause="a local DNS server or /etc/hosts answers, or public DNS has a private address",
            fix="see that public DNS has a public address: authorization servers use no other",
        )
    else:
        yield ok(f"address of {host}", ", ".join(addresses))


def client_metadata(settings: Settings, world: Outside) -> Findings:
    """Fetched as an authorization server fetches it."""
    if settings.loopback:
        yield ok("client metadata", "none; the loopback client needs no public address")
        return
    client_id = settings.client_id
    document = _fetched_as_by_a_server(world.get(client_id), client_id)
    if document.get("client_id") != client_id:
        raise Trouble(
            f"{client_id} says client_id {document.get('client_id')!r}; they must be identical",
            cause="the sidecar runs with another public_url or prefix, or another sidecar answers there",
            fix="restart the sidecar, and let Caddy send this host to no other one",
        )
    published = document.get("jwks")
    if published is None:
        jwks_uri = f"{settings.base_url}/jwks.json"
        published = _fetched_as_by_a_server(world.get(jwks_uri), jwks_uri)
    _compare_keys(published, client_keys.read(settings.client.keys_file))
    yield ok("client metadata", f"{client_id} is served as authorization servers want it, with our keys")


def _fetched_as_by_a_server(answer: Answer, url: str) -> dict[str, Any]:
    """The JSON object. Raises Trouble if an authorization server would refuse it."""
    location, kind = answer.headers.get("location", ""), answer.headers.get("content-type", "")
    other = f"another program than the sidecar answers there: {_IMPORT_PAGES}"
    if location:
        raise Trouble(
            f"{url} redirects to {location[:200]!r}; authorization servers don't follow",
            cause="forward_auth or another rule in the Caddyfile comes before the sidecar's pages",
            fix=_IMPORT_PAGES,
        )
    if answer.status != 200:
        raise Trouble(
            f"{url} answers {answer.status}; it must be 200",
            cause="forward_auth is in front of it, or the site doesn't serve the sidecar's pages",
            fix=f"{_IMPORT_PAGES}; if client.id_path is set, serve that path, too",
        )
    if kind.partition(";")[0].strip().lower() != "application/json":
        seen = f"{url} has content type {kind[:80]!r}; it must be application/json"
        raise Trouble(seen, cause=other, fix=_IMPORT_PAGES)
    if len(answer.body) > LIMIT:
        raise Trouble(f"{url} is larger than 512 kB", cause=other, fix=_IMPORT_PAGES)
    if answer.seconds > _SLOW:
        seen = f"{url} took {answer.seconds:.1f} s; authorization servers wait 10 s at most"
        raise Trouble(seen, cause="a slow network, or a busy machine", fix="see what holds it up")
    try:
        return dict(json.loads(answer.body))
    except (ValueError, TypeError) as error:
        seen = f"{url} isn't a JSON object ({type(error).__name__})"
        raise Trouble(seen, cause=other, fix=_IMPORT_PAGES) from error


def _compare_keys(published: Any, ours: list[client_keys.Jwk]) -> None:
    keys = published.get("keys") if isinstance(published, dict) else None
    if not isinstance(keys, list) or not all(isinstance(key, dict) for key in keys):
        raise Trouble(
            "the published keys aren't a JWK set", cause="not the sidecar answers there", fix=_IMPORT_PAGES
        )
    if any("d" in key for key in keys):
        raise Trouble(
            "a PRIVATE key is published",
            cause="something serves client.keys_file itself",
            fix="take it down, and make a new key with `sidecar keygen`: others may have read this one",
        )
    if [_public_part(key) for key in keys] != [_public_part(key) for key in ours]:
        raise Trouble(
            "the published keys aren't those of client.keys_file",
            cause="the file has changed since the sidecar was started",
            fix="restart the sidecar",
        )


def _public_part(key: client_keys.Jwk) -> tuple[Any, ...]:
    return tuple(key.get(name) for name in ("kid", "kty", "crv", "x", "y"))


def gate(settings: Settings, world: Outside) -> Findings:
    """The sidecar is ready, and visitors can't ask the check themselves."""
    url = f"{settings.base_url}/readyz"
    ready = world.get(url)
    if ready.status == 200:
        yield ok(url, "ready to work")
    elif ready.status == 502:
        yield fail(
            url,
            "answers 502",
            cause="Caddy can't reach the sidecar: it isn't running, or listens elsewhere",
            fix=f"start it, and compare Caddy's SIDECAR_UPSTREAM with {settings.server.listen}",
        )
    elif ready.status == 403:
        yield fail(
            url,
            "answers 403",
            cause="Caddy connects from an address that isn't in server.trusted_peers",
            fix="add Caddy's address there; the sidecar's log has it (event=untrusted_peer)",
        )
    else:
        yield fail(
            url,
            f"answers {ready.status}",
            cause="the store can't be used, or not the sidecar answers there",
            fix="look into the sidecar's log",
        )
    check = world.get(f"{settings.base_url}/check")
    if check.status == 404:
        yield ok(f"{settings.base_url}/check", "can't be reached from outside")
    else:
        yield fail(
            f"{settings.base_url}/check",
            f"answers {check.status}, so visitors reach the check",
            cause="the Caddyfile passes the whole prefix to the sidecar",
            fix="import atproto-pages from Caddyfile.example there; it answers 404",
        )
