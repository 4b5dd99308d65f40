"""The sidecar as the benchmark runs it: configured, started, with cookies for those who ask.

Doesn't belong here: peers (peers.py), what is asked of it (scenarios/).
"""

import asyncio
import json
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

from bench.measure import Repeated, ask
from bench.peers import Transport
from bench.ports import free_port
from bench.programs import SERVER_CPUS, Program, Programs
from bench.request import URI, check, plain
from bench.tools import SIDECAR
from bench.wire import Address, Expected
from sidecar.commands import client_keys
from sidecar.config_file import reader
from sidecar.sessions.cookie import Session, Sessions
from sidecar.settings import Settings
from sidecar.store.sqlite import SqliteStore

PUBLIC_URL = "https://auth.bench.internal"
PUBLIC_HOST = "auth.bench.internal"
HOST = "notes.bench.internal"  # Alice's alone
EVERYONE = "everyone.bench.internal"  # for anyone signed in
ALICE = "did:plc:ewvi7nxzyoun6zhxrhs64oiz"
BOB = "did:plc:bv6ggog3tya2z3vxsub7hnal"
HANDLE = "alice.example.com"
LOGIN = f"{PUBLIC_URL}/auth/login?return_to={quote(f'https://{HOST}{URI}', safe='/:?=')}&checked="

ALLOWED = Expected(200, {"x-user-auth": "signed-in", "x-user-did": ALICE, "x-user-handle": HANDLE})
SENT_TO_SIGN_IN = Expected(302, begins={"location": LOGIN})
FORBIDDEN = Expected(403, body=BOB.encode())

_SECRET = "the benchmark's cookie secret, which opens nothing"  # noqa: S105 # as it says
_OTHER_SECRET = "somebody else's cookie secret, which opens nothing"  # noqa: S105 # as it says

Sections = Mapping[str, Mapping[str, object] | None]


@dataclass(frozen=True, slots=True)
class Subject:
    """A sidecar that is ready. `ready_seconds`: from its start until /auth/readyz said 200."""

    name: str
    program: Program
    address: Address
    settings: Settings
    ready_seconds: float

    @property
    def pids(self) -> tuple[int, ...]:
        return (self.program.pid,)

    def cookie(self, did: str = ALICE) -> str:
        """A new session's cookie, as `name=value`."""
        return cookies(self.settings, [did])[0]

    def revoked_cookie(self) -> str:
        """Alice's, whose session another process has revoked in the store; back when the sidecar knows."""
        sessions, now = Sessions(self.settings), time.time()
        session = sessions.start(ALICE, HANDLE, now)
        asyncio.run(_revoke(self.settings, session))
        cookie = sessions.cookie(session, now).partition(";")[0]
        status = ask(self.address, check(HOST, cookie))
        self.program.ready(lambda: status() == SENT_TO_SIGN_IN.status)
        return cookie

    def warm(self, seconds: float, *, name: str = "", host: str = HOST, connections: int = 64) -> Repeated:
        """Alice, allowed, her cookie known."""
        request = check(host, self.cookie())
        return Repeated(
            name or self.name, self.pids, self.address, request, ALLOWED, seconds, connections=connections
        )


def configure(folder: Path, *, transport: Transport = "tcp", changes: Sections | None = None) -> Settings:
    """Write a configuration into a new folder. `changes`: new sections, keys of ours, or None to drop one."""
    folder.mkdir(parents=True)
    (folder / "keys.json").write_text(client_keys.key_set([client_keys.new_key()]))
    (folder / "keys.json").chmod(0o600)
    listen = f"unix:{folder / 's'}" if transport == "unix" else f"127.0.0.1:{free_port()}"
    sections: dict[str, dict[str, object]] = {
        "server": {"listen": listen},
        "client": {"keys_file": "keys.json"},
        "session": {"cookie_domain": "bench.internal", "cookie_secrets": [_SECRET]},
        "apps.notes": {"hosts": [HOST], "allow": [ALICE]},
        "apps.everyone": {"hosts": [EVERYONE], "allow": ["*"]},
    }
    for name, keys in (changes or {}).items():
        if keys is None:
            del sections[name]
        else:
            sections.setdefault(name, {}).update(keys)
    path = folder / "sidecar.toml"
    path.write_text(f"public_url = {json.dumps(PUBLIC_URL)}\n" + "".join(map(_section, sections.items())))
    return reader.load(path, {})


def start(settings: Settings, folder: Path, programs: Programs, *, name: str, pinned: bool = True) -> Subject:
    """`sidecar serve` on a configuration that `configure` wrote; back when it is ready.
    ProgramFailedError."""
    listen = settings.server.listen
    path = listen.removeprefix("unix:")
    address = Address(path=Path(path)) if path != listen else Address(port=int(listen.rpartition(":")[2]))
    env = {key: "" for key in os.environ if key.startswith("SIDECAR_")}
    argv = [str(SIDECAR), "serve", "--config", str(folder / "sidecar.toml")]
    cpus = SERVER_CPUS if pinned else None
    begun = time.monotonic()
    program = programs.start(name, argv, log=folder / "log", env=env, cpus=cpus)
    ready = ask(address, plain(PUBLIC_HOST, path="/auth/readyz"))
    program.ready(lambda: ready() == 200)
    return Subject(name, program, address, settings, time.monotonic() - begun)


def cookies(settings: Settings, dids: Iterable[str], *, forged: bool = False) -> list[str]:
    """One new session's cookie each, as `name=value`. `forged`: signed with a secret that isn't ours."""
    if forged:
        settings = replace(settings, session=replace(settings.session, cookie_secrets=(_OTHER_SECRET,)))
    sessions, now = Sessions(settings), time.time()
    return [sessions.cookie(sessions.start(did, HANDLE, now), now).partition(";")[0] for did in dids]


async def _revoke(settings: Settings, session: Session) -> None:
    store = SqliteStore(settings.store.path, now=time.time, max_records=settings.limits.pending_sign_ins)
    await store.open()
    await store.revoke(session.id, expires=session.end)
    await store.close()


def numbered_did(number: int) -> str:
    """A DID of its own for each number, all of one length."""
    digits = []
    for _ in range(24):
        number, digit = divmod(number, 32)
        digits.append("abcdefghijklmnopqrstuvwxyz234567"[digit])
    return "did:plc:" + "".join(reversed(digits))


def _section(section: tuple[str, Mapping[str, object]]) -> str:
    """As TOML: JSON's texts, numbers, lists and booleans are TOML's too."""
    name, keys = section
    return f"[{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())
