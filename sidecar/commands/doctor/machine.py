"""What the doctor checks on this machine: the configuration, the files, the store, Caddy's version.

Doesn't belong here: whatever needs the network.
"""

import asyncio
import os
import time

from sidecar.commands import caddy
from sidecar.commands.doctor.findings import Finding, Findings, Trouble, fail, ok, warn
from sidecar.commands.doctor.probes import Outside
from sidecar.config_file import advice, files
from sidecar.settings import Settings
from sidecar.store.sqlite import SqliteStore


def configuration(settings: Settings, _: Outside) -> Findings:
    """The command has read it already, so it has no faults."""
    yield ok("configuration", "no faults")
    for line in advice.warnings(settings):
        yield Finding("warn", "configuration", line)


def private_files(settings: Settings, _: Outside) -> Findings:
    """Nobody but the owner may read the files of secrets."""
    session, store = settings.session, settings.store
    private = [session.cookie_secrets_file] if session.cookie_secrets_file else []
    private += [] if settings.loopback else [settings.client.keys_file]
    private += [store.path] if store.kind == "sqlite" and store.path.exists() else []
    for path in private:
        fault = files.private_file_fault(path)
        if fault:
            seen, fix = fault.split("; ", 1)
            yield fail("file", seen, cause="it was made or copied with another mode or owner", fix=fix)
        else:
            yield ok("file", f"{path}: only its owner can read it")


def store(settings: Settings, _: Outside) -> Findings:
    """It opens and answers. A missing one isn't made: it would belong to the user that runs the doctor."""
    path = settings.store.path
    if settings.store.kind == "memory":
        yield ok("store", "in memory; a restart forgets what is in it")
        return
    _see_folder(settings)
    if path.exists():
        asyncio.run(_open_and_close(settings))
        yield ok("store", f"{path} opens and answers")
    else:
        fix = "start the sidecar; its first start makes the file"
        yield warn("store", f"{path} doesn't exist yet", cause="the sidecar hasn't run yet", fix=fix)


def _see_folder(settings: Settings) -> None:
    path = settings.store.path
    fault = files.store_folder_fault(path)
    if fault:
        seen, fix = fault.split("; ", 1)
        raise Trouble(seen, cause="store.path is wrong, or the sidecar hasn't run yet", fix=fix)
    if not os.access(path.parent, os.W_OK):
        raise Trouble(
            f"{path.parent} can't be written",
            cause="the folder belongs to another user than the one that runs the doctor",
            fix="give it to the user that runs the sidecar, and run the doctor as that user or as root",
        )


async def _open_and_close(settings: Settings) -> None:
    opened = SqliteStore(settings.store.path, now=time.time, max_records=settings.limits.pending_sign_ins)
    await opened.open()
    try:
        await opened.ping()
    finally:
        await opened.close()


def caddy_version(_: Settings, world: Outside) -> Findings:
    """An older Caddy has holes that nothing behind it can close."""
    version = world.caddy_version()
    needed = caddy.shown(caddy.NEEDED)
    if version is None:
        yield warn(
            "Caddy",
            "no caddy command on this machine says its version",
            cause="Caddy runs in a container, on another machine, or was built without a version",
            fix=f"see there that it is {needed} or newer",
        )
        return
    holes = caddy.holes(version)
    if not holes:
        yield ok("Caddy", f"{caddy.shown(version)}, and {needed} is needed")
    for hole in holes:
        fix = f"update Caddy to {needed} or newer, and restart it"
        yield fail("Caddy", caddy.shown(version), cause=f"this Caddy has a hole; {hole}", fix=fix)


def trust_store(_: Settings, world: Outside) -> Findings:
    """The authorities that certificates are checked against, here and in the sidecar."""
    place = world.trust_store()
    if place:
        yield ok("trust store", f"certificates are checked by this system's, {place}, as the sidecar does")
    else:
        yield fail(
            "trust store",
            "this system has none, so neither the doctor nor the sidecar can check a certificate",
            cause="the package isn't installed, as in a small container",
            fix="install ca-certificates, or name a file in SSL_CERT_FILE",
        )
