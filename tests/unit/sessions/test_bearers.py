"""Who brings a request: one answer for each Cookie header, and what is remembered of it."""

from typing import Any

import pytest

from sidecar.access.policy import Principal
from sidecar.sessions.bearers import DUPLICATE, FORGED, NONE, UNKNOWN, Bearer, Bearers, Brought, Nobody
from sidecar.sessions.cookie import Session, Sessions
from sidecar.sessions.feed import Feed
from sidecar.settings import Limits, Settings
from sidecar.settings import Session as SessionSettings
from sidecar.store import HandleFact, Revocation
from sidecar.store.memory import MemoryStore

NOW = 1_800_000_000.0
DID = "did:plc:ewvi7nxzyoun6zhxrhs64oiz"


class Setup:
    """Bearers on a store in memory. `now` is the feed's clock."""

    def __init__(self, *, cached_cookies: int = 100, **session: Any) -> None:
        settings = Settings(
            public_url="https://auth.wiki.net",
            session=SessionSettings(cookie_secrets=("a" * 32,), **session),
            limits=Limits(cached_cookies=cached_cookies),
        )
        self.now = NOW
        self.sessions = Sessions(settings)
        self.feed = Feed(MemoryStore(now=lambda: self.now), max_stale=300.0, now=lambda: self.now)
        self.bearers = Bearers(settings, sessions=self.sessions, feed=self.feed)

    def header(self, session: Session) -> bytes:
        return self.sessions.cookie(session, NOW).partition(";")[0].encode()

    def start(self, handle: str | None = "alice.wiki.net") -> tuple[Session, bytes]:
        session = self.sessions.start(DID, handle, NOW)
        return session, self.header(session)


@pytest.fixture
async def setup() -> Setup:
    made = Setup()
    await made.feed.catch_up()
    return made


def brought(setup: Setup, *headers: bytes, now: float = NOW) -> Brought:
    found = setup.bearers.of(list(headers), now)
    assert isinstance(found, Brought)
    return found


def bearer(setup: Setup, header: bytes, now: float = NOW) -> Bearer:
    return brought(setup, header, now=now).bearer


async def test_a_live_session_is_its_bearer_and_stays_the_same_object(setup: Setup) -> None:
    session, header = setup.start()
    found = bearer(setup, header)
    assert (found.session, found.who) == (session, Principal(DID, "alice.wiki.net"))
    assert bearer(setup, header) is found
    assert bearer(setup, b"theme=dark; " + header) is found


async def test_every_reason_for_nobody_has_its_name(setup: Setup) -> None:
    session, header = setup.start()
    assert setup.bearers.of([], NOW) == NONE
    assert setup.bearers.of([b"theme=dark"], NOW) == NONE
    assert setup.bearers.of([header, header], NOW) == DUPLICATE
    assert setup.bearers.of([header + b"; " + header], NOW) == DUPLICATE
    assert setup.bearers.of([header[:-1]], NOW) == FORGED
    setup.feed.apply(Revocation(1, session.id, session.end))
    assert setup.bearers.of([header], NOW) == Nobody("revoked", session)


@pytest.mark.parametrize("known", [True, False])
async def test_an_old_session_is_expired_whether_it_came_lately_or_not(setup: Setup, known: bool) -> None:
    session, header = setup.start()
    if known:
        bearer(setup, header)
    later = NOW + 8 * 86400
    setup.now = later
    await setup.feed.catch_up()
    assert setup.bearers.of([header], later) == Nobody("expired", session)


async def test_nobody_is_known_while_sign_outs_cannot_be_learned(setup: Setup) -> None:
    _, header = setup.start()
    bearer(setup, header)
    assert setup.bearers.of([header], NOW + 301) == UNKNOWN
    assert setup.bearers.of([], NOW + 301) == UNKNOWN
    assert Setup().bearers.of([header], NOW) == UNKNOWN


async def test_a_sign_out_ends_a_session_that_was_just_seen(setup: Setup) -> None:
    session, header = setup.start()
    bearer(setup, header)
    setup.feed.apply(Revocation(1, session.id, session.end))
    assert setup.bearers.of([header], NOW) == Nobody("revoked", session)
    assert setup.bearers.of([b"a=b; " + header], NOW) == Nobody("revoked", session)


async def test_news_of_the_handle_makes_a_new_bearer(setup: Setup) -> None:
    _, header = setup.start()
    before = bearer(setup, header)
    before.decided["wiki.net"] = "an answer that no longer holds"
    setup.feed.apply(HandleFact(1, DID, None, NOW, NOW + 86400))
    after = bearer(setup, header)
    assert after.who == Principal(DID, None)
    assert (after is before, after.decided) == (False, {})


async def test_a_handle_that_gets_too_old_is_no_longer_named(setup: Setup) -> None:
    _, header = setup.start()
    assert bearer(setup, header).who.handle == "alice.wiki.net"
    setup.now = NOW + 86401
    await setup.feed.catch_up()
    assert bearer(setup, header, NOW + 86401).who.handle is None


async def test_a_cookie_is_due_at_its_age_and_the_bearer_stays_the_same_from_then_on(setup: Setup) -> None:
    _, header = setup.start()
    assert not bearer(setup, header, NOW + 10).due
    setup.now = NOW + 86400
    await setup.feed.catch_up()
    due = bearer(setup, header, NOW + 86400)
    assert due.due
    assert bearer(setup, header, NOW + 86400 + 60) is due


async def test_only_so_many_headers_are_remembered_and_no_long_ones(setup: Setup) -> None:
    _, header = setup.start()
    for number in range(5000):
        bearer(setup, b"a=%d; " % number + header)
    seen = sum(setup.bearers.has_seen(b"a=%d; " % number + header) for number in range(5000))
    assert 2000 <= seen <= 4000
    long = b"a=" + b"v" * 1100 + b"; " + header
    bearer(setup, long)
    assert not setup.bearers.has_seen(long)


async def test_cookies_that_we_did_not_sign_are_not_remembered(setup: Setup) -> None:
    _, header = setup.start()
    for number in range(20):
        setup.bearers.of([header + b"%d" % number], NOW)
    assert len(setup.bearers) == 0


async def test_only_so_many_cookies_are_remembered() -> None:
    setup = Setup(cached_cookies=8)
    await setup.feed.catch_up()
    for _ in range(40):
        bearer(setup, setup.start()[1])
    assert len(setup.bearers) <= 8


async def test_with_a_session_comes_what_is_left_of_its_cookies(setup: Setup) -> None:
    _, header = setup.start()
    assert brought(setup, header).cookies == b""
    assert brought(setup, b"a=1; " + header + b"; b=2").cookies == b"a=1; b=2"
    assert brought(setup, b"a=1", header, b"b=2; sidecar_session =x").cookies == b"a=1; b=2"


async def test_the_same_header_brings_the_same_object_while_its_bearer_stands(setup: Setup) -> None:
    session, header = setup.start()
    line = b"a=1; " + header
    first = brought(setup, line)
    assert brought(setup, line) is first
    assert brought(setup, header) is not first
    setup.feed.apply(HandleFact(1, DID, None, NOW, NOW + 86400))
    assert brought(setup, line) is not first
    setup.feed.apply(Revocation(1, session.id, session.end))
    assert setup.bearers.of([line], NOW) == Nobody("revoked", session)
