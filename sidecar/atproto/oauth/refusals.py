"""What an authorization server says when it says no, and which of our errors that becomes.

Owns: reading a refusal, from the back channel or through the browser.
Doesn't belong here: successes (responses.py), nonces (dpop.py), the words that a person reads beside it.

Servers give their reason as OAuth does (`error`, `error_description`), as XRPC does (`error`, `message`), or
with a sentence where the code belongs. All of it is a stranger's text. For the log it is quoted with `repr`,
which escapes control characters; for a person it becomes one visible line. Both are cut.
"""

import re
from typing import NamedTuple, NoReturn

import httpx

from ..errors import (
    AccessDenied,
    AuthorizationRefused,
    ClientRefused,
    Refusal,
    ServerUnreachable,
    UnexpectedResponse,
)
from ..fetch import parse_json_object, raise_for_fault
from ..transport import origin_of

_NOT_IN_ERROR = re.compile(r"[^\x20\x21\x23-\x5b\x5d-\x7e]")  # RFC 6749, section 4.1.2.1
_END_OF_CODE = re.compile(r"[ :]")  # some servers put words behind it
_MAX_CODE = 64
MAX_WORDS = 200
_TRY_LATER = frozenset({"temporarily_unavailable", "server_error"})
_OF_THE_PROOF = frozenset({"invalid_dpop_proof", "use_dpop_nonce"})  # some servers say 401 with them


class Reason(NamedTuple):
    """What the server wrote: `error` where the code belongs, and `description` in words."""

    error: str
    description: str

    @property
    def code(self) -> str:
        """The code, in its own alphabet: the first word, if it is a sentence."""
        return _END_OF_CODE.split(_NOT_IN_ERROR.sub("", self.error), maxsplit=1)[0][:_MAX_CODE]

    @property
    def said(self) -> str:
        """The words for a person: the description, else a sentence in place of the code."""
        return _one_line(self.description) or (_one_line(self.error) if " " in self.error.strip() else "")

    def __str__(self) -> str:
        error, description = _one_line(self.error), _one_line(self.description)
        parts = [error if error == self.code else repr(error), repr(description)]
        return " ".join(part for part in parts if part not in ("", "''")) or "no reason given"


def reason_of(response: httpx.Response) -> Reason:
    """What the body of an error response says; empty if it isn't JSON."""
    try:
        answer = parse_json_object(response.content)
    except ValueError:
        answer = {}
    error, description, message = (answer.get(name) for name in ("error", "error_description", "message"))
    return Reason(_text(error), _text(description) or _text(message))


def refuse(response: httpx.Response) -> NoReturn:
    """Raise what an answer that isn't a success means.

    ServerUnreachable for "temporarily_unavailable" and for what `raise_for_fault` finds, RequestRefused among
    it; but a 403 with an error code is a Refusal. UnexpectedResponse for what isn't an answer, such as a
    redirect.
    """
    who, status = origin_of(response.url), response.status_code
    if status < 400:
        raise UnexpectedResponse(f"{who} answered {status}", status=status)
    reason = reason_of(response)
    if status != 403 or not reason.error:
        _raise_for_fault(response, reason)
    refusal = refusal_for(reason, who=f"{who} ({status})")
    if status in (401, 403) and reason.code not in _OF_THE_PROOF:
        raise ClientRefused(str(refusal), error=reason.code, said=reason.said)
    raise refusal


def refusal_for(reason: Reason, *, who: str) -> Refusal | ServerUnreachable:
    """The error to raise."""
    message, code = f"{who} refused: {reason}", reason.code
    if code in _TRY_LATER:
        return ServerUnreachable(message)
    kind: type[Refusal] = AuthorizationRefused
    if code.startswith("invalid_client") or code == "unauthorized_client":
        kind = ClientRefused
    elif code == "access_denied":
        kind = AccessDenied
    return kind(message, error=code, said=reason.said)


def _raise_for_fault(response: httpx.Response, reason: Reason) -> None:
    try:
        raise_for_fault(response)
    except ServerUnreachable as fault:
        if not any(reason):
            raise
        raise type(fault)(f"{fault}: {reason}", status=fault.status) from None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _one_line(text: str) -> str:
    """Without control, invisible and direction-changing characters; cut."""
    shown = "".join(c if c.isprintable() else " " for c in text[: 8 * MAX_WORDS])
    words = " ".join(shown.split())
    return words if len(words) <= MAX_WORDS else words[: MAX_WORDS - 1] + "…"
