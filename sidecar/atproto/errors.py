"""Everything that can go wrong between us and the ATProto network, as one tree.

Owns: the names of the errors. Each has a stable `code`, which is safe to show and to search for. `transient`
says whether the same attempt may work later. The message is for the log. It may quote what a stranger's
server said, cut and cleaned; it never holds codes, tokens or state.
Doesn't belong here: the words that a person reads (sidecar/replies/words.py).

    AtprotoError
    ├── InvalidIdentifier          the text isn't a handle, a DID or a server's address
    ├── IdentityError
    │   ├── HandleNotFound         no account has this handle: neither DNS nor well-known names one
    │   ├── HandleMismatch         the handle names a DID that doesn't name the handle, or names two DIDs
    │   ├── DidNotFound            the DID is gone (PLC 404 or 410, did:web 404)
    │   ├── UnsupportedDidMethod   neither did:plc nor did:web
    │   └── InvalidDidDocument     there is an answer, but its document can't be used
    ├── FetchError
    │   ├── ServerUnreachable      transient: refused, timed out, DNS fault, 5xx, 408, 425, 429
    │   │   ├── HostNotFound       the server's name has no address
    │   │   ├── CertificateRefused the server's certificate isn't valid: Expired, ForAnotherName,
    │   │   │                      FromUnknownIssuer, or something else
    │   │   └── RequestRefused     403: the server, or the edge before it, doesn't talk to us
    │   ├── ForbiddenAddress       the name leads to an address that isn't public unicast
    │   └── UnexpectedResponse     wrong status, type, size, redirect or shape
    └── OAuthError
        ├── InvalidServerMetadata  the server's metadata breaks a rule of the profile
        ├── Refusal                the authorization server said no
        │   ├── ClientRefused      it doesn't accept us (invalid_client, invalid_client_metadata …)
        │   ├── AccessDenied       the person said no, or their server said it for them
        │   └── AuthorizationRefused   any other OAuth error
        ├── InvalidCallback        parameters are missing, doubled or malformed
        ├── IssuerMismatch         `iss` isn't the issuer we asked (RFC 9207), or it doesn't serve `sub`
        ├── WrongAccount           another account than the one asked for
        └── InvalidTokenResponse   the token response breaks a rule
"""

from typing import ClassVar, Literal

IdentifierKind = Literal["nothing", "word", "handle", "did", "email", "link"]


class AtprotoError(Exception):
    """Root of the tree. `code` is stable; `transient` says whether the same attempt may work later."""

    code: ClassVar[str] = "atproto_error"
    transient: ClassVar[bool] = False


class InvalidIdentifier(AtprotoError):
    """`read`: what a person typed, cleaned and cut, to be shown to that person only; `kind`: read as what."""

    code = "invalid_identifier"

    def __init__(self, message: str, *, read: str = "", kind: IdentifierKind = "nothing") -> None:
        super().__init__(message)
        self.read = read
        self.kind = kind


class IdentityError(AtprotoError):
    code = "identity_error"


class HandleNotFound(IdentityError):
    code = "handle_not_found"


class HandleMismatch(IdentityError):
    code = "handle_mismatch"


class DidNotFound(IdentityError):
    code = "did_not_found"


class UnsupportedDidMethod(IdentityError):
    code = "unsupported_did_method"


class InvalidDidDocument(IdentityError):
    code = "invalid_did_document"


class FetchError(AtprotoError):
    """`status`: the HTTP status, if the status is what went wrong."""

    code = "fetch_error"

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class ServerUnreachable(FetchError):
    code = "server_unreachable"
    transient = True


class HostNotFound(ServerUnreachable):
    code = "host_not_found"


class CertificateRefused(ServerUnreachable):
    code = "certificate_refused"


class CertificateExpired(CertificateRefused):
    code = "certificate_expired"


class CertificateForAnotherName(CertificateRefused):
    code = "certificate_for_another_name"


class CertificateFromUnknownIssuer(CertificateRefused):
    code = "certificate_from_unknown_issuer"


class RequestRefused(ServerUnreachable):
    code = "request_refused"


class ForbiddenAddress(FetchError):
    code = "forbidden_address"


class UnexpectedResponse(FetchError):
    code = "unexpected_response"


class OAuthError(AtprotoError):
    code = "oauth_error"


class InvalidServerMetadata(OAuthError):
    code = "invalid_server_metadata"


class Refusal(OAuthError):
    """`error`: the server's error code, cut to the characters that RFC 6749 allows; "" if it gave none.

    `said`: its own words for a person, one visible line of at most 200 characters; "" if it gave none. They
    are a stranger's: show them as a quotation.
    """

    code = "refusal"

    def __init__(self, message: str = "", *, error: str = "", said: str = "") -> None:
        super().__init__(message)
        self.error = error
        self.said = said


class ClientRefused(Refusal):
    code = "client_refused"


class AccessDenied(Refusal):
    code = "access_denied"


class AuthorizationRefused(Refusal):
    code = "authorization_refused"


class InvalidCallback(OAuthError):
    code = "invalid_callback"


class IssuerMismatch(OAuthError):
    code = "issuer_mismatch"


class WrongAccount(OAuthError):
    code = "wrong_account"


class InvalidTokenResponse(OAuthError):
    code = "invalid_token_response"
