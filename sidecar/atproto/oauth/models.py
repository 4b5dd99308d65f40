"""The records a sign-in is made of.

Owns: who we are (`Client`), what must be kept between the two halves of a sign-in (`PendingSignIn`), what
comes out of it (`SignedIn`, `Grant`). Secrets stay out of every repr.
Doesn't belong here: how any of it comes about (client.py), where it is kept (whoever calls us).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from ..identity import Identity
from ..syntax import Did
from .keys import Jwk, KeySet

Prompt = Literal["select_account", "login", "create"]

SCOPE = "atproto"  # who you are, and nothing else


@dataclass(frozen=True, slots=True)
class Client:
    """Who we are to authorization servers.

    `keys` None: a public client, for loopback only (`loopback_client`). `jwks_uri` None: the public keys are
    in the client metadata itself.
    """

    client_id: str
    redirect_uri: str
    name: str = ""
    client_uri: str = ""
    jwks_uri: str | None = None
    logo_uri: str = ""
    tos_uri: str = ""
    policy_uri: str = ""
    keys: KeySet | None = None


@dataclass(frozen=True, slots=True)
class PendingSignIn:
    """A sign-in between `start` and `finish`: keep it secret, find it by `state`, use it once.

    `did`: the account asked for; None where the sign-in began at a server. `dpop_key`: a private JWK.
    `kid`: which of our keys authenticated us, for the server wants the same one again.
    """

    state: str = field(repr=False)
    issuer: str
    did: Did | None
    redirect_uri: str
    token_endpoint: str
    revocation_endpoint: str | None
    code_verifier: str = field(repr=False)
    dpop_key: Jwk = field(repr=False)
    kid: str | None

    def to_json(self) -> dict[str, Any]:
        """Everything, as JSON can hold it."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "PendingSignIn":
        """The reverse of `to_json`. Raises ValueError for the record of another version."""
        try:
            did = record["did"]
            return cls(**{**record, "did": None if did is None else Did(did)})
        except (KeyError, TypeError) as exc:
            raise ValueError("not the record of a sign-in, or another version's") from exc


@dataclass(frozen=True, slots=True)
class Grant:
    """The tokens of a sign-in and what they are bound to. Identity needs none of it: `revoke` and forget."""

    issuer: str
    access_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)
    revocation_endpoint: str | None
    dpop_key: Jwk = field(repr=False)
    kid: str | None


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Who was proved to be there, freshly resolved."""

    identity: Identity
    grant: Grant
