"""The sections about the service itself: where it listens, what it allows, what it reports.

Owns: their shape, as settings/__init__.py owns that of all others.
Doesn't belong here: what people and servers see.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from sidecar.settings import addresses, values
from sidecar.settings.setting import Setting


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Where the sidecar listens, and who may talk to it."""

    listen: Annotated[str, Setting(addresses.listen, "host:port, or unix:/path/to/socket")] = "127.0.0.1:9180"
    socket_mode: Annotated[
        int, Setting(values.file_mode, "mode of the unix socket; it is the socket's only guard")
    ] = 0o660
    socket_owner: Annotated[
        str, Setting(values.text, 'owner of the unix socket, as "user:group", "user" or ":group"')
    ] = ""
    workers: Annotated[
        int, Setting(values.integer(1, 64), "processes; one serves thousands of checks a second")
    ] = 1
    trusted_peers: Annotated[
        tuple[values.Network, ...],
        Setting(addresses.networks, "addresses that may connect: Caddy's; anyone else is refused"),
    ] = values.LOOPBACK
    keep_alive: Annotated[
        float, Setting(values.duration, "how long an idle connection stays open; above Caddy's 2 minutes")
    ] = 150.0
    stop_timeout: Annotated[
        float, Setting(values.duration, "how long running requests may take to finish at a stop")
    ] = 4.0
    fast_path: Annotated[
        bool, Setting(values.boolean, "answer checks on a shorter way; false: plain ASGI, slower")
    ] = True

    @property
    def socket_path(self) -> Path | None:
        """Path of the unix socket, or None for TCP."""
        found = self.listen.removeprefix("unix:")
        return Path(found) if found != self.listen else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one visitor, and all together, may ask of us. Counted in each worker."""

    attempts_per_address: Annotated[
        int, Setting(values.integer(1, 10**6), "sign-in attempts in 5 minutes per address (IPv6: per /64)")
    ] = 30
    attempts_per_identifier: Annotated[
        int, Setting(values.integer(1, 10**6), "sign-in attempts in 5 minutes per identifier and address")
    ] = 10
    concurrent_sign_ins: Annotated[
        int, Setting(values.integer(1, 10**5), "maximum of sign-ins that talk to other servers at once")
    ] = 50
    pending_sign_ins: Annotated[int, Setting(values.integer(10, 10**7), "maximum under way")] = 100_000
    cached_cookies: Annotated[int, Setting(values.integer(16, 10**7), "maximum of cookies remembered")] = (
        50_000
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """What is logged, and how it looks."""

    format: Annotated[
        Literal["text", "json"],
        Setting(values.choice("text", "json"), "one line, or one JSON object, per event"),
    ] = "text"
    level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Setting(values.choice("debug", "info", "warning", "error"), "records below this level are left out"),
    ] = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """Figures about the sidecar, in the form that Prometheus reads."""

    listen: Annotated[
        str, Setting(addresses.optional_listen, "where GET /metrics is answered; empty: nowhere")
    ] = ""
    token_file: Annotated[
        Path | None,
        Setting(values.optional_path, "file with a token that readers send as Bearer; needed off loopback"),
    ] = None
