"""ATProto identity and sign-in, as a library that knows nothing of the sidecar around it.

    fetcher = Fetcher(user_agent="my-app/1.0 (+https://app.example.com)")
    directory = Directory(fetcher)
    client = OAuthClient(...)                              # see oauth/

    identifier = parse_identifier(" @Alice.example.com ")  # Handle("alice.example.com")
    pending, url = await client.start(identifier)          # keep `pending`, send the browser to `url`
    signed_in = await client.finish(pending, query)        # the browser came back with `query`

What happens in between:

1. Somebody says that she is alice.example.com. We ask her domain for the *DID*, over DNS and HTTPS at once
   (`identity/handles.py`).
2. The DID's document names two things: its handle, and the server that holds the account
   (`identity/document.py`). The handle must be the one we came from: anyone can point a domain at somebody
   else's DID, and anyone can claim a handle. Now we know which account is meant (`identity/directory.py`).
3. The server names an authorization server. There she signs in, and it sends her back with a code. We trade
   the code for a token that carries a DID (`oauth/`).
4. So far, that is the word of a stranger's server. So we start again from the other end: this DID, its
   document, its server, its authorization server. If that is the server that gave us the token, she is the
   person she says. Then the tokens are revoked.

Strangers choose the servers we talk to. So there is one way out to the network (`fetch.py`). It checks
everything: where a name leads, how long an answer takes, how large it is, what it claims to be. The errors
are one tree (`errors.py`). Every part keeps three kinds apart: what doesn't exist, what is refused, what is
only down. So an outage never looks like "no such account".

    syntax.py      names: Did, Handle, ServerUrl; what people type
    fetch.py       Fetcher: the one way out; transport.py the guard under it, addresses.py what is public
    identity/      documents, handles, Directory
    oauth/         the sign-in itself

The names below are imported when they are first used. A program that needs only the syntax of names doesn't
pay for the rest.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .errors import AtprotoError
    from .fetch import Fetcher
    from .identity import DidDocument, Directory, Identity
    from .oauth import Client, Grant, KeySet, OAuthClient, PendingSignIn, SignedIn, SignInFailed
    from .oauth.client_metadata import client_metadata, loopback_client
    from .oauth.keys import generate_key, load_keys
    from .syntax import (
        INVALID_HANDLE,
        Did,
        Handle,
        ServerUrl,
        parse_did,
        parse_handle,
        parse_identifier,
        parse_origin,
    )

__all__ = [
    "INVALID_HANDLE",
    "AtprotoError",
    "Client",
    "Did",
    "DidDocument",
    "Directory",
    "Fetcher",
    "Grant",
    "Handle",
    "Identity",
    "KeySet",
    "OAuthClient",
    "PendingSignIn",
    "ServerUrl",
    "SignInFailed",
    "SignedIn",
    "client_metadata",
    "generate_key",
    "load_keys",
    "loopback_client",
    "parse_did",
    "parse_handle",
    "parse_identifier",
    "parse_origin",
]

_HOMES = {
    "AtprotoError": "errors",
    "Fetcher": "fetch",
    **dict.fromkeys(("DidDocument", "Directory", "Identity"), "identity"),
    **dict.fromkeys(("INVALID_HANDLE", "Did", "Handle", "ServerUrl"), "syntax"),
    **dict.fromkeys(("parse_did", "parse_handle", "parse_identifier", "parse_origin"), "syntax"),
}


def __getattr__(name: str) -> object:
    """PEP 562."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES.get(name, 'oauth')}", __name__), name)
