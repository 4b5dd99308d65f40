"""The parts that speak with other people's servers, made from the settings.

Owns: which setting goes to which part. Imported by network.py when the first question comes.
Doesn't belong here: behaviour.
"""

from collections.abc import Callable
from typing import NamedTuple

import httpx

from sidecar import __version__
from sidecar.atproto.fetch import Fetcher
from sidecar.atproto.identity import Directory
from sidecar.atproto.identity.standing import Standings
from sidecar.atproto.oauth.client import OAuthClient
from sidecar.atproto.oauth.models import Client
from sidecar.atproto.syntax import Did
from sidecar.atproto.transport import Resolve
from sidecar.settings import Settings


class Parts(NamedTuple):
    fetcher: Fetcher
    directory: Directory
    oauth: OAuthClient
    standings: Standings

    async def lost_standing(self, did: Did) -> str | None:
        """As the server says that the account's document names. Raises FetchError, IdentityError."""
        pds = (await self.directory.document(did)).pds
        return None if pds is None else await self.standings.lost(did, pds)


def directory(
    settings: Settings,
    transport: httpx.AsyncBaseTransport | None = None,
    resolve: Resolve | None = None,
) -> tuple[Directory, Fetcher]:
    """For questions about identities alone, and the fetcher to close after them."""
    fetcher = _fetcher(settings, transport, resolve)
    return _directory(settings, fetcher), fetcher


def make(
    settings: Settings,
    client: Client,
    *,
    transport: httpx.AsyncBaseTransport | None,
    resolve: Resolve | None,
    now: Callable[[], float],
) -> Parts:
    """All of them, for one client."""
    development = settings.identity.development_servers
    identities, fetcher = directory(settings, transport, resolve)
    oauth = OAuthClient(client, identities, fetcher, development=development, now=now)
    return Parts(fetcher, identities, oauth, Standings(fetcher))


def _fetcher(
    settings: Settings, transport: httpx.AsyncBaseTransport | None, resolve: Resolve | None
) -> Fetcher:
    identity = settings.identity
    return Fetcher(
        user_agent=f"atproto-sidecar/{__version__} (+{settings.base_url}/)",
        deadline=identity.fetch_timeout,
        operator_origins=frozenset(url for url in (identity.plc_url, identity.handle_resolver) if url),
        private_origins=frozenset(identity.private_servers),
        development=identity.development_servers,
        transport=transport,
        resolve=resolve,
    )


def _directory(settings: Settings, fetcher: Fetcher) -> Directory:
    identity = settings.identity
    return Directory(
        fetcher,
        plc_url=identity.plc_url,
        handle_resolver=identity.handle_resolver or None,
        nameservers=identity.nameservers,
        ttl=identity.cache_ttl,
        size=identity.cache_size,
        development=identity.development_servers,
    )
