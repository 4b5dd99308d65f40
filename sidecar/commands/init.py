"""`sidecar init`: a configuration and its secrets for a new deployment.

Owns: what is in the three files, that they are all written or none, and the lines for Caddy.
Doesn't belong here: the settings themselves (settings/), the snippets (Caddyfile.example).
"""

import argparse
import json
import os
import re
import secrets
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from sidecar.commands import client_keys
from sidecar.config_file import consistency, files, reader
from sidecar.errors import ConfigError
from sidecar.settings import Settings, addresses

CONFIG, KEYS, SECRETS = "sidecar.toml", "client-keys.json", "cookie-secrets.txt"

# Where config/sidecar.service has its socket and its database; the group is that of Caddy's own unit.
_FOR_SYSTEMD = (
    *("", "[server]", 'listen = "unix:/run/sidecar/sidecar.sock"', 'socket_owner = ":caddy"'),
    *("", "[store]", 'path = "/var/lib/sidecar/sidecar.db"'),
)


# The program of the unit in config/, and what is written beside the configuration.
_PROGRAM = "/usr/local/bin/sidecar"
UNITS = ("sidecar.service", "sidecar.socket", "sidecar.sysusers")
_HIDDEN = ("/home/", "/root/")  # ProtectHome= of the unit

_REPLACE = "the app's own address"
_DEFAULT_UPSTREAM = "127.0.0.1:3000"
_UPSTREAM = re.compile(r"(?:[\w.-]+|\[[0-9A-Fa-f:.]+\])?:[0-9]{1,5}|unix/{1,2}[^\s{}]+")


class Plan(NamedTuple):
    """What `init` was asked for. No `app_hosts`: the app is on the public host. `systemd`: for our unit.

    `upstreams`: where Caddy finds an app, by its host. `program`: what the unit starts. `dids`: of handles in
    `allow`; the rule then names the DID.
    """

    public_url: str
    app_hosts: Sequence[str] = ()
    allow: Sequence[str] = ()
    systemd: bool = False
    upstreams: Mapping[str, str] = MappingProxyType({})
    program: str = _PROGRAM
    dids: Mapping[str, str] = MappingProxyType({})


def plan(arguments: argparse.Namespace) -> Plan:
    """From the command line. Raises ConfigError."""
    hosts, upstreams = list(arguments.app_host), {}
    for each in arguments.app:
        host, _, address = each.partition("=")
        try:
            upstreams[host] = upstream(address)
        except ValueError as error:
            raise ConfigError([f"--app: {each}: {error}"]) from error
        hosts.append(host)
    own = Path(sys.argv[0])
    program = str(own.absolute()) if own.name == "sidecar" else _PROGRAM
    return Plan(arguments.public_url, hosts, arguments.allow, arguments.systemd, upstreams, program)


def upstream(text: str) -> str:
    """Where Caddy finds an app. Raises ValueError."""
    found = text or _DEFAULT_UPSTREAM
    if not _UPSTREAM.fullmatch(found):
        raise ValueError(f"{found!r} isn't an address; write it as 127.0.0.1:3000 or unix//run/app.sock")
    return found


def files_of(plan: Plan) -> list[str]:
    """The names of what is written."""
    return [KEYS, SECRETS, CONFIG, *(UNITS if plan.systemd else ())]


def warnings(plan: Plan) -> Iterator[str]:
    """What will go wrong with this plan on this machine."""
    if plan.systemd and plan.program.startswith(_HIDDEN):
        yield f"warning: the unit can't see {plan.program}; install the program elsewhere, as in /opt"


def found(plan: Plan) -> Iterator[str]:
    """Which handles now stand as a DID."""
    for handle, did in plan.dids.items():
        yield f"{handle} is {did}; the rule names the DID, which stays if the handle changes"


def hints(plan: Plan) -> Iterator[str]:
    """What the lines for Caddy still need."""
    hosts = plan.app_hosts or [""]
    if any(host not in plan.upstreams for host in hosts):
        yield f"Replace {_DEFAULT_UPSTREAM} by your app's address first."
    if plan.systemd:
        yield "The unit needs the group caddy: docs/deployment.md"


