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
from sidecar.atproto.oauth.client import OAuthClient
from sidecar.atproto.oauth.models import Client
from sidecar.atproto.transport import Resolve
from sidecar.settings import Settings


class Parts(NamedTuple):
    fetcher: Fetcher
    directory: Directory
    oauth: OAuthClient


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
    fetcher = _fetcher(settings, transport, resolve)
    directory = _directory(settings, fetcher)
    return Parts(
        fetcher, directory, OAuthClient(client, directory, fetcher, development=development, now=now)
    )


def _fetcher(
    settings: Settings, transport: httpx.AsyncBaseTransport | None, resolve: Resolve | None
) -> Fetcher:
    identity = settings.identity
    return Fetcher(
        user_agent=f"atproto-sidecar/{__version__} (+{settings.base_url}/)",
        deadline=identity.fetch_timeout,
        operator_origins=frozenset(url for url in (identity.plc_url, identity.handle_resolver) if url),
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
