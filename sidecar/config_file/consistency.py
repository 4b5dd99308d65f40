"""Contradictions: what one setting means for another.

Owns: every rule that needs more than one value, or a look at the files that are named.
Doesn't belong here: reading (reader.py), the syntax of one value (settings/values.py), warnings (advice.py),
what needs the network (commands/).
"""

import ipaddress
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from sidecar.config_file import files
from sidecar.errors import ConfigError
from sidecar.settings import Settings

MAX_CACHE_TTL = 600.0  # seconds; the OAuth profile: "less than 10 minutes" for sign-in
SCHEME = (
    "the scheme of public_url"  # rules that need only this still report when public_url is otherwise invalid
)

# Where authorization servers refuse a client_id (rules of the reference implementation).
_REFUSED_TLDS = frozenset({"test", "local", "localhost", "invalid", "example"})
_REFUSED_DOMAINS = ("example.com", "example.org", "example.net")
# Names that never lead to the public network: RFC 6761, and ICANN's .internal.
RESERVED_TLDS = frozenset({"test", "localhost", "invalid", "example", "internal"})


class Fault(NamedTuple):
    """`paths`: every setting that the fault is about; the report names the first one."""

    paths: tuple[str, ...]
    text: str


def contradictions(settings: Settings) -> Iterator[list[Fault]]:
    """Every contradiction, rule by rule. Within one rule, no fault follows from another."""
    for rule in _RULES:
        yield list(rule(settings))


def reserved(settings: Settings) -> bool:
    """Whether the public URL can't be reached from the public network: loopback, or a reserved TLD."""
    return settings.loopback or _public_hostname(settings).rpartition(".")[2] in RESERVED_TLDS


def _public_url(settings: Settings) -> Iterator[Fault]:
    wrong = _loopback_fault(settings) if settings.loopback else _client_id_fault(settings)
    if wrong:
        yield Fault(("public_url",), wrong)


def _loopback_fault(settings: Settings) -> str:
    host = _public_hostname(settings)
    if host == "localhost":
        return "the loopback OAuth client comes back to an address, never to localhost; write 127.0.0.1"
    if host not in ("127.0.0.1", "::1"):
        return "http is for 127.0.0.1 and [::1] only; use https"
    return ""


def _client_id_fault(settings: Settings) -> str:
    """Why authorization servers would refuse our client_id; "" if they accept it."""
    host = _public_hostname(settings)
    if ":" in settings.public_host or _address(host) is not None:
        return "authorization servers refuse a port or an address here; use a name, on port 443"
    if "." not in host:
        return "authorization servers refuse a name without a dot; use a full domain name"
    if host.rpartition(".")[2] in _REFUSED_TLDS or any(_under(host, each) for each in _REFUSED_DOMAINS):
        return "authorization servers refuse reserved names; use a domain of your own"
    return ""


def _id_path(settings: Settings) -> Iterator[Fault]:
    prefix, path = settings.prefix, settings.client_id_path
    if f"{path}/".lower().startswith(f"{prefix}/".lower()) and path != f"{prefix}/client-metadata.json":
        text = "lies under the prefix, where our own pages are; choose a path outside it, or leave it empty"
        yield Fault(("client.id_path", "prefix"), text)


def _cookie_domain(settings: Settings) -> Iterator[Fault]:
    domain = settings.session.cookie_domain
    if not domain:
        return
    paths = ("session.cookie_domain", "public_url")
    if not _under(_public_hostname(settings), domain):
        yield Fault(
            paths, f"{settings.public_host} doesn't lie under it; name a parent domain, or leave it empty"
        )
    elif public_suffix(domain):
        yield Fault(
            paths,
            f"browsers refuse cookies for {domain}: anyone can have a name under it; use your own domain",
        )


def public_suffix(domain: str) -> bool:
    """Whether anyone can have a name under it."""
    from publicsuffixlist import PSLFILE, PublicSuffixList  # noqa: PLC0415 - only a shared domain needs it

    # Only the rules under the same top-level domain: ten thousand others would stay in memory for nothing.
    ending = domain.rpartition(".")[2]
    with Path(PSLFILE).open(encoding="utf-8") as file:
        rules = [line for line in file if line.rstrip().endswith(ending) or not line.isascii()]
    return bool(PublicSuffixList(rules).is_public(domain))


def _app_hosts(settings: Settings) -> Iterator[Fault]:
    domain = settings.session.cookie_domain
    owners: dict[str, str] = {}
    for name, app in settings.apps.items():
        path = f"apps.{name}.hosts"
        for host in app.hosts:
            hostname = _hostname(host)
            if hostname != _public_hostname(settings) and not (domain and _under(hostname, domain)):
                text = (
                    f"the session cookie never reaches {host}: it is neither the public host nor under "
                    "session.cookie_domain; set that to a domain that both lie under"
                )
                yield Fault((path, "public_url", "session.cookie_domain"), text)
            if host in owners:
                yield Fault((path,), f"{host} is in apps.{owners[host]} already; keep one of them")
            owners.setdefault(host, name)


