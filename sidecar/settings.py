"""What can be set: names, types, defaults and one line of why for each.

Owns: the shape of the configuration. Reading it, and what contradicts what, is config.py; how one value is
parsed is values.py. `config/sidecar.example.toml` and `docs/configuration.md` are generated from here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from sidecar import values

REQUIRED: Any = object()


def setting(parse: Callable[[Any], Any], default: Any, why: str, *, secret: bool = False) -> Any:
    """A field: `parse` turns the TOML value or the environment's text into its type, or raises ValueError.

    `default` is the typed value (REQUIRED: there is none); `secret` allows `…_FILE` and hides the value.
    """
    metadata = {"parse": parse, "why": why, "secret": secret}
    if default is REQUIRED:
        return field(metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Where the sidecar listens, and who may talk to it."""

    listen: str = setting(values.listen, "127.0.0.1:9180", "host:port, or unix:/path/to/socket")
    socket_mode: int = setting(values.file_mode, 0o660, "mode of the unix socket; it is the socket's only guard")
    socket_owner: str = setting(values.text, "", 'owner of the unix socket, as "user:group", "user" or ":group"')
    workers: int = setting(values.integer(1, 64), 1, "processes; one serves thousands of checks a second")
    trusted_peers: tuple[values.Network, ...] = setting(
        values.networks, values.LOOPBACK, "addresses that may connect: Caddy's; anyone else is refused"
    )
    keep_alive: float = setting(values.duration, 150.0, "how long an idle connection stays open; above Caddy's 2 minutes")
    stop_timeout: float = setting(values.duration, 20.0, "how long running requests may take to finish at a stop")
    fast_path: bool = setting(values.boolean, True, "answer checks before a task exists; off: plain ASGI")


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """How authorization servers see us."""

    name: str = setting(values.line, "", "shown on the consent page; empty: the public host")
    keys_file: Path = setting(values.path, Path("client-keys.json"), "JWK set; the first key signs, all are published")
    jwks: Literal["inline", "uri"] = setting(
        values.choice("inline", "uri"), "inline", "public keys inside the client metadata, or at jwks.json"
    )
    logo_uri: str = setting(values.https_url, "", "https address of a logo")
    tos_uri: str = setting(values.https_url, "", "https address of your terms")
    policy_uri: str = setting(values.https_url, "", "https address of your privacy policy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """The session cookie."""

    cookie_secrets: tuple[str, ...] = setting(
        values.secrets, (), "secrets of 32 characters or more; the first signs, all verify", secret=True
    )
    cookie_secrets_file: Path | None = setting(
        values.optional_path, None, "file with one secret a line, instead of cookie_secrets"
    )
    cookie_domain: str = setting(
        values.cookie_domain, "", "parent domain to share the session with its subdomains; empty: the public host only"
    )
    idle: float = setting(values.duration, 7 * 86400.0, "a session unused for this long ends")
    absolute: float = setting(values.duration, 30 * 86400.0, "a session ends this long after sign-in, used or not")
    renew_after: float = setting(values.duration, 86400.0, "age at which the cookie is renewed; at most half of idle")
    revocation_max_stale: float = setting(
        values.duration, 300.0, "how long checks go on when sign-outs elsewhere can't be learned of"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSettings:
    """Where sign-ins under way and sign-outs are kept."""

    kind: Literal["sqlite", "memory"] = setting(
        values.choice("sqlite", "memory"), "sqlite", "memory forgets at a restart and serves one worker only"
    )
    path: Path = setting(values.path, Path("sidecar.db"), "the SQLite database")


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentitySettings:
    """How handles and DIDs are looked up."""

    plc_url: str = setting(values.http_origin, "https://plc.directory", "the PLC directory; it decides who everyone is")
    handle_resolver: str = setting(
        values.optional_http_origin, "", "server asked to resolve handles, for networks without DNS; answers are verified"
    )
    nameservers: tuple[str, ...] = setting(values.nameservers, (), "DNS servers, as address or address:port; empty: the system's")
    cache_ttl: float = setting(values.duration, 300.0, "how long an identity is remembered; under 10 minutes")
    cache_size: int = setting(values.integer(16, 1_000_000), 10_000, "identities remembered at most")
    handle_max_age: float = setting(values.duration, 86400.0, "age past which a verified handle opens nothing")
    fetch_timeout: float = setting(values.duration, 10.0, "overall deadline of one request to someone's server")
    development_servers: bool = setting(
        values.boolean, False, "allow servers on loopback over http, and .test handles; refused on a real public_url"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pages:
    """What people see."""

    title: str = setting(values.line, "Sign in", "heading of the sign-in page")
    templates: Path | None = setting(values.optional_path, None, "folder whose templates replace ours, by file name")
    providers: tuple[values.Provider, ...] = setting(
        values.providers, (values.Provider("Bluesky", "https://bsky.social"),), "buttons that start at a server, as { name, url }"
    )
    signup: str = setting(values.optional_http_origin, "https://bsky.social", 'server behind "Create an account"; empty: no link')


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one visitor, and all together, may ask of us. Counted in each worker."""

    attempts_per_address: int = setting(values.integer(1, 10**6), 30, "sign-in attempts in 5 minutes per address (IPv6: per /64)")
    attempts_per_identifier: int = setting(
        values.integer(1, 10**6), 10, "sign-in attempts in 5 minutes per identifier and address"
    )
    concurrent_sign_ins: int = setting(values.integer(1, 10**5), 50, "sign-ins talking to other servers at once")
    pending_sign_ins: int = setting(values.integer(10, 10**7), 100_000, "sign-ins under way at most")
    cached_cookies: int = setting(values.integer(16, 10**7), 50_000, "verified cookies remembered at most")


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """What the operator reads at night."""

    format: Literal["text", "json"] = setting(values.choice("text", "json"), "text", "one line, or one JSON object, per event")
    level: Literal["debug", "info", "warning", "error"] = setting(
        values.choice("debug", "info", "warning", "error"), "info", "the least that is written"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """One protected app: its hosts, and who may pass. An app without a rule lets nobody in."""

    hosts: tuple[str, ...] = setting(values.hosts, REQUIRED, 'host names, or "*.domain"; with a port only where it has one')
    allow: tuple[str, ...] = setting(
        values.rules, (), 'DIDs, handles, "*.domain" for handles under it, "@group", or "*" for anyone signed in'
    )
    deny: tuple[str, ...] = setting(values.rules, (), "the same; deny wins. Only a DID denies for good")
    require_handle: bool = setting(values.boolean, False, "refuse who has no verified handle")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The whole configuration, as `config.load` returns it: consistent, and with absolute paths."""

    public_url: str = setting(values.http_origin, REQUIRED, "where browsers reach the sidecar, without a path")
    prefix: str = setting(values.prefix, "/auth", "path under which all its pages live")
    server: Server = field(default_factory=Server)
    client: Client = field(default_factory=Client)
    session: Session = field(default_factory=Session)
    store: StoreSettings = field(default_factory=StoreSettings)
    identity: IdentitySettings = field(default_factory=IdentitySettings)
    pages: Pages = field(default_factory=Pages)
    limits: Limits = field(default_factory=Limits)
    log: Log = field(default_factory=Log)
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    apps: Mapping[str, App] = field(default_factory=dict)

    @property
    def base_url(self) -> str:
        """Public URL and prefix, without a trailing slash: `https://auth.example.com/auth`."""
        return self.public_url + self.prefix

    @property
    def scheme(self) -> str:
        return urlsplit(self.public_url).scheme

    @property
    def public_host(self) -> str:
        """Host of the public URL, with its port where it isn't the scheme's own."""
        return urlsplit(self.public_url).netloc

    @property
    def loopback(self) -> bool:
        """Served over http on loopback: the development client, plain cookie names."""
        return self.scheme == "http"
