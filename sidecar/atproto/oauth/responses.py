"""What the authorization server says, on the back channel and through the browser, held to the rules.

Owns: reading PAR, token and authorization responses, and which of our errors a refusal becomes.
Doesn't belong here: sending anything, looking anybody up (client.py).

Whatever the server wrote stays untrusted: it is quoted with `repr`, which escapes control characters, and
cut short.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import NoReturn

import httpx

from ..errors import (
    AccessDenied,
    AuthorizationRefused,
    ClientRefused,
    InvalidCallback,
    InvalidIdentifier,
    InvalidTokenResponse,
    IssuerMismatch,
    ServerUnreachable,
    UnexpectedResponse,
    UnsupportedDidMethod,
)
from ..fetch import parse_json_object, raise_for_fault
from ..syntax import Did, parse_did
from ..transport import origin_of
from .models import SCOPE, PendingSignIn

_REQUEST_URI = re.compile(r"[\x21-\x7e]{1,2000}")
_CODE = re.compile(r"[\x20-\x7e]{1,4096}")  # RFC 6749, appendix A.11, with a bound of our own
_TOKEN = re.compile(r"[^\ud800-\udfff]+")  # what a form can carry: lone surrogates have no UTF-8
_NOT_IN_ERROR = re.compile(r"[^\x20\x21\x23-\x5b\x5d-\x7e]")  # RFC 6749, section 4.1.2.1
_MAX_ERROR = 64
_TRY_LATER = frozenset({"temporarily_unavailable", "server_error"})


def request_uri(response: httpx.Response) -> str:
    """Of a PAR response (RFC 9126, section 2.2). Raises what `refuse` does, and UnexpectedResponse."""
    if response.status_code not in (200, 201):
        refuse(response)
    found = _json(response).get("request_uri")
    if not isinstance(found, str) or not _REQUEST_URI.fullmatch(found):
        raise UnexpectedResponse(f"{origin_of(response.url)} gave no request_uri")
    return found


def authorization_code(pending: PendingSignIn, params: Sequence[tuple[str, str]]) -> str:
    """Of the callback's query, as received (RFC 6749, section 4.1.2; RFC 9207).

    Raises InvalidCallback, IssuerMismatch, and for an error response what `_refusal` makes of it.
    """
    query = dict(params)
    if len(query) != len(params):
        raise InvalidCallback("a parameter came twice")
    if query.get("state") != pending.state:  # no secret from who knows the record
        raise InvalidCallback("the callback is another sign-in's")
    if "iss" not in query:
        raise InvalidCallback("the callback doesn't say whose it is (iss)")
    if query["iss"] != pending.issuer:
        raise IssuerMismatch(f"asked {pending.issuer}, answered by {query['iss'][:200]!r}")
    if "error" in query:
        raise _refusal(query["error"], query.get("error_description"), who=pending.issuer)
    code = query.get("code", "")
    if not _CODE.fullmatch(code):
        raise InvalidCallback("neither a code nor an error")
    return code


def tokens(response: httpx.Response) -> dict[str, str]:
    """Whatever tokens came with a success, lest any be left standing; however wrong it is otherwise."""
    try:
        answer = json.loads(response.content) if response.is_success else None
    except (ValueError, RecursionError):
        answer = None
    found = answer if isinstance(answer, dict) else {}
    return {
        name: token
        for name in ("access_token", "refresh_token")
        if isinstance(token := found.get(name), str) and _TOKEN.fullmatch(token)
    }


def token_response(response: httpx.Response) -> Mapping[str, object]:
    """The JSON of a token response, its members still to be checked (`subject`).

    Raises what `refuse` does, and InvalidTokenResponse.
    """
    if response.status_code != 200:
        refuse(response)
    try:
        return _json(response)
    except UnexpectedResponse as exc:
        raise InvalidTokenResponse(str(exc)) from exc


def subject(answer: Mapping[str, object], *, development: bool) -> Did:
    """Whom the tokens are for. Raises InvalidTokenResponse where any member breaks a rule."""
    if not text(answer, "access_token"):
        raise InvalidTokenResponse("no access_token")
    if text(answer, "token_type").lower() != "dpop":
        raise InvalidTokenResponse("token_type is not DPoP")
    if SCOPE not in text(answer, "scope").split(" "):  # no equality: servers and people narrow scopes
        raise InvalidTokenResponse(f"scope lacks {SCOPE}")
    try:
        return parse_did(text(answer, "sub"), development=development)
    except (InvalidIdentifier, UnsupportedDidMethod) as exc:
        raise InvalidTokenResponse(f"sub: {exc}") from exc


def text(answer: Mapping[str, object], name: str) -> str:
    """A member that must be text; "" where it isn't."""
    value = answer.get(name)
    return value if isinstance(value, str) else ""


def refuse(response: httpx.Response) -> NoReturn:
    """Raise what an answer that isn't a success means.

    ServerUnreachable ("temporarily_unavailable", and with RequestRefused what `raise_for_fault` finds, but
    for a 403 with an OAuth error), ClientRefused, AccessDenied, AuthorizationRefused; UnexpectedResponse for
    what is no answer, a redirect for instance.
    """
    who, status = origin_of(response.url), response.status_code
    if status < 400:
        raise UnexpectedResponse(f"{who} answered {status}", status=status)
    try:
        answer = parse_json_object(response.content)
    except ValueError:
        answer = {}
    error = text(answer, "error")
    if status != 403 or not error:
        raise_for_fault(response)
    refusal = _refusal(error, text(answer, "error_description"), who=f"{who} ({status})")
    if status in (401, 403) and not isinstance(refusal, ClientRefused):
        raise ClientRefused(str(refusal))
    raise refusal


def _refusal(
    error: str, description: str | None, *, who: str
) -> AccessDenied | AuthorizationRefused | ClientRefused | ServerUnreachable:
    error = _NOT_IN_ERROR.sub("", error)[:_MAX_ERROR]
    message = f"{who} refused: {error or 'no reason given'} {(description or '')[:200]!r}"
    if error.startswith("invalid_client") or error == "unauthorized_client":
        return ClientRefused(message)
    if error == "access_denied":
        return AccessDenied(message)
    if error in _TRY_LATER:
        return ServerUnreachable(message)
    return AuthorizationRefused(message, error=error)


def _json(response: httpx.Response) -> dict[str, object]:
    media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise UnexpectedResponse(f"{origin_of(response.url)}: content type {media_type[:80]!r}")
    try:
        return parse_json_object(response.content)
    except ValueError as exc:
        raise UnexpectedResponse(f"{origin_of(response.url)}: {str(exc)[:200]}") from exc
