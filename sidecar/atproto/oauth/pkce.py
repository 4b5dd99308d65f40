"""Proof Key for Code Exchange (RFC 7636), S256 only.

Owns: a verifier and its challenge, fresh for every sign-in.
Doesn't belong here: comparing them, which is the server's part.
"""

import secrets

import authlib.oauth2.rfc7636 as rfc7636  # type: ignore[import-untyped] # authlib has no types

METHOD = "S256"


def create_verifier() -> str:
    """64 characters of 384 random bits; the RFC wants 43 or more."""
    return secrets.token_urlsafe(48)


def challenge(verifier: str) -> str:
    return str(rfc7636.create_s256_code_challenge(verifier))
