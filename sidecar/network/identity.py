"""Who we are to authorization servers, as the settings say.

Owns: the `Client` record of this deployment.
Doesn't belong here: its document (atproto/oauth/client_metadata.py).
"""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from sidecar.atproto.oauth.client_metadata import loopback_client
from sidecar.atproto.oauth.models import Client, Jwk
from sidecar.settings import Settings

if TYPE_CHECKING:  # loaded with the first question
    from joserfc.jwk import ECKey

    from sidecar.atproto.oauth.keys import KeySet


def client(settings: Settings, keys: str) -> Client:
    """`keys`: the text of `client.keys_file`, "" on loopback. It was checked when it was read
    (config_file/consistency.py).
    """
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
        keys=_Keys(keys, settings.client.keys_file),
    )


def _client_uri(settings: Settings) -> str:
    """A page of ours that servers may link to: it must be above client_id's path, and there to be seen."""
    under_prefix = settings.client_id.startswith(settings.base_url + "/")
    return settings.base_url + "/" if under_prefix else settings.public_url


class _Keys:
    """Parsed when they are first needed: a worker that signs nobody in loads no cryptography."""

    def __init__(self, text: str, file: Path) -> None:
        self._text = text
        self._file = file

    @cached_property
    def _set(self) -> "KeySet":
        from sidecar.atproto.oauth.keys import parse_keys  # noqa: PLC0415 - see above

        return parse_keys(self._text, self._file)

    @property
    def active_kid(self) -> str:
        return self._set.active_kid

    def get(self, kid: str) -> "ECKey | None":
        return self._set.get(kid)

    def public_jwks(self) -> dict[str, list[Jwk]]:
        return self._set.public_jwks()
