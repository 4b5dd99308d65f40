"""Encryption of what rests in the store.

Owns: AES-256-GCM under a key for one purpose, derived by HKDF (RFC 5869) from each cookie secret.
`ready` loads cryptography, in a thread: a worker that signs nobody in never pays for it.
Doesn't belong here: what is sealed (pending.py), the cookie's signature (sessions/).
"""

import asyncio
import os
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE = 12  # bytes; fresh for every record


class Sealer:
    """Seals under the first secret, opens under any: secrets rotate without losing what is under way."""

    def __init__(self, secrets: Sequence[str], purpose: str) -> None:
        if not secrets:
            raise ValueError("sealing needs a secret")
        self._secrets = secrets
        self._purpose = purpose

    async def ready(self) -> None:
        """Load what `seal` and `open` need, so that they hold nobody up."""
        await asyncio.to_thread(getattr, self, "_ciphers")

    @cached_property
    def _ciphers(self) -> "list[AESGCM]":
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - see above

        return [AESGCM(_key(secret, self._purpose)) for secret in self._secrets]

    def seal(self, plaintext: bytes, associated: bytes) -> bytes:
        """Nonce and ciphertext; opens only with the same associated data."""
        nonce = os.urandom(_NONCE)
        return nonce + self._ciphers[0].encrypt(nonce, plaintext, associated)

    def open(self, sealed: bytes, associated: bytes) -> bytes | None:
        """The plaintext, or None if no secret opens it."""
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - see above

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
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415 - see above
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF  # noqa: PLC0415

    hkdf = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"sidecar " + purpose.encode())
    return hkdf.derive(secret.encode())
