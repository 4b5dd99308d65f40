"""What a strict authorization server wants of DPoP proofs (RFC 9449) and client assertions (RFC 7523)."""

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import httpx
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from tests.fakes.refusals import Refused, require

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
PROOF_AGE = 60  # seconds, either way; the reference server tolerates 180
ASSERTION_AGE = 60  # seconds, and none from the future

STALE = 300  # seconds after which a nonce is refused where one isn't even asked for

NonceFault = Literal["silent", "stubborn", "endless", "garbled", "mute", "optional"]


@dataclass
class Nonces:
    """A new nonce with every answer; the latest ones are good, or in `strict` mode only the very latest.

    `fault`: silent: challenges without naming a nonce. stubborn: always the same, and never content with it.
    endless: always a new one, and never content. garbled: names something that is no nonce. mute: calls the
    proof invalid for one that it doesn't know, names no other. optional: asks for none, refuses a stale one.
    """

    strict: bool = False
    fault: NonceFault | None = None
    status: int = 400
    challenges: int = 0
    now: Callable[[], float] = lambda: 0.0
    _good: dict[str, float] = field(default_factory=dict)  # and since when
    _mute: bool = False

    def headers(self) -> dict[str, str]:
        """Of every answer."""
        mute, self._mute = self._mute, False
        if mute or self.fault == "silent":
            return {}
        if self.fault in ("stubborn", "garbled"):
            return {"DPoP-Nonce": "always-the-same" if self.fault == "stubborn" else 'no "nonce"'}
        nonce = secrets.token_urlsafe(12)
        self._good[nonce] = self.now()
        return {"DPoP-Nonce": nonce}

    def expire(self) -> None:
        """Rotate: what was handed out so far is worth nothing."""
        self._good.clear()

    def check(self, nonce: object) -> None:
        good = list(self._good)[-1:] if self.strict else self._good
        if self.fault == "optional":
            self._mute = nonce is not None and self.now() - self._good.get(str(nonce), -STALE) > STALE
        elif self.fault == "mute":
            self._mute = nonce is not None and nonce not in good
        if self._mute:
            raise Refused("invalid_dpop_proof", "nonce", 401)
        if self.fault == "optional" or (self.fault in (None, "mute") and nonce in good):
            return
        self.challenges += 1
        raise Refused("use_dpop_nonce", "use the nonce provided", self.status)


def check_proof(
    request: httpx.Request, *, nonces: Nonces, used: set[str], now: float, future: float | None = None
) -> str:
    """The thumbprint of the key that the proof proves.

    `used`: jti values seen so far. `future`: seconds by which `iat` may be ahead, PROOF_AGE unless given.
    """
    proofs = request.headers.get_list("dpop")
    require(len(proofs) == 1, "invalid_dpop_proof", "exactly one proof")
    header = _unverified_header(proofs[0], "invalid_dpop_proof")
    jwk: Any = header.get("jwk")
    require(set(header) == {"typ", "alg", "jwk"}, "invalid_dpop_proof", "header")
    require(
        header.get("typ") == "dpop+jwt" and header.get("alg") == "ES256", "invalid_dpop_proof", "typ, alg"
    )
    require(isinstance(jwk, dict) and "d" not in jwk, "invalid_dpop_proof", "a public jwk")
    claims = _verified(proofs[0], jwk, "invalid_dpop_proof")
    require(set(claims) <= {"jti", "htm", "htu", "iat", "nonce"}, "invalid_dpop_proof", "no iss, no ath here")
    require(claims.get("htm") == request.method, "invalid_dpop_proof", "htm")
    require(claims.get("htu") == str(request.url.copy_with(query=None)), "invalid_dpop_proof", "htu")
    iat = claims.get("iat")
    ahead = PROOF_AGE if future is None else future
    require(isinstance(iat, int) and -PROOF_AGE <= iat - now <= ahead, "invalid_dpop_proof", "iat")
    _use(claims.get("jti"), used, "invalid_dpop_proof")
    nonces.check(claims.get("nonce"))
    return thumbprint(jwk)


def thumbprint(jwk: Mapping[str, Any]) -> str:
    """Of the key itself, whatever it is called (RFC 7638)."""
    return ECKey.import_key(dict(jwk)).thumbprint()


def check_assertion(
    form: Mapping[str, str],
    keys: Mapping[str, Mapping[str, Any]],
    *,
    issuer: str,
    used: set[str],
    now: float,
) -> str:
    """The kid of the key that the client authenticated with. `keys`: the client's public ones, by kid."""
    require(
        form.get("client_assertion_type") == ASSERTION_TYPE, "invalid_client", "client_assertion_type", 401
    )
    assertion = form.get("client_assertion", "")
    header = _unverified_header(assertion, "invalid_client")
    kid = header.get("kid")
    require(header.get("alg") == "ES256", "invalid_client", "alg", 401)
    require(isinstance(kid, str) and kid in keys, "invalid_client", "kid", 401)
    claims = _verified(assertion, keys[str(kid)], "invalid_client")
    client_id = form.get("client_id")
    require(claims.get("iss") == claims.get("sub") == client_id, "invalid_client", "iss, sub", 401)
    require(claims.get("aud") == issuer, "invalid_client", "aud", 401)
    iat, exp = claims.get("iat"), claims.get("exp")
    require(isinstance(iat, int) and now - ASSERTION_AGE <= iat <= now, "invalid_client", "iat", 401)
    require(isinstance(exp, int) and now < exp, "invalid_client", "exp", 401)
    require(isinstance(exp, int) and isinstance(iat, int) and exp <= iat + 60, "invalid_client", "exp", 401)
    _use(claims.get("jti"), used, "invalid_client")
    return str(kid)


def _unverified_header(token: str, error: str) -> dict[str, Any]:
    try:
        return dict(jws.extract_compact(token.encode()).headers())
    except (JoseError, ValueError) as exc:
        raise Refused(error, "no JWS") from exc


def _verified(token: str, jwk: Any, error: str) -> dict[str, Any]:
    try:
        claims = json.loads(jws.deserialize_compact(token, ECKey.import_key(jwk), ["ES256"]).payload)
    except (JoseError, ValueError, KeyError, TypeError) as exc:
        raise Refused(error, "signature") from exc
    if not isinstance(claims, dict):
        raise Refused(error, "claims")
    return claims


def _use(jti: object, used: set[str], error: str) -> None:
    if not isinstance(jti, str) or len(jti) < 16:
        raise Refused(error, "jti")
    require(jti not in used, error, "jti replayed")
    used.add(jti)
