"""The signed session cookie: issue, read, renew, delete.

Owns: what the cookie says, its name and attributes, how long it is good for, and who its bearer is to the
rules.
Doesn't belong here: who brings a request (bearers.py), revocation (feed.py, store/), who may pass (access/).

The cookie is a row of fields signed by itsdangerous (HMAC-SHA256, own salt, every configured secret
verifies). The end of a session is fixed at sign-in; settings changed later can only shorten it.
"""

import hashlib
import hmac
import re
import secrets
from typing import NamedTuple

from itsdangerous import BadData, Signer
from itsdangerous.signer import SigningAlgorithm

from sidecar.access.policy import Principal
from sidecar.errors import DuplicateCookies
from sidecar.settings import Settings
from sidecar.store import CLOCK_AHEAD, HandleFact

_VERSION = "1"
_BETWEEN = (
    "~"  # the fields; it is in no DID and no handle, and may stand in a cookie (RFC 6265 section 4.1.1)
)
_MAX_COOKIE = 4096  # RFC 6265 section 6.1: browsers keep no more
# 32 bytes in base64 without padding. The last character has two spare bits, which must be zero: decoders skip
# them, as they skip padding, so one session would have several cookies.
_SIGNED = re.compile(rb".*\.[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]", re.DOTALL)


class Session(NamedTuple):
    """One sign-in, as its cookie tells it. Times are whole seconds since the epoch.

    `id`: 32 hex digits. `handle`: verified both ways at `handle_verified_at`, or None. `end`: never later
    than this. `issued_at`: when this cookie was made; idle time counts from here.
    """

    id: str
    did: str
    handle: str | None
    handle_verified_at: int
    signed_in_at: int
    end: int
    issued_at: int


class Sessions:
    """Session cookies under one configuration."""

    def __init__(self, settings: Settings) -> None:
        self._idle = settings.session.idle
        self._absolute = settings.session.absolute
        self._renew_after = settings.session.renew_after
        self._domain = settings.session.cookie_domain
        self._secure = not settings.loopback
        self.name = cookie_name("sidecar_session", secure=self._secure, domain=self._domain)
        self._wanted = self.name.encode()
        self.assigned = self._wanted + b"="  # how the cookie begins in a Cookie header
        # One signer for all cookies, its keys derived once: URLSafeSerializer does both for each, which costs
        # more than the HMAC itself.
        self.signer = Signer(
            [_derived(secret) for secret in reversed(settings.session.cookie_secrets)],  # the last one signs
            key_derivation="none",
            algorithm=_HmacSha256(),
        )

    def start(self, did: str, handle: str | None, now: float) -> Session:
        """A new session with a new id, for someone who has just proved to be `did`."""
        at = int(now)
        return Session(
            id=secrets.token_hex(16),
            did=did,
            handle=handle,
            handle_verified_at=at,
            signed_in_at=at,
            end=int(now + self._absolute),
            issued_at=at,
        )

    def find(self, cookie_headers: list[bytes]) -> bytes | None:
        """The session cookie's value, or None. Raises DuplicateCookies if there are two.

        The long way only if the name stands in the header twice, or oddly.
        """
        if len(cookie_headers) != 1:
            return self._find_one(cookie_headers) if cookie_headers else None
        header = cookie_headers[0]
        count = header.count(self._wanted)
        if not count:
            return None
        at = header.find(self.assigned)
        if count > 1 or not (at == 0 or (at > 1 and header[at - 2 : at] == b"; ")):
            return self._find_one(cookie_headers)
        start = at + len(self.assigned)
        end = header.find(b";", start)
        return (header[start:] if end < 0 else header[start:end]).strip()

    def _find_one(self, cookie_headers: list[bytes]) -> bytes | None:
        found = self.find_all(cookie_headers)
        if len(found) > 1:
            raise DuplicateCookies("two session cookies in one request")
        return found[0] if found else None

    def find_all(self, cookie_headers: list[bytes]) -> list[bytes]:
        """The value of every cookie that has the name of ours."""
        pairs = (pair.partition(b"=") for header in cookie_headers for pair in header.split(b";"))
        return [value.strip() for name, _, value in pairs if name.strip() == self._wanted]

    def verify(self, value: bytes) -> Session | None:
        """The session that a cookie's value stands for, or None if we didn't sign it. Says nothing of its
        age.
        """
        if len(value) > _MAX_COOKIE or not _SIGNED.fullmatch(value):
            return None
        try:
            text = self.signer.unsign(value).decode("ascii")
            version, session_id, did, handle, *times = text.split(_BETWEEN)
            session = Session(session_id, did, handle or None, *map(int, times))
        except (BadData, TypeError, ValueError):
            return None
        return session if version == _VERSION else None

    def alive(self, session: Session, now: float) -> bool:
        """Whether neither the idle nor the absolute lifetime is over, by today's settings."""
        return now < self.ends(session) and now < session.issued_at + self._idle

    def ends(self, session: Session) -> float:
        """The last moment of the session, however often it is renewed."""
        return min(session.end, session.signed_in_at + self._absolute)

    def due(self, session: Session, now: float) -> bool:
        """Whether the cookie is old enough to be renewed, and renewal would buy time before the absolute
        end.
        """
        ends_by_idleness = session.issued_at + self._idle < self.ends(session)
        return ends_by_idleness and now >= session.issued_at + self._renew_after

    def unchanged_until(
        self, session: Session, fact: HandleFact | None, now: float, *, handle_max_age: float
    ) -> float:
        """When time alone next changes an answer: the end, the next renewal, the age of the handle."""
        ends, idle_end = self.ends(session), session.issued_at + self._idle
        renewal = session.issued_at + self._renew_after
        until = min(ends, idle_end) if ends <= idle_end or now >= renewal else renewal
        handle_end = newest_handle(session, fact)[1] + handle_max_age
        return handle_end if now < handle_end < until else until

    def renewed(self, session: Session, fact: HandleFact | None, now: float) -> Session:
        """The same session in a younger cookie: id, sign-in and end stay, the handle is the newest known."""
        handle, verified_at = newest_handle(session, fact)
        return session._replace(handle=handle, handle_verified_at=int(verified_at), issued_at=int(now))

    def cookie(self, session: Session, now: float) -> str:
        """The `Set-Cookie` value for the session."""
        who = (session.id, session.did, session.handle or "")
        times = (session.handle_verified_at, session.signed_in_at, session.end, session.issued_at)
        text = self.signer.sign(_BETWEEN.join((_VERSION, *who, *map(str, times)))).decode()
        lifetime = max(0, int(min(self._idle, self.ends(session) - now)))
        return set_cookie(self.name, text, max_age=lifetime, secure=self._secure, domain=self._domain)

    def deletions(self, path: str = "/") -> list[str]:
        """`Set-Cookie` values that delete every form of the cookie that a browser may send to `path`.

        A sibling subdomain can plant one with a Domain or a Path of its own (RFC 6265 section 8.6), so both
        the host-only and the domain form go, for the root and the first segments of the path.
        """
        domains = ("", self._domain) if self._domain else ("",)
        return [
            set_cookie(self.name, "", max_age=0, secure=self._secure, domain=domain, path=each)
            for domain in domains
            for each in _paths(path, host_only=self.name.startswith("__Host-"))
        ]


