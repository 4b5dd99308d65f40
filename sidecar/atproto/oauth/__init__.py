"""Signing people in with ATProto OAuth, for clients that need an identity and nothing more.

    pending, url = await client.start(identifier)      # keep `pending`, send the browser to `url`
    signed_in = await client.finish(pending, query)    # when it comes back to `redirect_uri`
    await client.revoke(signed_in.grant)               # identity needs no tokens

The story of a sign-in. Alice types her handle. The *directory* finds her DID and the server that holds her
account. That server's *discovery* documents lead to the authorization server that speaks for it, the issuer.
We make three secrets for this one sign-in: a `state`, a PKCE verifier and a DPoP key. In a *pushed
authorization request* we tell the issuer what we want. A client assertion proves who we are, and a DPoP proof
that we hold the key. The issuer answers with a reference, and Alice's browser carries only that. Alice signs
in over there and says yes. Her browser comes back with our `state`, the issuer's name and a code. We trade
code, verifier and proof for tokens, whose `sub` names her account. Any server could name any account, so we
resolve `sub` afresh: DID, server, issuer. If that issuer is the one that answered, the account is hers.

models.py            the records
client.py            the two halves, and revocation
discovery.py         server → issuer, and what the issuer's metadata must say
back_channel.py      our requests to the issuer: authenticated (keys.py), bound (dpop.py)
responses.py         its answers
refusals.py          its refusals, and the errors they become
clock.py             our clock and the server's
client_metadata.py   how servers know us
pkce.py              verifier and challenge

`OAuthClient` is imported when it is first used: the records and the client metadata need no HTTP.
"""

from typing import TYPE_CHECKING

from .client_metadata import client_metadata, loopback_client
from .keys import KeySet, generate_key, load_keys, parse_keys, read_keys
from .models import Client, Grant, PendingSignIn, Prompt, SignedIn, SignInFailed

if TYPE_CHECKING:
    from .client import OAuthClient

__all__ = [
    "Client",
    "Grant",
    "KeySet",
    "OAuthClient",
    "PendingSignIn",
    "Prompt",
    "SignInFailed",
    "SignedIn",
    "client_metadata",
    "generate_key",
    "load_keys",
    "loopback_client",
    "parse_keys",
    "read_keys",
]


def __getattr__(name: str) -> object:
    """PEP 562."""
    if name != "OAuthClient":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .client import OAuthClient  # noqa: PLC0415 - see above

    return OAuthClient
