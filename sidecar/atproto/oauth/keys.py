"""How we authenticate to authorization servers: the client's own keys (RFC 7523).

Owns: the JWK set file, its public half, client assertions.
Doesn't belong here: DPoP keys, which live for one sign-in (dpop.py); rewriting the file (the operator's
part).

Rotation: the first key signs, all are published. A new key is published last until every server can have seen
it. Then it goes first, and the old one stays until the sign-ins under way are over. Servers ask a `jwks_uri`
again within minutes; metadata with keys inside it some keep for an hour, and one for ever.
"""

import json
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, thumbprint

from .clock import BACKDATED
from .key_file import read_keys
from .models import Jwk

CLIENT_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

ASSERTION_LIFETIME = 60  # seconds: the reference server takes no older assertion, and none from the future


def generate_key() -> Jwk:
    """A new private ES256 key; its `kid` is its thumbprint (RFC 7638)."""
    key = ECKey.generate_key("P-256")
    return {**key.as_dict(private=True), "kid": key.thumbprint(), "alg": "ES256", "use": "sig"}


def load_keys(path: Path) -> "KeySet":
    """The keys in a file: a JWK set, or a single JWK. Raises ValueError, which says how to fix it."""
    return parse_keys(read_keys(path), path)


def parse_keys(text: str, path: Path) -> "KeySet":
    """The keys in that text, which came from that file. Raises ValueError."""
    try:
        return KeySet.from_jwks(json.loads(text))
    except json.JSONDecodeError as exc:  # its own text quotes nothing, but its `doc` is the file
        raise ValueError(f"{path} isn't JSON; put a JWK set there") from exc
    except (ValueError, RecursionError) as exc:
        raise ValueError(f"{path}: {exc}") from exc


class KeySet:
    """Private ES256 keys, at least one, each under its own `kid`; the first is the active one."""

    def __init__(self, keys: Sequence[Jwk]) -> None:
        """Raises ValueError, which says how to fix it."""
        if not keys:
            raise ValueError('it holds no key; add one to "keys"')
        self._keys: dict[str, ECKey] = {}
        for number, jwk in enumerate(keys, start=1):
            kid, key = _import(jwk, number)
            if kid in self._keys:
                raise ValueError(f"key {number}: kid {kid[:80]!r} is there twice; give each key its own")
            self._keys[kid] = key

    @classmethod
    def from_jwks(cls, document: object) -> "KeySet":
        """From a JWK set, or from a single JWK. Raises ValueError."""
        return cls(listed(document))

    @property
    def active_kid(self) -> str:
        return next(iter(self._keys))

    def get(self, kid: str) -> ECKey | None:
        return self._keys.get(kid)

    def public_jwks(self) -> dict[str, list[Jwk]]:
        """The public half of every key, the active one first. Servers verify with these."""
        return {"keys": [_public(kid, key) for kid, key in self._keys.items()]}


def listed(document: object) -> list[Any]:
    """The keys of a JWK set (RFC 7517, section 5) as they are written; a single JWK is a set of one.

    A single JWK without a kid gets its thumbprint. Raises ValueError for anything else.
    """
    if not isinstance(document, dict):
        document = {}
    if "keys" not in document and "kty" in document:
        return [document if "kid" in document else {**document, "kid": _thumbprint(document)}]
    if not isinstance(document.get("keys"), list):
        raise ValueError('it isn\'t a JWK set; write {"keys": [ ... ]}')  # noqa: TRY004 - one kind for all faults
    return list(document["keys"])


def client_assertion(kid: str, key: ECKey, *, client_id: str, audience: str, now: float) -> str:
    """Proof that we are the client (RFC 7523, section 3): good once, for a minute, at one issuer."""
    issued = int(now) - BACKDATED
    claims = {
        "iss": client_id,
        "sub": client_id,
        "aud": audience,
        "jti": secrets.token_urlsafe(24),
        "iat": issued,
        "exp": issued + ASSERTION_LIFETIME,
    }
    return jwt.encode({"alg": "ES256", "kid": kid}, claims, key, ["ES256"], default_type=None)


def _import(jwk: object, number: int) -> tuple[str, ECKey]:
    if not isinstance(jwk, dict):
        raise ValueError(f"key {number} isn't a JSON object; put a JWK there")  # noqa: TRY004 - one kind for all faults
    if (jwk.get("kty"), jwk.get("crv"), jwk.get("alg", "ES256")) != ("EC", "P-256", "ES256"):
        raise ValueError(f"key {number} is not for ES256; make an EC key on P-256")
    if "d" not in jwk:
        raise ValueError(f"key {number} is only the public half; put the private key there")
    kid = jwk.get("kid")
    if not isinstance(kid, str) or not kid:
        raise ValueError(f"key {number} has no kid; give it one, its thumbprint for instance")
    try:
        return kid, ECKey.import_key({name: jwk[name] for name in ("kty", "crv", "x", "y", "d")})
    except (JoseError, ValueError, KeyError, TypeError) as exc:  # never quote the key
        raise ValueError(f"key {number} is damaged ({type(exc).__name__}); make a new one") from exc


def _thumbprint(jwk: Jwk) -> str:
    """RFC 7638, also of a damaged key: `_import` says what is wrong with it."""
    return thumbprint({"kty": "EC", **{name: str(jwk.get(name)) for name in ("crv", "x", "y")}})


def _public(kid: str, key: ECKey) -> Jwk:
    return {**key.as_dict(private=False), "kid": kid, "alg": "ES256", "use": "sig"}