class _HmacSha256(SigningAlgorithm):
    """itsdangerous' own algorithm by Python's one-shot function, which takes a third of the time."""

    def get_signature(self, key: bytes, value: bytes) -> bytes:
        return hmac.digest(key, value, "sha256")


def _derived(secret: str) -> bytes:
    return Signer(
        secret, salt=b"sidecar.session", key_derivation="hmac", digest_method=hashlib.sha256
    ).derive_key()


def principal(session: Session, fact: HandleFact | None, *, now: float, max_age: float) -> Principal:
    """Who the bearer is to the rules: a handle last verified `max_age` seconds ago or more opens nothing, nor
    does one that a clock ahead of ours has verified.
    """
    handle, verified_at = newest_handle(session, fact)
    fresh = -CLOCK_AHEAD <= now - verified_at < max_age
    return Principal(session.did, handle if fresh else None)


def newest_handle(session: Session, fact: HandleFact | None) -> tuple[str | None, float]:
    """The handle and when it was verified: the store's word if that is newer than the cookie's."""
    if fact is not None and fact.verified_at >= session.handle_verified_at:
        return fact.handle, fact.verified_at
    return session.handle, session.handle_verified_at


def cookie_name(base: str, *, secure: bool, domain: str = "") -> str:
    """`__Host-` for one host, `__Secure-` for a shared domain, plain only on http loopback (RFC 6265bis
    4.1.3). ValueError for a name that cookie_line.py would let through to an app.
    """
    if not base.startswith("sidecar_"):
        raise ValueError("every cookie of ours begins with sidecar_")
    if not secure:
        return base
    return f"__Secure-{base}" if domain else f"__Host-{base}"


def set_cookie(
    name: str, value: str, *, max_age: int | None, secure: bool, domain: str = "", path: str = "/"
) -> str:
    """One `Set-Cookie` value; `max_age` None: until the browser closes, 0: delete."""
    parts = [f"{name}={value}", f"Path={path}", "HttpOnly", "SameSite=Lax"]
    if max_age is not None:
        parts.append(f"Max-Age={max_age}")
    if domain:
        parts.append(f"Domain={domain}")
    if secure:
        parts.append("Secure")
    return "; ".join(parts)


def _paths(path: str, *, host_only: bool) -> list[str]:
    """The cookie paths that match `path`, shortest first; a `__Host-` cookie can only have the root."""
    if host_only:
        return ["/"]
    segments = [s for s in path.partition("?")[0].split("/")[1:4] if s and not set(s) & set(";, \t")]
    paths = ["/"]
    for count in range(1, len(segments) + 1):
        stem = "/" + "/".join(segments[:count])
        paths += [stem, stem + "/"]
    return paths
