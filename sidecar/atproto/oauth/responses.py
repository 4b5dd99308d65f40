"""What the authorization server answers, on the back channel and through the browser, held to the rules.

Owns: reading PAR, token and authorization responses.
Doesn't belong here: refusals (refusals.py), sending anything, looking anybody up (client.py).
"""

import json
import re
from collections.abc import Mapping, Sequence

import httpx

from ..errors import (
    InvalidCallback,
    InvalidIdentifier,
    InvalidTokenResponse,
    IssuerMismatch,
    UnexpectedResponse,
    UnsupportedDidMethod,
)
from ..fetch import parse_json_object
from ..syntax import Did, parse_did
from ..transport import origin_of
from .models import SCOPE, PendingSignIn
from .refusals import Reason, refusal_for, refuse

_SUCCESSES = (200, 201, 202)  # servers mix them up; what counts is the body
_JSON = re.compile(r"application/(?:[a-z0-9!#$&^_.-]+\+)?json")  # RFC 6839, section 3.1
_REQUEST_URI = re.compile(r"[\x21-\x7e]{1,2000}")
_AUTHORIZATION_CODE = re.compile(r"[\x20-\x7e]{1,4096}")  # RFC 6749, appendix A.11, with a bound of our own
_TOKEN = re.compile(r"[^\ud800-\udfff]+")  # what a form can carry: lone surrogates have no UTF-8


def request_uri(response: httpx.Response) -> str:
    """The `request_uri` of a PAR response (RFC 9126, section 2.2).

    Raises what `refuse` does, and UnexpectedResponse.
    """
    found = _json(response).get("request_uri")
    if not isinstance(found, str) or not _REQUEST_URI.fullmatch(found):
        raise UnexpectedResponse(f"{origin_of(response.url)} gave no request_uri")
    return found


def authorization_code(pending: PendingSignIn, params: Sequence[tuple[str, str]]) -> str:
    """The code in the callback's query, as received (RFC 6749, section 4.1.2; RFC 9207).

    Raises InvalidCallback, IssuerMismatch, and for an error response what `refusal_for` makes of it.
    """
    query = dict(params)
    if len(query) != len(params):
        raise InvalidCallback("a parameter came twice")
    if query.get("state") != pending.state:  # not a secret from someone who has the record
        raise InvalidCallback("the callback belongs to another sign-in")
    _check_issuer(pending, query)
    if "error" in query:
        reason = Reason(query["error"], query.get("error_description", ""))
        raise refusal_for(reason, who=pending.issuer)
    code = query.get("code", "")
    if not _AUTHORIZATION_CODE.fullmatch(code):
        raise InvalidCallback("neither a code nor an error")
    return code


def _check_issuer(pending: PendingSignIn, query: Mapping[str, str]) -> None:
    """`iss` must be the issuer's. Some servers leave it out of refusals.

    A refusal has no code, so no code can go to the wrong server (RFC 9207, section 1).
    """
    if "iss" not in query:
        if "error" in query and "code" not in query:
            return
        raise InvalidCallback("the callback doesn't say which server it is from (iss)")
    if query["iss"] != pending.issuer:
        raise IssuerMismatch(f"asked {pending.issuer}, answered by {query['iss'][:200]!r}")


def tokens(response: httpx.Response) -> dict[str, str]:
    """Every token in a success, however wrong the rest of it is, so that all can be revoked."""
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
    """The JSON of a token response. Its members still have to be checked (`subject`).

    Raises what `refuse` does, and InvalidTokenResponse.
    """
    if response.status_code not in _SUCCESSES:
        refuse(response)
    try:
        return _json(response)
    except UnexpectedResponse as exc:
        raise InvalidTokenResponse(str(exc)) from exc


def subject(answer: Mapping[str, object], *, development: bool) -> Did:
    """The account that the tokens are for. Raises InvalidTokenResponse if any member breaks a rule."""
    if not _text(answer, "access_token"):
        raise InvalidTokenResponse("no access_token")
    if _text(answer, "token_type").lower() != "dpop":
        raise InvalidTokenResponse("token_type is not DPoP")
    if SCOPE not in _text(answer, "scope").split(" "):  # not equality: servers and people narrow scopes
        raise InvalidTokenResponse(f"scope lacks {SCOPE}")
    try:
        return parse_did(_text(answer, "sub"), development=development)
    except (InvalidIdentifier, UnsupportedDidMethod) as exc:
        raise InvalidTokenResponse(f"sub: {exc}") from exc


def _text(answer: Mapping[str, object], name: str) -> str:
    """A member that must be text; "" if it isn't."""
    value = answer.get(name)
    return value if isinstance(value, str) else ""


def _json(response: httpx.Response) -> dict[str, object]:
    if response.status_code not in _SUCCESSES:
        refuse(response)
    media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not _JSON.fullmatch(media_type):
        raise UnexpectedResponse(f"{origin_of(response.url)}: content type {media_type[:80]!r}")
    try:
        return parse_json_object(response.content)
    except ValueError as exc:
        raise UnexpectedResponse(f"{origin_of(response.url)}: {str(exc)[:200]}") from exc
