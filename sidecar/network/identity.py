"""Who we are to authorization servers, as the settings say.

Owns: the `Client` record of this deployment.
Doesn't belong here: its document (atproto/oauth/client_metadata.py).
"""

from sidecar.atproto.oauth.client_metadata import loopback_client
from sidecar.atproto.oauth.keys import parse_keys
from sidecar.atproto.oauth.models import Client
from sidecar.settings import Settings


def client(settings: Settings, keys: str) -> Client:
    """`keys`: the text of `client.keys_file`, "" on loopback. ValueError if they can't be used."""
    redirect_uri = settings.base_url + "/callback"
    if settings.loopback:
        return loopback_client(redirect_uri)
    return Client(
        client_id=settings.client_id,
        redirect_uri=redirect_uri,
        name=settings.client.name or settings.public_host,
        client_uri=_client_uri(settings),
        jwks_uri=settings.base_url + "/jwks.json" if settings.client.jwks == "uri" else None,
        logo_uri=settings.client.logo_uri,
        tos_uri=settings.client.tos_uri,
        policy_uri=settings.client.policy_uri,
        keys=parse_keys(keys, settings.client.keys_file),
    )


def _client_uri(settings: Settings) -> str:
    """A page of ours that servers may link to: it must be above client_id's path, and there to be seen."""
    under_prefix = settings.client_id.startswith(settings.base_url + "/")
    return settings.base_url + "/" if under_prefix else settings.public_url
