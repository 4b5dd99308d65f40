"""Encryption of what rests in the store.

Owns: AES-256-GCM under a key for one purpose, derived by HKDF (RFC 5869) from each cookie secret.
Doesn't belong here: what is sealed (pending.py), the cookie's signature (sessions/).
"""

import os
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_NONCE = 12  # bytes; fresh for every record


class Sealer:
    """Seals under the first secret, opens under any: secrets rotate without losing what is under way."""

    def __init__(self, secrets: Sequence[str], purpose: str) -> None:
        if not secrets:
            raise ValueError("sealing needs a secret")
        self._ciphers = [AESGCM(_key(secret, purpose)) for secret in secrets]

    def seal(self, plaintext: bytes, associated: bytes) -> bytes:
        """Nonce and ciphertext; opens only with the same associated data."""
        nonce = os.urandom(_NONCE)
        return nonce + self._ciphers[0].encrypt(nonce, plaintext, associated)

    def open(self, sealed: bytes, associated: bytes) -> bytes | None:
        """The plaintext, or None if no secret opens it."""
        nonce, ciphertext = sealed[:_NONCE], sealed[_NONCE:]
        if len(nonce) < _NONCE:
            return None
        for cipher in self._ciphers:
            try:
                return cipher.decrypt(nonce, ciphertext, associated)
            except InvalidTag:
                continue
        return None


def _key(secret: str, purpose: str) -> bytes:
    hkdf = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"sidecar " + purpose.encode())
    return hkdf.derive(secret.encode())
