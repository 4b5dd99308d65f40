"""The world as the doctor asks it: HTTP, DNS, addresses, Caddy's version, the clock.

Owns: one function for each question, so that a test can answer instead.
Doesn't belong here: what the answers mean (the checks), why there is none (no_answer.py).
"""

import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from ssl import SSLContext
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

import dns.exception
import dns.nameserver
import dns.rdtypes.ANY.TXT
import dns.resolver
import httpx

from sidecar import __version__
from sidecar.commands.caddy import Version
from sidecar.commands.doctor.no_answer import of_lookup, of_request

TIMEOUT = 10.0  # seconds, for the whole answer: what authorization servers wait for client metadata
CADDY_ADMIN = "http://127.0.0.1:2019"  # Caddy's own default
LIMIT = 512 * 1024  # bytes, likewise


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer. `body`: LIMIT + 1 bytes at most; `seconds` it took; `received` when, by our clock."""

    status: int
    headers: httpx.Headers
    body: bytes
    seconds: float
    received: float


class Outside:
    """The real world. `trusted` is for tests with a certificate authority of their own."""

    def __init__(self, trusted: SSLContext | None = None) -> None:
        self._trusted = trusted

    def now(self) -> float:
        return time.time()

    def get(
        self,
        url: str,
        headers: Mapping[str, str] = MappingProxyType({}),
        *,
        at: str = "",
        unverified: bool = False,
    ) -> Answer:
        """One GET, without following a redirect. Raises NoAnswer, which says why there is none.

        `at`: an address to connect to instead of the name's own, with the name's SNI and Host. `unverified`:
        take any certificate; what is sent isn't a secret.
        """
        parts = urlsplit(url)
        if not at:
            self._look_up(url, parts.hostname or "")
        asked = parts._replace(netloc=parts.netloc.replace(parts.hostname or "", at, 1)) if at else parts
        started = time.monotonic()
        named = {"user-agent": f"atproto-sidecar/{__version__} doctor", "accept": "application/json"}
        try:
            with (
                httpx.Client(
                    verify=self._tls(unverified=unverified), timeout=TIMEOUT, trust_env=False
                ) as client,
                client.stream(
                    "GET",
                    asked.geturl(),
                    headers={**named, **headers, "host": parts.netloc},
                    extensions={"sni_hostname": parts.hostname},
                ) as response,
            ):
                body = b""
                for chunk in response.iter_bytes():
                    body = (body + chunk)[: LIMIT + 1]
                    if len(body) > LIMIT or time.monotonic() - started > TIMEOUT:
                        break
        except (httpx.HTTPError, OSError) as error:
            raise of_request(url, error, trust_store=bool(self.trust_store())) from error
        return Answer(response.status_code, response.headers, body, time.monotonic() - started, self.now())

    def trust_store(self) -> str:
        """Where this system keeps the authorities that it trusts; "" if it has none."""
        paths = ssl.get_default_verify_paths()
        if paths.cafile:
            return paths.cafile
        return paths.capath if paths.capath and any(Path(paths.capath).iterdir()) else ""

    def addresses(self, host: str) -> list[str]:
        """Raises NoAnswer if the name has none."""
        found = self._look_up(f"https://{host}", host)
        return sorted({str(info[4][0]) for info in found})

    def _look_up(self, url: str, host: str) -> list[Any]:
        try:
            return socket.getaddrinfo(host, 443, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise of_lookup(url, host, error) from error

    def _tls(self, *, unverified: bool) -> SSLContext:
        """By this system's trust store, as the sidecar itself does it; httpx brings one of its own."""
        context = self._trusted or ssl.create_default_context()
        if unverified:
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def txt(self, name: str, nameservers: Sequence[str]) -> list[str]:
        """The TXT records of a name, [] if it has none. Raises OSError if DNS doesn't work."""
        try:
            resolver = dns.resolver.Resolver(configure=not nameservers)
            if nameservers:
                resolver.nameservers = [_nameserver(each) for each in nameservers]
            answer = resolver.resolve(name, "TXT", lifetime=TIMEOUT, raise_on_no_answer=False)
        except dns.resolver.NXDOMAIN:
            return []
        except dns.exception.DNSException as error:
            raise OSError(f"{type(error).__name__}: {error}") from error
        return [
            b"".join(each.strings).decode("utf-8", "replace")
            for each in answer
            if isinstance(each, dns.rdtypes.ANY.TXT.TXT)
        ]

    def caddy_version(self) -> Version | None:
        """Version of the `caddy` command on this machine, or None if there is none."""
        command = shutil.which("caddy")
        if command is None:
            return None
        arguments = [command, "version"]
        try:
            ran = subprocess.run(arguments, capture_output=True, text=True, timeout=TIMEOUT, check=False)  # noqa: S603 - found on PATH, nothing from outside
        except subprocess.TimeoutExpired as error:
            raise OSError(f"{command} doesn't answer") from error
        found = re.match(r"v?(\d+)\.(\d+)\.(\d+)", ran.stdout)
        return tuple(int(number) for number in found.groups()) if found else None

    def caddy_config(self) -> dict[str, Any] | None:
        """What the Caddy on this machine runs with, from its admin address; None if that doesn't answer."""
        try:
            with httpx.Client(timeout=TIMEOUT, trust_env=False) as client:
                answer = client.get(f"{CADDY_ADMIN}/config/")
                found = answer.json() if answer.status_code == 200 else None
        except (httpx.HTTPError, OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None


def _nameserver(text: str) -> dns.nameserver.Nameserver:
    """From the spelling of settings.addresses.nameservers: address, v4:port or [v6]:port."""
    if "]" in text or text.count(":") == 1:
        address, _, port = text.rpartition(":")
        return dns.nameserver.Do53Nameserver(address.strip("[]"), int(port))
    return dns.nameserver.Do53Nameserver(text)
