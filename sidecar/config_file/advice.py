"""What the configuration allows, but what is probably not meant, or must be said in plain words.

Owns: the warnings and the notes. The start logs the warnings; `check-config` and `init` print both.
Doesn't belong here: contradictions, which stop the start (consistency.py).
"""

from collections.abc import Iterable, Iterator

from sidecar.config_file import files
from sidecar.settings import Settings
from sidecar.settings.addresses import ANYONE

CADDY_IDLE = 120.0  # seconds that Caddy keeps an idle connection to us


def warnings(settings: Settings) -> list[str]:
    """What is allowed but probably not meant, one line each."""
    return [*_rule_warnings(settings), *_exposure_warnings(settings), *_file_warnings(settings)]


def notes(settings: Settings) -> list[str]:
    """What is allowed and may well be meant, but must be said in plain words. One line each."""
    private = [
        f"identity.private_servers: the sidecar sends requests to {origin} for anyone who names it, "
        "also if its address is private"
        for origin in settings.identity.private_servers
    ]
    return private + [
        f'apps.{name}.allow: "*" lets in anyone in the world who has an account; anyone can make one'
        for name, app in settings.apps.items()
        if ANYONE in _members(settings, app.allow) and ANYONE not in _members(settings, app.deny)
    ]


def _rule_warnings(settings: Settings) -> Iterator[str]:
    if not settings.apps:
        yield "apps: the file names no app, so every check is refused; add an [apps.NAME] table"
    for name, app in settings.apps.items():
        if not app.allow:
            yield f"apps.{name}.allow: empty, so nobody gets in; name DIDs or handles"
        if any(each != ANYONE and not each.startswith("did:") for each in _members(settings, app.deny)):
            yield (
                f"apps.{name}.deny: names handles; people can change their handle and pass again; "
                "only a DID denies for good"
            )


def _members(settings: Settings, rules: Iterable[str]) -> list[str]:
    """The rules, each group replaced by its members."""
    groups = {f"@{name}": members for name, members in settings.groups.items()}
    return [each for rule in rules for each in groups.get(rule, (rule,))]


def _exposure_warnings(settings: Settings) -> Iterator[str]:
    server = settings.server
    if settings.client.jwks == "inline" and not settings.loopback:
        yield 'client.jwks: with "inline" some servers refuse every later key; set it to "uri"'
    if server.listen.startswith("unix:") and server.socket_mode & 0o006:
        yield "server.socket_mode: anyone on this machine may connect; use 660 and server.socket_owner"
    if any(network.prefixlen == 0 for network in server.trusted_peers):
        yield "server.trusted_peers: anyone may connect and claim any address; name Caddy's address"
    if server.keep_alive <= CADDY_IDLE:
        yield "server.keep_alive: not above Caddy's 2 minutes, so some requests will fail with 502; use 150s"
    if settings.identity.development_servers:
        yield "identity.development_servers: on; servers on loopback are trusted over http"


def _file_warnings(settings: Settings) -> Iterator[str]:
    store, session, path = settings.store, settings.session, settings.server.socket_path
    missing = None if path is None else files.socket_warning(path)
    if missing:
        yield f"server.listen: {missing}"
    fault = files.store_folder_fault(store.path) if store.kind == "sqlite" else None
    if fault:  # only a warning: systemd makes the folder when it starts the sidecar
        yield f"store.path: {fault}"
    # Secrets that were made up for this run end every session with it, so nothing is forgotten.
    if store.kind == "memory" and (session.cookie_secrets_file or not settings.loopback):
        yield (
            "store.kind: at a restart, memory forgets sign-outs and lost handles, but cookies stay good: "
            'they open again what they opened before; use "sqlite"'
        )
    if settings.pages.templates is not None:
        from sidecar.replies.pages import unused  # noqa: PLC0415 - jinja is needed only for templates

        for name in unused(settings.pages.templates):
            yield (
                f"pages.templates: {name} isn't the name of a page, and no template there uses it, so it is "
                "never shown; docs/pages.md has the names"
            )
