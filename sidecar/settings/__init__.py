"""What can be set: names, types, defaults and one line of why for each.

Owns: the shape of the configuration. `config/sidecar.example.toml` and `docs/configuration.md` are generated
from here (config_file/example.py).
Doesn't belong here: reading it (config_file/reader.py), what contradicts what (config_file/consistency.py),
how one value is parsed (values.py, addresses.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from sidecar.settings import addresses, values
from sidecar.settings.service import Limits as Limits
from sidecar.settings.service import Log as Log
from sidecar.settings.service import Metrics as Metrics
from sidecar.settings.service import Server as Server
from sidecar.settings.setting import Setting as Setting


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """How authorization servers see us."""

    name: Annotated[str, Setting(values.line, "shown on the consent page; empty: the public host")] = ""
    keys_file: Annotated[
        Path, Setting(values.path, "file with a JWK set; the first key signs, all are published")
    ] = Path("client-keys.json")
    jwks: Annotated[
        Literal["inline", "uri"],
        Setting(
            values.choice("inline", "uri"),
            "public keys at jwks.json, or inside the client metadata, where some servers never see a new one",
        ),
    ] = "uri"
    id_path: Annotated[
        str,
        Setting(
            addresses.id_path,
            "path of the client metadata, and so of our client_id; empty: client-metadata.json under prefix",
        ),
    ] = ""
    logo_uri: Annotated[str, Setting(addresses.https_url, "https address of a logo")] = ""
    tos_uri: Annotated[str, Setting(addresses.https_url, "https address of your terms")] = ""
    policy_uri: Annotated[str, Setting(addresses.https_url, "https address of your privacy policy")] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """The session cookie."""

    cookie_secrets: Annotated[
        tuple[str, ...],
        Setting(values.secrets, "secrets of 32 characters or more; the first signs, all count", secret=True),
    ] = field(default=(), repr=False)
    cookie_secrets_file: Annotated[
        Path | None, Setting(values.optional_path, "file with one secret a line, instead of cookie_secrets")
    ] = None
    cookie_domain: Annotated[
        str,
        Setting(
            addresses.cookie_domain,
            "the session is valid on this domain and all below it; empty: on the public host only",
        ),
    ] = ""
    idle: Annotated[float, Setting(values.duration, "a session unused for this long ends")] = 7 * 86400.0
    absolute: Annotated[
        float, Setting(values.duration, "a session ends this long after sign-in, used or not")
    ] = 30 * 86400.0
    renew_after: Annotated[
        float, Setting(values.duration, "age at which the cookie is renewed; at most half of idle")
    ] = 86400.0
    revocation_max_stale: Annotated[
        float, Setting(values.duration, "how long checks go on while the store can't be read")
    ] = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSettings:
    """Where sign-ins under way and sign-outs are kept."""

    kind: Annotated[
        Literal["sqlite", "memory"],
        Setting(values.choice("sqlite", "memory"), "memory forgets at a restart and serves one worker only"),
    ] = "sqlite"
    path: Annotated[Path, Setting(values.path, "the SQLite database")] = Path("sidecar.db")


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentitySettings:
    """How handles and DIDs are looked up."""

    plc_url: Annotated[
        str, Setting(addresses.http_origin, "the PLC directory; it decides who everyone is, so trust it")
    ] = "https://plc.directory"
    handle_resolver: Annotated[
        str,
        Setting(
            addresses.optional_http_origin,
            "server that resolves handles, for networks without DNS; its answers are verified",
        ),
    ] = ""
    nameservers: Annotated[
        tuple[str, ...],
        Setting(addresses.nameservers, "DNS servers, as address or address:port; empty: the system's"),
    ] = ()
    cache_ttl: Annotated[
        float, Setting(values.duration, "how long an identity is remembered; under 10 minutes")
    ] = 300.0
    cache_size: Annotated[int, Setting(values.integer(16, 1_000_000), "maximum of identities")] = 10_000
    handle_max_age: Annotated[
        float, Setting(values.duration, "a handle that was verified longer ago opens nothing")
    ] = 86400.0
    standing_max_age: Annotated[
        float, Setting(values.duration, "sessions of a closed account end within this time")
    ] = 86400.0
    private_servers: Annotated[
        tuple[str, ...],
        Setting(addresses.https_origins, "servers of your own that may have a private address"),
    ] = ()
    fetch_timeout: Annotated[
        float, Setting(values.duration, "how long one request to another server may take in all")
    ] = 10.0
    development_servers: Annotated[
        bool,
        Setting(
            values.boolean,
            "allow servers on loopback over http, and .test handles; refused on a real public_url",
        ),
    ] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pages:
    """What people see."""

    title: Annotated[str, Setting(values.line, "heading of the sign-in page")] = "Sign in"
    templates: Annotated[
        Path | None, Setting(values.optional_path, "folder of templates; each replaces ours of the same name")
    ] = None
    providers: Annotated[
        tuple[values.Provider, ...],
        Setting(addresses.providers, "buttons that start at a server: { name, url }"),
    ] = (values.Provider("Bluesky", "https://bsky.social"),)
    signup: Annotated[
        str, Setting(addresses.optional_http_origin, 'server behind "Create an account"; empty: no link')
    ] = "https://bsky.social"


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """One protected app: its hosts, and who may pass. An app without a rule lets nobody in."""

    hosts: Annotated[
        tuple[str, ...],
        Setting(addresses.hosts, 'host names, or "*.domain"; with a port only if it has one'),
    ]
    allow: Annotated[
        tuple[str, ...],
        Setting(
            addresses.rules,
            'DIDs, handles, "*.domain" for handles under it, "@group", or "*" for anyone signed in',
        ),
    ] = ()
    deny: Annotated[
        tuple[str, ...], Setting(addresses.rules, "as in allow; deny wins. Only a DID denies for good")
    ] = ()
    require_handle: Annotated[bool, Setting(values.boolean, "refuse people with no verified handle")] = False
    hosts_file: Annotated[
        Path | None, Setting(values.optional_path, "file with more hosts, one a line; # begins a comment")
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The whole configuration, as `reader.load` returns it: consistent, and with absolute paths."""

    public_url: Annotated[
        str, Setting(addresses.http_origin, "where browsers reach the sidecar, without a path")
    ]
    prefix: Annotated[
        str, Setting(addresses.prefix, "path of all its pages; Caddy's snippets have /auth: change both")
    ] = "/auth"
    server: Server = field(default_factory=Server)
    client: Client = field(default_factory=Client)
    session: Session = field(default_factory=Session)
    store: StoreSettings = field(default_factory=StoreSettings)
    identity: IdentitySettings = field(default_factory=IdentitySettings)
    pages: Pages = field(default_factory=Pages)
    limits: Limits = field(default_factory=Limits)
    log: Log = field(default_factory=Log)
    metrics: Metrics = field(default_factory=Metrics)
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    group_files: Mapping[str, Path] = field(default_factory=dict)
    apps: Mapping[str, App] = field(default_factory=dict)

    @property
    def list_files(self) -> tuple[Path, ...]:
        """The files of groups and hosts. A change of them alone is followed without a command."""
        hosts = [app.hosts_file for app in self.apps.values() if app.hosts_file is not None]
        return (*self.group_files.values(), *hosts)

    @property
    def base_url(self) -> str:
        """Public URL and prefix, without a trailing slash: `https://auth.example.com/auth`."""
        return self.public_url + self.prefix

    @property
    def client_id_path(self) -> str:
        """Where our client metadata is."""
        return self.client.id_path or self.prefix + "/client-metadata.json"

    @property
    def client_id(self) -> str:
        """Our name to authorization servers; on loopback they know us by another."""
        return self.public_url + self.client_id_path

    @property
    def scheme(self) -> str:
        return urlsplit(self.public_url).scheme

    @property
    def public_host(self) -> str:
        """Host of the public URL, with its port if it isn't the scheme's own."""
        return urlsplit(self.public_url).netloc

    @property
    def loopback(self) -> bool:
        """Served over http on loopback: the development client, plain cookie names."""
        return self.scheme == "http"
