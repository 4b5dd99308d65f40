"""Whether an account's own server still stands by it (com.atproto.sync.getRepoStatus; no token is needed).

Owns: the question, which answers are a definite no, and that one server's silence delays no other's people.
Doesn't belong here: what follows from a no (sidecar/sessions/reverify.py).
"""

import time
from collections.abc import Callable
from urllib.parse import quote

from ..errors import FetchError, ServerUnreachable, UnexpectedResponse
from ..fetch import Fetcher, parse_json_object, raise_for_fault
from ..syntax import Did, ServerUrl

# What the lexicon has beside these says nothing of the person: desynchronized, throttled.
_OUT = frozenset({"takendown", "suspended", "deleted", "deactivated"})
_LIMIT = 16 * 1024  # bytes
_DEADLINE = 5.0  # seconds
_REST = 60.0  # seconds in which a server that failed isn't asked again


class Standings:
    """Asks accounts' servers. One for each event loop."""

    def __init__(self, fetcher: Fetcher, *, now: Callable[[], float] = time.monotonic) -> None:
        self._fetcher = fetcher
        self._now = now
        self._failed: dict[ServerUrl, float] = {}  # server → when it may be asked again

    async def lost(self, did: Did, pds: ServerUrl) -> str | None:
        """Why the account isn't active: takendown, suspended, deleted or deactivated. None if nothing is
        known against it, also because the server doesn't know this question.

        `pds`: the server that the account's DID document names. Raises FetchError.
        """
        now = self._now()
        self._failed = {server: until for server, until in self._failed.items() if now < until}
        if pds in self._failed:
            raise ServerUnreachable(f"{pds} has failed a moment ago")
        try:
            return await self._ask(did, pds)
        except FetchError:
            self._failed[pds] = self._now() + _REST
            raise

    async def _ask(self, did: Did, pds: ServerUrl) -> str | None:
        response = await self._fetcher.request(
            "GET",
            f"{pds}/xrpc/com.atproto.sync.getRepoStatus?did={quote(did, safe=':')}",
            headers={"Accept": "application/json"},
            limit=_LIMIT,
            deadline=_DEADLINE,
        )
        status = response.status_code
        if status != 501:  # XRPC's "method not implemented"
            raise_for_fault(response)
        try:
            answer = parse_json_object(response.content)
        except ValueError as exc:
            if status == 200:
                raise UnexpectedResponse(f"{pds}: {str(exc)[:200]}") from exc
            return None
        if status == 400 and answer.get("error") == "RepoNotFound":
            return "deleted"  # so says the reference PDS once the account has been deleted there
        gone = status == 200 and answer.get("did") == did and answer.get("active") is False
        reason = answer.get("status")
        return reason if gone and isinstance(reason, str) and reason in _OUT else None
