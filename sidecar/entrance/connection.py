"""A connection, as uvicorn has it, that is forgotten as soon as it is lost.

Owns: what is left in memory of a connection that is over.
Doesn't belong here: the check's fast path (fastpath.py).
"""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class Connection(HttpToolsProtocol):
    """uvicorn's protocol. It cancels the keep-alive timer only after a clean end: after a reset (RST),
    connection and request would stay in memory for all of `server.keep_alive`.
    """

    def connection_lost(self, exc: Exception | None) -> None:
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
            self.timeout_keep_alive_task = None
        super().connection_lost(exc)
