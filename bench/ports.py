"""TCP ports on loopback that nothing listens on."""

import socket
from contextlib import closing


def free_port() -> int:
    """A port that is free just now."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
