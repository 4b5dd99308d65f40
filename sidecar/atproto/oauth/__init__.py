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
key_file.py          the file of our keys
pkce.py              verifier and challenge

`OAuthClient` and the keys are imported when they are first used: the records and the client metadata need
neither HTTP nor cryptography.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from .client_metadata import client_metadata, loopback_client
from .models import Client, Grant, PendingSignIn, Prompt, SignedIn, SignInFailed

if TYPE_CHECKING:
    from .client import OAuthClient
    from .key_file import read_keys
    from .keys import KeySet, generate_key, load_keys, parse_keys

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


_HOMES = {"OAuthClient": "client", "read_keys": "key_file"}


def __getattr__(name: str) -> object:
    """PEP 562."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES.get(name, 'keys')}", __name__), name)
