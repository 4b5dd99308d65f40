"""DPoP (RFC 9449): every request to the authorization server proves that it has the sign-in's key.

Owns: proofs, and the nonces of servers: learnt from every answer, a single retry where one was missing or
stale.
Doesn't belong here: client authentication (keys.py), what an answer means (responses.py).
"""

import re
import secrets
from collections.abc import Callable, Generator, Mapping

import httpx
from joserfc import jwt
from joserfc.jwk import ECKey

from ..fetch import parse_json_object
from ..transport import origin_of
from .keys import Jwk
from .pkce import challenge

_NONCE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,512}")  # RFC 9449, section 8.1, with a bound of our own
_SERVERS = 1000  # whose nonces are remembered


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


class Nonces:
    """The last nonce of each server, by origin and for its eyes only (RFC 9449, section 8.2).

    What a sign-in learns spares the next one at that server a challenge. The oldest servers go first.
    """

    def __init__(self) -> None:
        self._latest: dict[str, str] = {}

    def of(self, url: httpx.URL) -> str | None:
        """The nonce for a request to the URL."""
        return self._latest.get(origin_of(url))

    def learn(self, url: httpx.URL, response: httpx.Response) -> str | None:
        """Keep the nonce that came with the answer from the URL, and return it; None: it had none."""
        offered: str = response.headers.get("dpop-nonce", "")
        if not _NONCE.fullmatch(offered):
            return None
        origin = origin_of(url)
        self._latest.pop(origin, None)
        self._latest[origin] = offered
        if len(self._latest) > _SERVERS:
            del self._latest[next(iter(self._latest))]
        return offered


class DpopAuth(httpx.Auth):
    """Signs one request.

    `form` makes the body anew for every try, for the client assertion in it is good for one only.
    """

    requires_response_body = True  # the Fetcher has bounded it

    def __init__(
        self,
        key: ECKey,
        *,
        nonces: Nonces,
        form: Callable[[], Mapping[str, str]],
        now: Callable[[], float],
    ) -> None:
        self._key = key
        self._nonces = nonces
        self._form = form
        self._now = now

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        sent = self._nonces.of(request.url)
        response = yield self._signed(request, sent)
        offered = self._nonces.learn(request.url, response)
        if offered not in (None, sent) and _wants_nonce(response):
            self._nonces.learn(request.url, (yield self._signed(request, offered)))

    def _signed(self, request: httpx.Request, nonce: str | None) -> httpx.Request:
        method, url = request.method, request.url
        headers = request.headers.copy()
        headers.pop("content-length", None)  # of the empty body that we replace
        headers["DPoP"] = proof(self._key, method, str(url), now=self._now(), nonce=nonce)
        form = dict(self._form())
        return httpx.Request(method, url, headers=headers, data=form, extensions=request.extensions)


def _wants_nonce(response: httpx.Response) -> bool:
    if response.status_code not in (400, 401):
        return False
    try:
        return parse_json_object(response.content).get("error") == "use_dpop_nonce"
    except ValueError:
        return False
