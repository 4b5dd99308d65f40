"""ATProto identity and sign-in, as a library that knows nothing of the sidecar around it.

    fetcher = Fetcher(user_agent="my-app/1.0 (+https://app.example.com)")
    directory = Directory(fetcher)
    client = OAuthClient(...)                              # see oauth/

    identifier = parse_identifier(" @Alice.example.com ")  # Handle("alice.example.com")
    pending, url = await client.start(identifier)          # keep `pending`, send the browser to `url`
    signed_in = await client.finish(pending, query)        # the browser came back with `query`

What happens in between. Someone says she is alice.example.com. Her domain is asked which *DID* that is, over
DNS and HTTPS at once (`identity/handles.py`). The DID's document tells two things: the handle it calls its
own, and the server that holds its account (`identity/document.py`). The first must be the handle we came
from, for anyone can point a domain at somebody else's DID, and anyone can claim a handle. So we know who is
meant (`identity/directory.py`), but not yet who is there. The server names an authorization server, and that
one lets her sign in and sends her back with a code, which we trade for a token that carries a DID
(`oauth/`). That is a stranger's word, so the road is walked once more from its end: this DID, its document,
its server, its authorization server. If it leads to the one that gave us the token, she is who she says, and
the tokens can go.

All along, strangers choose the servers we talk to. So there is one way out to the network (`fetch.py`), and
it doubts everything: where a name leads, how long an answer takes, how large it is, what it claims to be.
What can go wrong is one tree (`errors.py`): what doesn't exist, what is refused, and what is merely down are
told apart throughout, so that an outage is never told as "no such account".

    syntax.py      names: Did, Handle, ServerUrl; what people type
    fetch.py       Fetcher: the one way out; transport.py the guard under it, addresses.py what is public
    identity/      documents, handles, Directory
    oauth/         the sign-in itself

The names below are imported when they are first used: who needs the syntax of names only doesn't pay for the
rest.
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
