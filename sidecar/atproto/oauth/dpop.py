"""DPoP (RFC 9449): every request to the authorization server proves that it has the sign-in's key.

Owns: proofs, and the server's nonce: learnt from every answer, a single retry where it was missing or stale.
Doesn't belong here: client authentication (keys.py), what an answer means (responses.py).
"""

import re
import secrets
from collections.abc import Callable, Generator, Mapping

import httpx
from joserfc import jwt
from joserfc.jwk import ECKey

from ..fetch import parse_json_object
from .keys import Jwk
from .pkce import challenge

_NONCE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,512}")  # RFC 9449, section 8.1, with a bound of our own


def generate_dpop_key() -> Jwk:
    """A private ES256 key for one sign-in; never one of the client's."""
    return dict(ECKey.generate_key("P-256").as_dict(private=True))


def proof(
    key: ECKey,
    method: str,
    url: str,
    *,
    now: float,
    nonce: str | None = None,
    access_token: str | None = None,
) -> str:
    """A proof for one request (RFC 9449, section 4.2). `access_token` only toward a resource server."""
    claims: dict[str, object] = {
        "jti": secrets.token_urlsafe(24),
        "htm": method,
        "htu": str(httpx.URL(url).copy_with(query=None, fragment=None)),
        "iat": int(now),
    }
    if nonce is not None:
        claims["nonce"] = nonce
    if access_token is not None:
        claims["ath"] = challenge(access_token)  # PKCE's digest too: BASE64URL(SHA256(ASCII(…)))
    header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": key.as_dict(private=False)}
    return jwt.encode(header, claims, key, ["ES256"])


class DpopAuth(httpx.Auth):
    """Signs one request; `nonce` afterwards is what the server said last.

    `form` makes the body anew for every try, for the client assertion in it is good for one only.
    """

    requires_response_body = True  # the Fetcher has bounded it

    def __init__(
        self,
        key: ECKey,
        *,
        nonce: str | None,
        form: Callable[[], Mapping[str, str]],
        now: Callable[[], float],
    ) -> None:
        self.nonce = nonce
        self._key = key
        self._form = form
        self._now = now

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        sent = self.nonce
        response = yield self._signed(request)
        self._learn(response)
        if self.nonce != sent and _wants_nonce(response):
            self._learn((yield self._signed(request)))

    def _signed(self, request: httpx.Request) -> httpx.Request:
        method, url = request.method, request.url
        headers = request.headers.copy()
        headers.pop("content-length", None)  # of the empty body that we replace
        headers["DPoP"] = proof(self._key, method, str(url), now=self._now(), nonce=self.nonce)
        form = dict(self._form())
        return httpx.Request(method, url, headers=headers, data=form, extensions=request.extensions)

    def _learn(self, response: httpx.Response) -> None:
        offered = response.headers.get("dpop-nonce", "")
        if _NONCE.fullmatch(offered):
            self.nonce = offered


def _wants_nonce(response: httpx.Response) -> bool:
    if response.status_code not in (400, 401):
        return False
    try:
        return parse_json_object(response.content).get("error") == "use_dpop_nonce"
    except ValueError:
        return False
