"""Sign-ins under way: sealed, bound to a browser, used once."""

import hashlib
import json
from dataclasses import replace

import pytest

from sidecar.atproto.oauth import PendingSignIn
from sidecar.signin.pending import ATTEMPTS_PER_BROWSER, LIFETIME, Attempt, PendingSignIns
from sidecar.signin.sealing import Sealer
from sidecar.store.memory import MemoryStore

SECRET = "s" * 40
SIGN_IN = PendingSignIn(
    state="state-of-this-sign-in",
    issuer="https://pds.net",
    did=None,
    redirect_uri="https://auth.club.net/auth/callback",
    token_endpoint="https://pds.net/token",
    revocation_endpoint=None,
    code_verifier="verifier-of-this-sign-in",
    dpop_key={"kty": "EC", "d": "private-part"},
    kid="kid",
)
ATTEMPT = Attempt(SIGN_IN, "https://wiki.club.net/x")
KEY = hashlib.sha256(SIGN_IN.state.encode()).digest()
SEALER = Sealer([SECRET], "pending-sign-in")


class Clock:
    time = 1_800_000_000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> MemoryStore:
    return MemoryStore(now=clock)


@pytest.fixture
def pending(store: MemoryStore, clock: Clock) -> PendingSignIns:
    return PendingSignIns(store, [SECRET], secure=True, now=clock)


async def test_an_attempt_comes_back_as_it_was_to_its_own_browser_once(pending: PendingSignIns) -> None:
    binding = await pending.keep(ATTEMPT)
    assert await pending.take(SIGN_IN.state, binding) == ATTEMPT
    assert await pending.take(SIGN_IN.state, binding) is None


async def test_another_browsers_binding_gets_nothing_and_uses_it_up(pending: PendingSignIns) -> None:
    binding = await pending.keep(ATTEMPT)
    assert await pending.take(SIGN_IN.state, binding + "x") is None
    assert await pending.take(SIGN_IN.state, binding) is None


async def test_an_attempt_expires(pending: PendingSignIns, clock: Clock) -> None:
    binding = await pending.keep(ATTEMPT)
    clock.time += LIFETIME
    assert await pending.take(SIGN_IN.state, binding) is None


async def test_nothing_of_it_can_be_read_in_the_store(pending: PendingSignIns, store: MemoryStore) -> None:
    binding = await pending.keep(ATTEMPT)
    written = repr(await store.get("pending", KEY))
    assert len(written) > 100
    for secret in (SIGN_IN.state, SIGN_IN.code_verifier, "private-part", binding, "wiki.club.net"):
        assert secret not in written


async def test_a_row_under_another_secret_or_of_another_version_counts_as_expired(
    pending: PendingSignIns, store: MemoryStore, clock: Clock
) -> None:
    binding = await pending.keep(ATTEMPT)
    stranger = PendingSignIns(store, ["o" * 40], secure=True, now=clock)
    assert await stranger.take(SIGN_IN.state, binding) is None
    formers: list[dict[str, object]] = [{"sign_in": {}}, {"sign_in": None}]
    formers += [{"asked_again": None}, {"binding": None}]
    for former in formers:
        binding = await pending.keep(ATTEMPT)
        sealed = await store.get("pending", KEY)
        assert sealed is not None
        record = json.loads(SEALER.open(sealed, KEY) or b"{}") | former
        record = {name: value for name, value in record.items() if value is not None}
        await store.put("pending", KEY, SEALER.seal(json.dumps(record).encode(), KEY), expires=clock() + 60)
        assert await pending.take(SIGN_IN.state, binding) is None


@pytest.mark.parametrize("row", [b"[]", b"null", b"no json", b'{"binding": 1}'])
async def test_a_row_that_says_something_else_counts_as_expired(
    pending: PendingSignIns, store: MemoryStore, clock: Clock, row: bytes
) -> None:
    binding = await pending.keep(ATTEMPT)
    await store.put("pending", KEY, SEALER.seal(row, KEY), expires=clock() + 60)
    assert await pending.take(SIGN_IN.state, binding) is None


async def test_a_rotated_secret_still_opens_what_is_under_way(
    pending: PendingSignIns, store: MemoryStore, clock: Clock
) -> None:
    binding = await pending.keep(ATTEMPT)
    rotated = PendingSignIns(store, ["n" * 40, SECRET], secure=True, now=clock)
    assert await rotated.take(SIGN_IN.state, binding) == ATTEMPT


async def test_each_attempt_has_a_cookie_of_its_own_for_its_host_alone(pending: PendingSignIns) -> None:
    binding = await pending.keep(ATTEMPT)
    cookie = pending.cookie(SIGN_IN.state, binding)
    assert cookie.startswith("__Host-sidecar_attempt_")
    assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/", f"Max-Age={LIFETIME}"} <= set(cookie.split("; "))
    assert SIGN_IN.state not in cookie
    assert pending.cookie_name("another state") != pending.cookie_name(SIGN_IN.state)


async def test_the_oldest_attempts_cookies_are_surplus_and_odd_ones_first(
    pending: PendingSignIns, clock: Clock
) -> None:
    cookies = {"other": "1", pending.cookie_name("odd"): "no time"}
    names = []
    for number in range(ATTEMPTS_PER_BROWSER + 1):
        clock.time += 1
        state = f"state {number}"
        names.append(pending.cookie_name(state))
        cookies[names[-1]] = await pending.keep(replace(ATTEMPT, sign_in=replace(SIGN_IN, state=state)))
    assert set(pending.surplus(cookies)) == {pending.cookie_name("odd"), *names[:2]}