def next_commands(plan: Plan, folder: Path) -> list[str]:
    """What to run, in this order."""
    if not plan.systemd:
        return [f"sidecar serve --config {folder / CONFIG}"]
    where = folder.absolute()
    user = f"systemd-sysusers {where}/sidecar.sysusers && chgrp -R sidecar {where} && chmod -R g+rX {where}"
    shared = (folder / CONFIG).stat().st_mode & 0o040
    start = f"systemctl enable --now {where}/sidecar.socket {where}/sidecar.service"
    return [start] if shared else [user, start]


def init(folder: Path, plan: Plan) -> Settings:
    """Write the three files, all or none, and return what they say. Mode 0600; for systemd see `_hand_over`.

    Raises ConfigError if the plan contradicts itself, FileExistsError rather than overwrite, and OSError.
    """
    contents = {
        KEYS: client_keys.key_set([client_keys.new_key()]),
        SECRETS: secrets.token_urlsafe(32) + "\n",
        CONFIG: _toml(spelled(plan)),
    }
    if plan.systemd:
        contents |= {name: _unit(name, plan.program, folder) for name in UNITS}
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    written: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in contents.items():
            _write_new(folder / name, text, written)
        if plan.systemd:
            _hand_over(folder, written)
        return reader.load(folder / CONFIG, {})
    except BaseException:  # an interrupt too
        for path in written:
            path.unlink(missing_ok=True)
        for path in made:
            with suppress(OSError):  # others have put something there
                path.rmdir()
        raise


def _hand_over(folder: Path, written: Sequence[Path]) -> None:
    """To the group of the service, for reading, if there is one and we may. The command says if not."""
    group = files.service_group()
    if group is None or os.geteuid() != 0:
        return
    for path, mode in [(folder, 0o750), *((path, 0o640) for path in written)]:
        os.chown(path, 0, group)
        path.chmod(mode)


def caddyfile(settings: Settings, upstreams: Mapping[str, str] = MappingProxyType({})) -> str:
    """The lines for Caddy: the snippets, and a site for the public host and every app's."""
    sites = {settings.public_host: ["import atproto-pages"]}
    for app in settings.apps.values():
        for host in app.hosts:
            known = upstreams.get(host)
            line = f"import atproto {known}" if known else f"import atproto {_DEFAULT_UPSTREAM} # {_REPLACE}"
            sites.setdefault(host, []).append(line)
    if len(sites[settings.public_host]) == 1:  # no app has its front page
        sites[settings.public_host].insert(0, f"redir / {settings.prefix}/")
    for lines in sites.values():
        if any(line.startswith("import atproto ") for line in lines):
            lines.append("import atproto-down")
    blocks = [_site(f"{settings.scheme}://{host}", lines) for host, lines in sites.items()]
    return "\n".join([_snippets(settings), *blocks])


def _write_new(path: Path, text: str, written: list[Path]) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    written.append(path)
    with os.fdopen(file, "w", encoding="utf-8") as stream:
        stream.write(text)


def spelled(plan: Plan) -> Plan:
    """The plan in canonical spelling. Raises ConfigError for options that can't be read."""
    faults = []
    read: dict[str, Any] = {}
    for option, name, parse in (
        ("--public-url", "public_url", addresses.http_origin),
        ("--app-host", "app_hosts", addresses.hosts),
        ("--allow", "allow", addresses.rules),
    ):
        given = getattr(plan, name)
        try:
            read[name] = parse(given) if given else given
        except ValueError as error:
            faults.append(f"{option}: {error}")
    if faults:
        raise ConfigError(faults)
    if plan.upstreams:
        read["upstreams"] = {addresses.hosts([host])[0]: where for host, where in plan.upstreams.items()}
    return plan._replace(**read)


