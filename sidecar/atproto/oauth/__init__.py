"""Signing people in with ATProto OAuth, for clients that want to know who somebody is and nothing more.

    pending, url = await client.start(identifier)      # keep `pending`, send the browser to `url`
    signed_in = await client.finish(pending, query)    # when it comes back to `redirect_uri`
    await client.revoke(signed_in.grant)               # identity needs no tokens

The story of a sign-in. Alice types her handle. The *directory* finds her DID and the server that holds her
account, and that server's *discovery* documents lead to the authorization server that speaks for it, the
issuer. We make three secrets for this one sign-in: a `state`, a PKCE verifier and a DPoP key. In a *pushed
authorization request* we tell the issuer what we want, proving who we are with a client assertion and that
we hold the key with a DPoP proof; it answers with a reference, and Alice's browser carries nothing but that.
Alice signs in over there and says yes. Her browser comes back with our `state`, the issuer's name and a code.
We trade code, verifier and proof for tokens, whose `sub` says who she is. Any server could say that, so we
resolve `sub` afresh: DID, server, issuer. Only if that issuer is the one that answered is she who she says.

models.py            the records
client.py            the two halves, and revocation
discovery.py         server → issuer, and what the issuer's metadata must say
back_channel.py      our requests to the issuer: authenticated (keys.py), bound (dpop.py)
responses.py         its answers, and the errors they become
client_metadata.py   how servers know us
pkce.py              verifier and challenge
"""

from .client import OAuthClient
from .client_metadata import client_metadata, loopback_client
from .keys import KeySet, generate_key, load_keys
from .models import Client, Grant, PendingSignIn, Prompt, SignedIn

__all__ = [
    "Client",
    "Grant",
    "KeySet",
    "OAuthClient",
    "PendingSignIn",
    "Prompt",
    "SignedIn",
    "client_metadata",
    "generate_key",
    "load_keys",
    "loopback_client",
]
