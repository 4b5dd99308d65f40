"""TCP ports on loopback: which are free, which are taken, which answer.

Nothing of the lab listens below 1024, so that everything runs as an ordinary user.
"""

import asyncio
import socket
from contextlib import closing


def free_port() -> int:
    """A port that nothing listens on just now."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def taken(port: int) -> bool:
    """Whether listening on the port would fail."""
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


async def answers(port: int) -> bool:
    """Whether something accepts connections."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True
