"""Accounts and the PDSes they are on, as a fake network has them."""

from dataclasses import dataclass, field
from typing import Any

from tests.fakes.authorization_server import AuthorizationServer


@dataclass
class Account:
    """`pds`: the origin it is on; set another, and it has moved. `document` replaces the DID document."""

    did: str
    handle: str | None
    pds: str
    display_name: str | None = None
    document: dict[str, Any] | None = None
    resolves: bool = True  # whether the handle leads back to the DID
    status: str | None = None  # why it isn't active, as getRepoStatus says it


@dataclass
class Pds:
    """`metadata`: what its protected-resource document says."""

    origin: str
    issuer: AuthorizationServer
    metadata: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.metadata = {
            "resource": self.origin,
            "authorization_servers": [self.issuer.origin],
            "scopes_supported": [],
            "bearer_methods_supported": ["header"],
            **self.metadata,
        }


def did_document(account: Account) -> dict[str, Any]:
    """As the public directory serves it."""
    return account.document or {
        "@context": ["https://www.w3.org/ns/did/v1"],
        "id": account.did,
        "alsoKnownAs": [f"at://{account.handle}"] if account.handle else [],
        "verificationMethod": [
            {
                "id": f"{account.did}#atproto",
                "type": "Multikey",
                "controller": account.did,
                "publicKeyMultibase": "zQ3shunBKsXixLxKtC5qeSG9E4J5RkGN57im31pcTzbNQnm5w",
            }
        ],
        "service": [
            {"id": "#atproto_pds", "type": "AtprotoPersonalDataServer", "serviceEndpoint": account.pds}
        ],
    }
