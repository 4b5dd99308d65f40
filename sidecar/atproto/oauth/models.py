"""The records of a sign-in.

Owns: who we are (`Client`), what must be kept between the two halves of a sign-in (`PendingSignIn`), and what
the second half gives back (`SignedIn`, `Grant`, `SignInFailed`). No repr shows a secret.
Doesn't belong here: how they are made (client.py), where they are kept (the caller).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from ..errors import AtprotoError, OAuthError
from ..syntax import Did

if TYPE_CHECKING:  # the record alone shouldn't load what looks identities up, nor cryptography
    from joserfc.jwk import ECKey

    from ..identity import Identity

Jwk = dict[str, Any]

Prompt = Literal["select_account", "login", "create"]

SCOPE = "atproto"  # identity only: no permission to read or write anything


class Keys(Protocol):
    """The client's own keys, as `KeySet` has them (keys.py)."""

    @property
    def active_kid(self) -> str: ...

    def get(self, kid: str) -> "ECKey | None": ...

    def public_jwks(self) -> dict[str, list[Jwk]]: ...


@dataclass(frozen=True, slots=True)
class Client:
    """Who we are to authorization servers.

    `keys`: None for a public client, on loopback only (`loopback_client`). `jwks_uri`: None if the public
    keys are in the client metadata itself. Some servers never fetch that again and refuse later keys.
    """

    client_id: str
    redirect_uri: str
    name: str = ""
    client_uri: str = ""
    jwks_uri: str | None = None
    logo_uri: str = ""
    tos_uri: str = ""
    policy_uri: str = ""
    keys: Keys | None = None


@dataclass(frozen=True, slots=True)
class PendingSignIn:
    """A sign-in between `start` and `finish`: keep it secret, find it by `state`, use it once.

    `did`: the account asked for; None if the sign-in began at a server. `dpop_key`: a private JWK.
    `kid`: which of our keys authenticated us; the server wants the same one again.
    `login_hint`: the handle or DID that was sent to the server; None if there was none.
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
    login_hint: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The whole record, in types that JSON has."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "PendingSignIn":
        """The reverse of `to_json`. Raises ValueError for a record of another version."""
        try:
            did = record["did"]
            return cls(**{**record, "did": None if did is None else Did(did)})
        except (KeyError, TypeError) as exc:
            raise ValueError("not the record of a sign-in, or another version's") from exc


@dataclass(frozen=True, slots=True)
class Grant:
    """The tokens of a sign-in, and what they are bound to. Identity needs none of it: `revoke` and forget."""

    issuer: str
    access_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)
    revocation_endpoint: str | None
    dpop_key: Jwk = field(repr=False)
    kid: str | None

    @property
    def tokens(self) -> list[str]:
        """Those that there are, in the order in which to revoke them."""
        return [token for token in (self.refresh_token, self.access_token) if token]


@dataclass(frozen=True, slots=True)
class SignedIn:
    """The account whose owner has signed in, freshly resolved."""

    identity: "Identity"
    grant: Grant


class SignInFailed(OAuthError):
    """`finish` failed after tokens had come. `error`: why. `grant`: the tokens, for the caller to revoke."""

    code = "sign_in_failed"

    def __init__(self, error: AtprotoError, grant: Grant) -> None:
        super().__init__(str(error))
        self.error = error
        self.grant = grant
