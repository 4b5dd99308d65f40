"""Everything that can go wrong between us and the ATProto network, as one tree.

Owns: the names. Every error carries a stable `code` (safe to show and to search for) and says whether trying
again later may help (`transient`). The message is for the log: it may quote what a stranger's server said,
cut to a sane length, and never carries codes, tokens or state.
Doesn't belong here: what a person is told (replies/words.py).

    AtprotoError
    ├── InvalidIdentifier          what was typed is no handle, DID or server address
    ├── IdentityError
    │   ├── HandleNotFound         nobody claims the handle: neither DNS nor well-known
    │   ├── HandleMismatch         the handle names a DID that doesn't name the handle, or names two
    │   ├── DidNotFound            the DID is gone (PLC 404/410, did:web 404)
    │   ├── UnsupportedDidMethod   neither plc nor web
    │   └── InvalidDidDocument     it answers, but not with a usable document
    ├── FetchError
    │   ├── ServerUnreachable      transient: refused, timed out, DNS fault, 5xx, 408, 425, 429
    │   │   ├── HostNotFound       the server's name has no address
    │   │   ├── CertificateRefused the server's certificate isn't valid: Expired, ForAnotherName,
    │   │   │                      FromUnknownIssuer, or something else
    │   │   └── RequestRefused     403: the server, or the edge before it, won't talk to us
    │   ├── ForbiddenAddress       resolves to an address that isn't public unicast
    │   └── UnexpectedResponse     wrong status, type, size, redirect or shape
    └── OAuthError
        ├── InvalidServerMetadata  breaks a rule of the spec
        ├── ClientRefused          the server doesn't accept us (invalid_client, invalid_client_metadata …)
        ├── AuthorizationRefused   PAR or token endpoint answered with some other OAuth error
        ├── AccessDenied           the person, or their server for them, said no
        ├── InvalidCallback        parameters missing, doubled or malformed
        ├── IssuerMismatch         `iss` isn't the issuer we asked (RFC 9207), or `sub` isn't served by it
        ├── WrongAccount           another account than the one asked for
        └── InvalidTokenResponse   token response breaks a rule
"""

from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:  # they raise these
    from .oauth.models import Grant

IdentifierKind = Literal["nothing", "word", "handle", "did", "email", "link"]


class AtprotoError(Exception):
    """Root of the tree. `code` is stable; `transient` says whether to try again later.

    `grant`: what to revoke, where `OAuthClient.finish` failed after tokens had come.
    """

    code: ClassVar[str] = "atproto_error"
    transient: ClassVar[bool] = False
    grant: "Grant | None" = None


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
    """`status` is the HTTP status where that is what went wrong."""

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


class ClientRefused(OAuthError):
    code = "client_refused"


class AuthorizationRefused(OAuthError):
    """`error` is the server's OAuth error code, cut down to the characters RFC 6749 allows."""

    code = "authorization_refused"

    def __init__(self, message: str, *, error: str = "") -> None:
        super().__init__(message)
        self.error = error


class AccessDenied(OAuthError):
    code = "access_denied"


class InvalidCallback(OAuthError):
    code = "invalid_callback"


class IssuerMismatch(OAuthError):
    code = "issuer_mismatch"


class WrongAccount(OAuthError):
    code = "wrong_account"


class InvalidTokenResponse(OAuthError):
    code = "invalid_token_response"
