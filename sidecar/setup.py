"""`sidecar init`: a configuration and its secrets for a new deployment.

Owns: what is in the three files, that they are all written or none, and the lines for Caddy.
Doesn't belong here: the settings themselves (settings.py), the snippets (Caddyfile.example).
"""

import json
import os
import re
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from sidecar import address_values, client_keys, config
from sidecar.errors import ConfigError
from sidecar.settings import Settings

CONFIG, KEYS, SECRETS = "sidecar.toml", "client-keys.json", "cookie-secrets.txt"

# Where config/sidecar.service has its socket and its database; the group is that of Caddy's own unit.
_FOR_SYSTEMD = (
    *("", "[server]", 'listen = "unix:/run/sidecar/sidecar.sock"', 'socket_owner = ":caddy"'),
    *("", "[store]", 'path = "/var/lib/sidecar/sidecar.db"'),
)


class Plan(NamedTuple):
    """What `init` was asked for. No `app_hosts`: the app is on the public host. `systemd`: for our unit."""

    public_url: str
    app_hosts: Sequence[str] = ()
    allow: Sequence[str] = ()
    systemd: bool = False


def init(folder: Path, plan: Plan) -> Settings:
    """Write the three files, all or none, mode 0600, and return what they say.

    Raises ConfigError where the plan contradicts itself, FileExistsError rather than overwrite, and OSError.
    """
    contents = {
        KEYS: client_keys.key_set([client_keys.new_key()]),
        SECRETS: secrets.token_urlsafe(32) + "\n",
        CONFIG: _toml(plan),
    }
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    try:
        for name, text in contents.items():
            _write_new(folder / name, text, written)
        return config.load(folder / CONFIG, {})
    except (OSError, ConfigError):
        for path in written:
            path.unlink(missing_ok=True)
        raise


def caddyfile(settings: Settings) -> str:
    """The lines for Caddy: the snippets, and a site for the public host and every app's."""
    sites = {settings.public_host: ["import atproto-pages"]}
    for app in settings.apps.values():
        for host in app.hosts:
            sites.setdefault(host, []).append("import atproto 127.0.0.1:3000 # the app's own address")
    blocks = [_site(f"{settings.scheme}://{host}", lines) for host, lines in sites.items()]
    return "\n".join([_snippets(settings.server.listen), *blocks])


def _write_new(path: Path, text: str, written: list[Path]) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    written.append(path)
    with os.fdopen(file, "w", encoding="utf-8") as stream:
        stream.write(text)


def _toml(plan: Plan) -> str:
    try:
        public_url = address_values.http_origin(plan.public_url)
    except ValueError as error:
        raise ConfigError([f"public_url: {error}"]) from error
    public_host = urlsplit(public_url).netloc
    hosts = list(plan.app_hosts) or [public_host]
    domain = _shared_domain([public_host, *plan.app_hosts])
    lines = [
        "# Made by `sidecar init`. Every setting: config/sidecar.example.toml and docs/configuration.md.",
        f"public_url = {json.dumps(public_url)}",
        *(_FOR_SYSTEMD if plan.systemd else []),
        *("", "[session]", f'cookie_secrets_file = "{SECRETS}"'),
        *([f"cookie_domain = {json.dumps(domain)}"] if domain else []),
    ]
    for name, host in _named(hosts):
        lines += [
            "",
            f"[apps.{name}]",
            f"hosts = {_text([host])}",
            f"allow = {_text(plan.allow)}",
        ]
    return "\n".join(lines) + "\n"


def _text(values: Sequence[str]) -> str:
    """A list of texts as TOML has it: JSON's spelling, but for escaped surrogate pairs."""
    return json.dumps(list(values), ensure_ascii=False)


def _shared_domain(hosts: Sequence[str]) -> str:
    """The longest domain that every host lies under, "" where they share none or are all the same."""
    labels = [host.partition(":")[0].removeprefix("*.").lower().split(".") for host in hosts]
    shared: list[str] = []
    for parts in zip(*(reversed(each) for each in labels), strict=False):
        if len(set(parts)) > 1:
            break
        shared.insert(0, parts[0])
    return ".".join(shared) if any(each != labels[0] for each in labels) else ""


def _named(hosts: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each host with a name for its app: the first label, numbered where it comes again."""
    names: dict[str, int] = {}
    for host in hosts:
        label = re.sub(r"[^A-Za-z0-9_-]", "", host.removeprefix("*.").split(".")[0]) or "app"
        names[label] = names.get(label, 0) + 1
        yield (label if names[label] == 1 else f"{label}-{names[label]}"), host


def _site(address: str, lines: Sequence[str]) -> str:
    return "\n".join([f"{address} {{", *(f"\t{line}" for line in lines), "}", ""])


def _snippets(listen: str) -> str:
    """The snippets of Caddyfile.example, with our address as their default."""
    text = _caddyfile_example().read_text("utf-8")
    found = re.findall(r"(?:^#[^\n]*\n)*^\([a-z-]+\) \{\n.*?^\}\n", text, re.MULTILINE | re.DOTALL)
    upstream = f"unix/{listen.removeprefix('unix:')}" if listen.startswith("unix:") else listen
    return "\n".join(found).replace("{$SIDECAR_UPSTREAM:127.0.0.1:9180}", upstream)


def _caddyfile_example() -> Path:
    """In a wheel beside this file, in a checkout at its root."""
    packaged = Path(__file__).with_name("Caddyfile.example")
    return packaged if packaged.exists() else Path(__file__).parents[1] / "Caddyfile.example"
