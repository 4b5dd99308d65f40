"""Sign-outs written as fast as the disk takes them: `python -m bench.storm DATABASE`, until SIGTERM.

A process of its own, as another worker would be; started by scenarios/neighbours.py.
"""

import asyncio
import secrets
import signal
import sys
import time
from pathlib import Path

from sidecar.store.sqlite import SqliteStore

_LIFETIME = 30 * 86400.0


async def storm(path: Path) -> int:
    """Revoke session after session; how many until told to end."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    store = SqliteStore(path)
    await store.open()
    written = 0
    while not ended.is_set():
        await store.revoke(secrets.token_hex(16), expires=time.time() + _LIFETIME)
        written += 1
    await store.close()
    return written


if __name__ == "__main__":
    sys.stdout.write(f"{asyncio.run(storm(Path(sys.argv[1])))}\n")