def _toml(plan: Plan) -> str:
    public_host = urlsplit(plan.public_url).netloc
    hosts = list(plan.app_hosts) or [public_host]
    domain = _shared_domain([public_host, *plan.app_hosts])
    lines = [
        "# Made by `sidecar init`. Every setting: config/sidecar.example.toml and docs/configuration.md.",
        f"public_url = {json.dumps(plan.public_url)}",
        *(_FOR_SYSTEMD if plan.systemd else []),
        *("", "[session]", f'cookie_secrets_file = "{SECRETS}"'),
        *([f"cookie_domain = {json.dumps(domain)}"] if domain else []),
    ]
    for name, host in _named(hosts):
        lines += [
            "",
            f"[apps.{name}]",
            f"hosts = {_text([host])}",
            *_allow(plan),
        ]
    return "\n".join(lines) + "\n"


def _allow(plan: Plan) -> list[str]:
    """With the handle as a comment behind each DID: a handle may go to somebody else."""
    if not any(each in plan.dids for each in plan.allow):
        return [f"allow = {_text(plan.allow)}"]
    lines = [
        f"  {json.dumps(plan.dids[each])},  # {each}" if each in plan.dids else f"  {_text([each])[1:-1]},"
        for each in plan.allow
    ]
    return ["allow = [", *lines, "]"]


def _text(values: Sequence[str]) -> str:
    """A list of texts as TOML has it: JSON's spelling, but for escaped surrogate pairs."""
    return json.dumps(list(values), ensure_ascii=False)


def _shared_domain(hosts: Sequence[str]) -> str:
    """The longest domain that every host lies under, "" if they are all the same.

    Raises ConfigError if no cookie can be shared. It names the options, since nobody wrote a setting.
    """
    names = {host.partition(":")[0] for host in hosts}
    if len(names) == 1:
        return ""
    shared: list[str] = []
    for parts in zip(*(reversed(name.removeprefix("*.").split(".")) for name in names), strict=False):
        if len(set(parts)) > 1:
            break
        shared.insert(0, parts[0])
    domain = ".".join(shared)
    if not domain or consistency.public_suffix(domain):
        text = f"{', '.join(hosts[1:])} and --public-url are under no common domain that is yours"
        raise ConfigError([f"--app-host: {text}; one sidecar serves one domain: run another for the other"])
    return domain


def _named(hosts: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each host with a name for its app: the first label, with a number if it comes again."""
    names: dict[str, int] = {}
    for host in hosts:
        label = re.sub(r"[^A-Za-z0-9_-]", "", host.removeprefix("*.").split(".")[0]) or "app"
        names[label] = names.get(label, 0) + 1
        yield (label if names[label] == 1 else f"{label}-{names[label]}"), host


def _site(address: str, lines: Sequence[str]) -> str:
    return "\n".join([f"{address} {{", *(f"\t{line}" for line in lines), "}", ""])


def _snippets(settings: Settings) -> str:
    """The snippets of Caddyfile.example, with our own addresses as their defaults."""
    text = _packaged("Caddyfile.example").read_text("utf-8")
    found = re.findall(r"(?:^#[^\n]*\n)*^\([a-z-]+\) \{\n.*?^\}\n", text, re.MULTILINE | re.DOTALL)
    listen = settings.server.listen
    upstream = f"unix/{listen.removeprefix('unix:')}" if listen.startswith("unix:") else listen
    lines = "\n".join(found).replace("{$SIDECAR_UPSTREAM:127.0.0.1:9180}", upstream)
    return lines.replace("{$SIDECAR_CLIENT_ID_PATH:/auth/client-metadata.json}", settings.client_id_path)


def _unit(name: str, program: str, folder: Path) -> str:
    """A file of config/ for this machine."""
    text = _packaged(f"config/{name}").read_text("utf-8")
    return text.replace(_PROGRAM, program).replace("/etc/sidecar/", f"{folder.absolute()}/")


def _packaged(path: str) -> Path:
    """A file of the repository: in a wheel beside this file, in a checkout at its root."""
    packaged = Path(__file__).with_name("files") / Path(path).name
    return packaged if packaged.exists() else Path(__file__).parents[2] / path
