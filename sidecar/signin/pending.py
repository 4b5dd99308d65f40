"""Sign-ins under way: kept sealed in the store, bound to one browser, used once.

Owns: the record between `POST /auth/login` and the callback, and the cookie that binds it to a browser.
Doesn't belong here: what the protocol needs to go on (`atproto.oauth.PendingSignIn`), HTTP.

The row's key is SHA-256 of the state, which is also the associated data of the encryption: the database
alone tells nobody a state, and a row moved under another key doesn't open.
"""

import hashlib
import hmac
import json
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sidecar.atproto.oauth.models import PendingSignIn
from sidecar.sessions.cookie import cookie_name, set_cookie
from sidecar.signin.sealing import Sealer
from sidecar.store import Store

LIFETIME = 900  # seconds: a PAR lives 5 minutes, then people still have to find their password
ATTEMPTS_PER_BROWSER = 6
_KIND = "pending"


@dataclass(frozen=True, slots=True)
class Attempt:
    """A sign-in under way: the protocol's record, and the page to come back to ("" for the profile).

    `asked_again`: it stands in for one that the server wouldn't begin.
    """

    sign_in: PendingSignIn
    return_to: str
    asked_again: bool = False


class PendingSignIns:
    """Sign-ins under way in one store."""

    def __init__(
        self, store: Store, cookie_secrets: Iterable[str], *, secure: bool, now: Callable[[], float]
    ) -> None:
        self._store = store
        self._sealer = Sealer(list(cookie_secrets), "pending-sign-in")
        self._secure = secure
        self._now = now
        self._prefix = cookie_name("sidecar_attempt_", secure=secure)

    async def keep(self, attempt: Attempt) -> str:
        """Store the attempt; the value of the cookie that binds it to the browser. Raises StoreUnavailable,
        StoreFull.
        """
        now = self._now()
        binding = f"{int(now)}.{secrets.token_urlsafe(24)}"
        record = {
            "sign_in": attempt.sign_in.to_json(),
            "return_to": attempt.return_to,
            "asked_again": attempt.asked_again,
            "binding": _digest(binding),
        }
        key = _key(attempt.sign_in.state)
        await self._sealer.ready()
        sealed = self._sealer.seal(json.dumps(record).encode(), key)
        await self._store.put(_KIND, key, sealed, expires=now + LIFETIME)
        return binding

    async def take(self, state: str, binding: str) -> Attempt | None:
        """The attempt, for its own browser, once. None: unknown, expired, used, unreadable, or another
        browser's.
        """
        key = _key(state)
        sealed = await self._store.take(_KIND, key)
        await self._sealer.ready()
        plain = self._sealer.open(sealed, key) if sealed is not None else None
        if plain is None:
            return None
        try:
            record = json.loads(plain)
            if not hmac.compare_digest(record["binding"], _digest(binding)):
                return None
            sign_in = PendingSignIn.from_json(record["sign_in"])
            return Attempt(sign_in, record["return_to"], record["asked_again"])
        except (KeyError, TypeError, ValueError):  # another version's record is as good as expired
            return None

    def cookie_name(self, state: str) -> str:
        """The name of the cookie that binds this attempt: one for each, so that tabs don't collide."""
        return self._prefix + hashlib.sha256(b"cookie:" + state.encode()).hexdigest()[:16]

    def cookie(self, state: str, binding: str) -> str:
        """`Set-Cookie` for a new attempt."""
        return set_cookie(self.cookie_name(state), binding, max_age=LIFETIME, secure=self._secure)

    def deletion(self, name: str) -> str:
        """`Set-Cookie` that deletes one attempt's cookie."""
        return set_cookie(name, "", max_age=0, secure=self._secure)

    def surplus(self, cookies: dict[str, str]) -> list[str]:
        """Names of the oldest attempts' cookies, so that with a new one the browser holds a handful."""
        ours = {name: value for name, value in cookies.items() if name.startswith(self._prefix)}
        newest_first = sorted(ours, key=lambda name: _started(ours[name]), reverse=True)
        return newest_first[ATTEMPTS_PER_BROWSER - 1 :]


def _started(binding: str) -> int:
    stamp = binding.partition(".")[0]
    return int(stamp) if stamp.isascii() and stamp.isdigit() and len(stamp) < 16 else 0


def _key(state: str) -> bytes:
    return hashlib.sha256(state.encode()).digest()


def _digest(binding: str) -> str:
    return hashlib.sha256(binding.encode()).hexdigest()