def _groups(settings: Settings) -> Iterator[Fault]:
    for name, app in settings.apps.items():
        for key, rules in (("allow", app.allow), ("deny", app.deny)):
            for rule in rules:
                if rule.startswith("@") and rule[1:] not in settings.groups:
                    text = f"there is no group {rule[1:]}; add it to [groups], or write a handle without @"
                    yield Fault((f"apps.{name}.{key}", f"groups.{rule[1:]}"), text)


def _lifetimes(settings: Settings) -> Iterator[Fault]:
    session = settings.session
    if session.renew_after > session.idle / 2:
        yield Fault(("session.renew_after", "session.idle"), "must be at most half of session.idle")
    if session.idle > session.absolute:
        yield Fault(("session.idle", "session.absolute"), "must not be longer than session.absolute")
    if settings.identity.cache_ttl >= MAX_CACHE_TTL:
        yield Fault(
            ("identity.cache_ttl",), "must be under 10 minutes, so that handles don't go stale at sign-in"
        )


def _listen(settings: Settings) -> Iterator[Fault]:
    server = settings.server
    path = server.socket_path
    fault = None if path is None else files.socket_fault(path)
    if fault:
        yield Fault(("server.listen",), fault)
    if path is None and not server.trusted_peers:
        text = 'empty, so nobody may connect, not even Caddy; name Caddy\'s address, as "127.0.0.1"'
        yield Fault(("server.trusted_peers", "server.listen"), text)


def _metrics(settings: Settings) -> Iterator[Fault]:
    metrics, path = settings.metrics, ("metrics.token_file", "metrics.listen")
    if not metrics.listen:
        return
    host = metrics.listen.rpartition(":")[0].strip("[]")
    if metrics.token_file is not None:
        fault = files.private_file_fault(metrics.token_file) or files.token_fault(metrics.token_file)
        if fault:
            yield Fault(path, fault)
    elif not metrics.listen.startswith("unix:") and not ipaddress.ip_address(host).is_loopback:
        yield Fault(path, "missing, and others can reach metrics.listen; name a file with a token")
    if metrics.listen == settings.server.listen:
        yield Fault(
            ("metrics.listen", "server.listen"), "the same as server.listen; choose another port or path"
        )


def _workers(settings: Settings) -> Iterator[Fault]:
    if settings.store.kind == "memory" and settings.server.workers > 1:
        text = 'a memory store serves one worker only; set it to "sqlite", or server.workers to 1'
        yield Fault(("store.kind", "server.workers"), text)


def _files(settings: Settings) -> Iterator[Fault]:
    fault = None if settings.loopback else _keys_fault(settings.client.keys_file)
    if fault:
        yield Fault(("client.keys_file", SCHEME), fault)


def _templates(settings: Settings) -> Iterator[Fault]:
    templates = settings.pages.templates
    if templates is None:
        return
    if not templates.is_dir():
        yield Fault(("pages.templates",), f"{templates} isn't a folder; make it, or leave the setting out")
        return
    from sidecar.replies.pages import Pages  # noqa: PLC0415 - jinja is needed only for templates

    try:
        Pages(settings)
    except ConfigError as error:
        for fault in error.faults:
            yield Fault(("pages.templates",), fault.removeprefix("pages.templates: "))


def _keys_fault(path: Path) -> str | None:
    fault = files.private_file_fault(path)
    if fault:
        return fault

    def check() -> str | None:
        from sidecar.atproto.oauth import load_keys  # noqa: PLC0415 - only the child loads cryptography

        try:
            load_keys(path)
        except ValueError as error:
            return f"{error}; `sidecar keygen` prints a whole set"
        return None

    return files.in_a_child(check)


def _development(settings: Settings) -> Iterator[Fault]:
    if settings.identity.development_servers and not reserved(settings):
        text = "refused on a public_url that others can reach: it trusts servers on loopback; set it to false"
        yield Fault(("identity.development_servers", "public_url"), text)


_RULES = (
    _public_url,
    _id_path,
    _cookie_domain,
    _app_hosts,
    _groups,
    _lifetimes,
    _listen,
    _workers,
    _metrics,
    _files,
    _templates,
    _development,
)


def _public_hostname(settings: Settings) -> str:
    return _hostname(settings.public_host)


def _hostname(host: str) -> str:
    """Without port and brackets: cookies don't tell ports apart (RFC 6265 section 8.5)."""
    return urlsplit(f"//{host}").hostname or ""


def _under(host: str, domain: str) -> bool:
    return host == domain or host.endswith(f".{domain}")


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
