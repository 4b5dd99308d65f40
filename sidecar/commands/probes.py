"""The world as the doctor asks it: HTTP, DNS, addresses, Caddy's version, the clock.

Owns: one plain question each, so that a test can answer instead.
Doesn't belong here: what the answers mean (doctor.py).
"""

import re
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from ssl import SSLContext

import dns.exception
import dns.nameserver
import dns.rdtypes.ANY.TXT
import dns.resolver
import httpx

from sidecar import __version__

TIMEOUT = 10.0  # seconds, for the whole answer: what authorization servers wait for client metadata
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
    """The real world. `verify` is for tests with a certificate authority of their own."""

    def __init__(self, verify: SSLContext | bool = True) -> None:  # noqa: FBT001, FBT002 - httpx's own word
        self._verify = verify

    def now(self) -> float:
        return time.time()

    def get(self, url: str) -> Answer:
        """One GET, no redirect followed. Raises OSError where there is no answer in time."""
        started = time.monotonic()
        headers = {"user-agent": f"atproto-sidecar/{__version__} doctor", "accept": "application/json"}
        try:
            with (
                httpx.Client(
                    verify=self._verify, timeout=TIMEOUT, trust_env=False, headers=headers
                ) as client,
                client.stream("GET", url) as response,
            ):
                body = b""
                for chunk in response.iter_bytes():
                    body = (body + chunk)[: LIMIT + 1]
                    if len(body) > LIMIT or time.monotonic() - started > TIMEOUT:
                        break
        except httpx.HTTPError as error:
            raise OSError(f"{url}: {str(error) or type(error).__name__}") from error
        return Answer(response.status_code, response.headers, body, time.monotonic() - started, self.now())

    def addresses(self, host: str) -> list[str]:
        """Raises OSError where the name has none."""
        try:
            found = socket.getaddrinfo(host, 443, type=socket.SOCK_STREAM)
        except OSError as error:
            raise OSError(f"{host}: {error.strerror or error}") from error
        return sorted({str(info[4][0]) for info in found})

    def txt(self, name: str, nameservers: Sequence[str]) -> list[str]:
        """The TXT records of a name, [] where there are none. Raises OSError where DNS doesn't work."""
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

    def caddy_version(self) -> tuple[int, ...] | None:
        """Version of the `caddy` command on this machine, or None where there is none."""
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


def _nameserver(text: str) -> dns.nameserver.Nameserver:
    """From the spelling that address_values.nameservers gives: address, v4:port or [v6]:port."""
    if "]" in text or text.count(":") == 1:
        address, _, port = text.rpartition(":")
        return dns.nameserver.Do53Nameserver(address.strip("[]"), int(port))
    return dns.nameserver.Do53Nameserver(text)
