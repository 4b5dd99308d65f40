"""People who sign in, one after the other: a network for the sidecar to ask, and a browser's part of it.

Doesn't belong here: what the network answers (remote.py), what is measured (scenarios/).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from urllib.parse import quote, urlencode, urlsplit

from bench.peers import find_program
from bench.ports import free_port
from bench.programs import LOAD_CPUS, ProgramFailedError, Programs
from bench.remote import handle_of
from bench.request import Request, check, plain
from bench.subject import EVERYONE, PUBLIC_HOST, PUBLIC_URL, Sections, Subject, numbered_did
from bench.wire import Address, Reply, read_reply

_BACK = f"https://{EVERYONE}/notes"
_PLENTY = 1_000_000


class SignInFailedError(Exception):
    """A sign-in that should have worked didn't."""


@dataclass(slots=True)
class Network:
    """Everybody's server. `changes`: what a sidecar's configuration needs to use it."""

    address: Address
    _numbers: Iterator[int] = field(default_factory=count)

    @property
    def changes(self) -> Sections:
        origin = f"http://{self.address}"
        return {
            "identity": {"plc_url": origin, "handle_resolver": origin, "development_servers": True},
            "limits": {"attempts_per_address": _PLENTY, "attempts_per_identifier": _PLENTY},
        }

    def changes_without_resolver(self, nameserver: str) -> Sections:
        """The same, but handles are asked for in DNS and over HTTPS, as on the public network."""
        identity = {**(self.changes["identity"] or {}), "nameservers": [nameserver]}
        del identity["handle_resolver"]
        return {**self.changes, "identity": identity}

    def sign_in(self, sidecar: Subject, *, by_did: bool = False) -> None:
        """Somebody new signs in and is let in. Raises SignInFailedError."""
        did = numbered_did(next(self._numbers))
        page = _ask(
            sidecar.address, plain(PUBLIC_HOST, path=f"/auth/login?return_to={quote(_BACK, safe='')}")
        )
        started = _ask(sidecar.address, *form(did if by_did else handle_of(did), page.cookies))
        server = _location(started, f"http://{self.address}/")
        consented = _ask(self.address, plain(str(self.address), path=_path(server)))
        callback = _location(consented, PUBLIC_URL)
        headers = [("Cookie", "; ".join((*page.cookies, *started.cookies)))]
        finished = _ask(sidecar.address, plain(PUBLIC_HOST, headers, path=_path(callback)))
        _location(finished, _BACK)
        session = next(cookie for cookie in finished.cookies if "session=" in cookie)
        checked = _ask(sidecar.address, check(EVERYONE, session))
        if checked.headers.get("x-user-did") != did:
            raise SignInFailedError(f"signed in, but the check says {checked}")


@contextmanager
def network(folder: Path, programs: Programs) -> Iterator[Network]:
    """A network that is ready; it ends with `programs`."""
    folder.mkdir(parents=True)
    uvicorn = find_program("uvicorn")
    if uvicorn is None:
        raise ProgramFailedError("uvicorn isn't installed beside this Python")
    address = Address(port=free_port())
    argv = [uvicorn, "bench.remote:app", "--port", str(address.port), "--log-level", "warning"]
    program = programs.start("the network", argv, log=folder / "log", cpus=LOAD_CPUS)
    program.ready(address.answers)
    yield Network(address)


def form(identifier: str, cookies: Sequence[str]) -> tuple[Request, bytes]:
    """The sign-in form, sent from our own page."""
    body = urlencode({"identifier": identifier, "return_to": _BACK}).encode()
    headers = [
        ("Cookie", "; ".join(cookies)),
        ("Origin", PUBLIC_URL),
        ("Sec-Fetch-Site", "same-origin"),
        ("X-Forwarded-For", "203.0.113.20"),
        ("Content-Type", "application/x-www-form-urlencoded"),
        ("Content-Length", str(len(body))),
    ]
    return plain(PUBLIC_HOST, headers, path="/auth/login", method="POST"), body


def _ask(address: Address, request: Request, body: bytes = b"") -> Reply:
    with address.connect() as connection:
        connection.sendall(request.raw() + body)
        return read_reply(connection)


def _location(reply: Reply, begins: str) -> str:
    location = reply.headers.get("location", "")
    if not location.startswith(begins):
        raise SignInFailedError(f"{reply.status}, to {location!r}, not {begins}…: {reply.body[:2000]!r}")
    return location


def _path(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}"
