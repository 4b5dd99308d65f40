"""DPoP (RFC 9449): every request to the authorization server proves that it has the sign-in's key.

Owns: proofs, and the nonces of servers. A nonce is learned from every answer and used for a minute. If it is
refused, it is forgotten at once.
Doesn't belong here: client authentication (keys.py), what an answer means (responses.py, refusals.py).
"""

import re
import secrets
import time
from collections.abc import Callable, Generator, Mapping

import httpx
from joserfc import jwt
from joserfc.jwk import ECKey

from ..transport import origin_of
from .clock import BACKDATED
from .models import Jwk
from .pkce import challenge
from .refusals import reason_of

_NONCE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,512}")  # RFC 9449, section 8.1, with a bound of our own
SERVERS = 1000  # whose nonces are remembered
# Servers in use refuse a nonce that is minutes old, even if they ask for none, and the code is lost then.
NONCE_LIFETIME = 60.0  # seconds


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
    """A proof for one request (RFC 9449, section 4.2). `access_token`: only toward a resource server."""
    claims: dict[str, object] = {
        "jti": secrets.token_urlsafe(24),
        "htm": method,
        "htu": str(httpx.URL(url).copy_with(query=None, fragment=None)),
        "iat": int(now) - BACKDATED,
    }
    if nonce is not None:
        claims["nonce"] = nonce
    if access_token is not None:
        claims["ath"] = challenge(access_token)  # PKCE's digest too: BASE64URL(SHA256(ASCII(…)))
    header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": key.as_dict(private=False)}
    return jwt.encode(header, claims, key, ["ES256"])


class Nonces:
    """The last nonce of each server, by origin; no other server sees it (RFC 9449, section 8.2).

    What one sign-in learns saves the next one at that server a challenge. If there are too many servers, the
    oldest ones go first.
    """

    def __init__(self, *, now: Callable[[], float] = time.time) -> None:
        self._latest: dict[str, tuple[str, float]] = {}
        self._now = now

    def of(self, url: httpx.URL) -> str | None:
        """The nonce for a request to the URL; None if there is none that is fresh."""
        nonce, learned = self._latest.get(origin_of(url), (None, 0.0))
        return nonce if 0 <= self._now() - learned < NONCE_LIFETIME else None

    def learn(self, url: httpx.URL, response: httpx.Response) -> str | None:
        """Keep the nonce that came with the answer from the URL, and return it; None if it had none."""
        offered: str = response.headers.get("dpop-nonce", "")
        if not _NONCE.fullmatch(offered):
            return None
        origin = origin_of(url)
        self._latest.pop(origin, None)
        self._latest[origin] = offered, self._now()
        if len(self._latest) > SERVERS:
            del self._latest[next(iter(self._latest))]
        return offered

    def forget(self, url: httpx.URL, nonce: str | None) -> None:
        """Drop a nonce that was refused, unless another sign-in has learned a newer one since."""
        origin = origin_of(url)
        if nonce is not None and self._latest.get(origin, (None, 0.0))[0] == nonce:
            del self._latest[origin]


class DpopAuth(httpx.Auth):
    """Signs one request, up to three times: with the nonce we remember, with none, with the one offered.

    `form` makes the body anew each time, because the client assertion in it is good for one request only.
    `repeatable`: nothing is lost if the server has acted on a request that it then refuses. The exchange of a
    code isn't: the code may be gone, and sending it again may sign the person out elsewhere. It is repeated
    only if the server asks for a nonce and names a new one.
    """

    requires_response_body = True  # the Fetcher has bounded it

    def __init__(
        self,
        key: ECKey,
        *,
        nonces: Nonces,
        form: Callable[[], Mapping[str, str]],
        now: Callable[[], float],
        repeatable: bool = False,
    ) -> None:
        self._key = key
        self._nonces = nonces
        self._form = form
        self._now = now
        self._repeatable = repeatable

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        sent = self._nonces.of(request.url)
        response = yield self._signed(request, sent)
        fresh = self._learn(request.url, response, sent)
        if self._repeatable and sent and not fresh and _refused_proof(response):
            response = yield self._signed(request, None)
            fresh = self._learn(request.url, response, None)
        if fresh and self._asks_again(response):
            self._learn(request.url, (yield self._signed(request, fresh)), fresh)

    def _learn(self, url: httpx.URL, response: httpx.Response, sent: str | None) -> str | None:
        """The nonce to go on with, if the answer names another one than was sent."""
        offered = self._nonces.learn(url, response)
        fresh = None if offered == sent else offered
        if fresh is None and _refused_proof(response):
            self._nonces.forget(url, sent)
        return fresh

    def _asks_again(self, response: httpx.Response) -> bool:
        refused = _refused_proof(response)
        return refused == "use_dpop_nonce" or (self._repeatable and bool(refused))

    def _signed(self, request: httpx.Request, nonce: str | None) -> httpx.Request:
        method, url = request.method, request.url
        headers = request.headers.copy()
        headers.pop("content-length", None)  # of the empty body that we replace
        headers["DPoP"] = proof(self._key, method, str(url), now=self._now(), nonce=nonce)
        form = dict(self._form())
        return httpx.Request(method, url, headers=headers, data=form, extensions=request.extensions)


def _refused_proof(response: httpx.Response) -> str:
    """The error code, if it says that the proof or its nonce was refused; else ""."""
    if response.status_code not in (400, 401):
        return ""
    code = reason_of(response).code
    return code if code in ("use_dpop_nonce", "invalid_dpop_proof") else ""
