"""People are asked about again, by one worker at a time. A fault of a server costs nobody anything."""

import asyncio

import pytest

from sidecar.atproto.errors import ServerUnreachable
from sidecar.errors import StoreUnavailable
from sidecar.sessions.feed import Feed
from sidecar.sessions.reverify import Reverifier
from sidecar.store.memory import MemoryStore

NOW = 1_800_000_000.0
DAY = 86400.0
ALICE = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"
BOB = "did:plc:bbbbbbbbbbbbbbbbbbbbbbbb"


class Clock:
    time = NOW

    def __call__(self) -> float:
        return self.time


class Network:
    """Answers about handles: a name, None for none, or an exception."""

    def __init__(self) -> None:
        self.answers: dict[str, str | Exception | None] = {}
        self.standings: dict[str, str | Exception | None] = {}
        self.asked: list[str] = []
        self.asked_standing: list[str] = []
        self.at_once = 0
        self.most_at_once = 0

    async def __call__(self, did: str) -> str | None:
        self.asked.append(did)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        answer = self.answers.get(did)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def lost_standing(self, did: str) -> str | None:
        self.asked_standing.append(did)
        answer = self.standings.get(did)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Setup:
    def __init__(self) -> None:
        self.clock = Clock()
        self.store = MemoryStore(now=self.clock)
        self.feed = Feed(self.store, max_stale=300, now=self.clock)
        self.network = Network()
        self.reverifier = self.worker()

    def worker(self) -> Reverifier:
        return Reverifier(
            self.store,
            self.feed,
            self.network,
            self.network.lost_standing,
            max_age=DAY,
            retention=30 * DAY,
            now=self.clock,
            every=0.001,
        )

    async def learn(self, did: str, handle: str | None) -> None:
        await self.store.record_handle(did, handle, verified_at=self.clock.time, expires=NOW + 30 * DAY)
        await self.feed.catch_up()


@pytest.fixture
def setup() -> Setup:
    return Setup()


async def test_who_was_seen_is_asked_about_once_the_fact_is_half_its_age(setup: Setup) -> None:
    await setup.learn(ALICE, "alice.test")
    setup.network.answers[ALICE] = "alice.example.net"
    for age, asked in ((0.0, []), (DAY / 2 - 1, []), (DAY / 2, [ALICE])):
        setup.clock.time = NOW + age
        setup.reverifier.seen(ALICE)
        await setup.reverifier.round()
        assert setup.network.asked == asked
    fact = setup.feed.handle_fact(ALICE)
    assert fact is not None
    assert (fact.handle, fact.verified_at) == ("alice.example.net", NOW + DAY / 2)


async def test_nobody_is_asked_about_who_was_not_seen(setup: Setup) -> None:
    await setup.learn(ALICE, "alice.test")
    setup.clock.time += DAY
    await setup.reverifier.round()
    assert setup.network.asked == []


async def test_a_definite_no_is_recorded(setup: Setup) -> None:
    await setup.learn(ALICE, "alice.test")
    setup.clock.time += DAY / 2
    setup.reverifier.seen(ALICE)
    await setup.reverifier.round()
    fact = setup.feed.handle_fact(ALICE)
    assert fact is not None
    assert fact.handle is None


async def test_a_fault_leaves_the_old_fact_and_is_tried_again_with_patience(setup: Setup) -> None:
    await setup.learn(ALICE, "alice.test")
    before = setup.feed.handle_fact(ALICE)
    setup.network.answers[ALICE] = ServerUnreachable("down")
    setup.clock.time += DAY / 2
    asked = []
    for _ in range(120):
        setup.reverifier.seen(ALICE)
        await setup.reverifier.round()
        asked.append(len(setup.network.asked))
        setup.clock.time += 60
    assert setup.feed.handle_fact(ALICE) == before
    assert asked[0] == asked[4] == 1
    assert asked[5] == 2
    assert 3 <= asked[-1] <= 6  # two hours: pauses that double


async def test_a_mistake_of_ours_about_one_person_leaves_the_others_their_turn(
    setup: Setup, caplog: pytest.LogCaptureFixture
) -> None:
    others = [f"did:plc:{number:024d}" for number in range(12)]
    setup.network.answers = {ALICE: UnicodeError("a name nobody thought of"), **dict.fromkeys(others)}
    for did in (ALICE, *others):
        setup.reverifier.seen(did)
    await setup.reverifier.round()
    assert sorted(setup.network.asked) == sorted([ALICE, *others])
    assert "a name nobody thought of" in caplog.text
    setup.reverifier.seen(ALICE)
    await setup.reverifier.round()
    assert setup.network.asked.count(ALICE) == 1  # with patience, as after a server's fault


async def test_the_last_question_is_asked_long_before_the_place_is_given_up(setup: Setup) -> None:
    others = [f"did:plc:{number:024d}" for number in range(12)]

    async def slow(did: str) -> str | None:
        setup.network.asked.append(did)
        setup.clock.time += 100
        return None

    reverifier = Reverifier(
        setup.store,
        setup.feed,
        slow,
        setup.network.lost_standing,
        max_age=DAY,
        retention=30 * DAY,
        now=setup.clock,
    )
    for did in others:
        reverifier.seen(did)
    await reverifier.round()
    assert len(setup.network.asked) == 3  # at 0, 100 and 200 seconds of the 300


async def test_only_a_few_are_asked_at_once_and_all_in_the_end(setup: Setup) -> None:
    for number in range(40):
        setup.reverifier.seen(f"did:plc:{number:024d}")
    await setup.reverifier.round()
    assert len(setup.network.asked) == 40
    assert 1 < setup.network.most_at_once <= 4


async def test_one_worker_at_a_time_is_at_it(setup: Setup) -> None:
    other = setup.worker()
    for each in (setup.reverifier, other):
        each.seen(ALICE)
    await asyncio.gather(setup.reverifier.round(), other.round())
    assert setup.network.asked == [ALICE]


async def test_a_worker_that_died_gives_up_its_place_after_a_while(setup: Setup) -> None:
    await setup.store.put("lease", b"reverify", b"", expires=NOW + 300)
    setup.reverifier.seen(ALICE)
    await setup.reverifier.round()
    assert setup.network.asked == []
    setup.clock.time += 300
    setup.reverifier.seen(ALICE)
    await setup.reverifier.round()
    assert setup.network.asked == [ALICE]


async def test_who_is_not_reached_while_the_place_is_held_stays_due(setup: Setup) -> None:
    setup.reverifier.seen(ALICE)
    setup.reverifier.seen(BOB)
    setup.network.answers = {ALICE: "alice.test", BOB: "bob.test"}
    await setup.reverifier._ask_all({ALICE, BOB}, until=NOW)
    assert setup.network.asked == []
    await setup.reverifier.round()
    assert sorted(setup.network.asked) == [ALICE, BOB]


async def test_it_works_by_itself_and_survives_faults_of_the_store_and_of_ours(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = [StoreUnavailable("down"), RuntimeError("a mistake of ours")]
    put = setup.store.put

    async def faulty(*args: object, **kwargs: object) -> bool:
        if faults:
            raise faults.pop()
        return await put(*args, **kwargs)  # type: ignore[arg-type] # as they came

    monkeypatch.setattr(setup.store, "put", faulty)
    await setup.reverifier.start()
    async with asyncio.timeout(5):
        while not setup.network.asked:
            setup.reverifier.seen(ALICE)
            await asyncio.sleep(0.001)
    await setup.reverifier.stop()
    await setup.reverifier.stop()
    assert setup.network.asked[0] == ALICE


def test_a_flood_of_visitors_is_bounded(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sidecar.sessions.reverify._MOST_SEEN", 10)
    for number in range(50):
        setup.reverifier.seen(f"did:plc:{number:024d}")
        setup.reverifier._pause(f"did:plc:{number:024d}", NOW)
    assert len(setup.reverifier._seen) == 10
    assert len(setup.reverifier._pauses) <= 10


async def test_what_a_clock_ahead_of_ours_has_verified_is_asked_about_at_once(setup: Setup) -> None:
    setup.clock.time += 3600
    await setup.learn(ALICE, "alice.test")
    setup.clock.time -= 3600
    setup.network.answers[ALICE] = "alice.example.net"
    setup.reverifier.seen(ALICE)
    await setup.reverifier.round()
    fact = setup.feed.handle_fact(ALICE)
    assert fact is not None
    assert (fact.handle, fact.verified_at) == ("alice.example.net", NOW)


async def test_a_store_that_fails_in_a_round_is_told_as_such_and_nobody_is_forgotten(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unavailable(*_: object, **__: object) -> None:
        raise StoreUnavailable("pulled the plug")

    setup.reverifier.seen(ALICE)
    setup.reverifier.seen(BOB)
    with monkeypatch.context() as broken:
        broken.setattr(setup.store, "record_handle", unavailable)
        with pytest.raises(StoreUnavailable):
            await setup.reverifier.round()
    await setup.reverifier.round()
    assert setup.feed.handle_fact(ALICE) is not None
    assert setup.feed.handle_fact(BOB) is not None


async def test_a_fact_is_kept_as_long_as_any_session_lives(setup: Setup) -> None:
    setup.network.answers[ALICE] = "alice.test"
    setup.reverifier.seen(ALICE)
    await setup.reverifier.round()
    fact = setup.feed.handle_fact(ALICE)
    assert fact is not None
    assert fact.expires == NOW + 30 * DAY


def ended(setup: Setup, did: str, *, signed_in_at: float) -> bool:
    return setup.feed.ended("0" * 32, did, signed_in_at)


async def test_an_account_that_lost_its_standing_ends_with_all_sessions_begun_before(
    setup: Setup, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    setup.network.answers = {ALICE: "alice.test", BOB: "bob.test"}
    setup.network.standings = {ALICE: "suspended"}
    for did in (ALICE, BOB):
        setup.reverifier.seen(did)
    await setup.reverifier.round()
    assert ended(setup, ALICE, signed_in_at=NOW - 1)
    assert not ended(setup, ALICE, signed_in_at=NOW)  # people who come back sign in at once
    assert not ended(setup, BOB, signed_in_at=NOW - 1)
    (line,) = [each for each in caplog.records if getattr(each, "event", "") == "account_ended"]
    assert (vars(line)["did"], vars(line)["reason"]) == (ALICE, "suspended")


async def test_a_server_that_cannot_tell_ends_nothing_and_is_asked_again_though_the_handle_is_fresh(
    setup: Setup,
) -> None:
    setup.network.answers[ALICE] = "alice.test"
    setup.network.standings[ALICE] = ServerUnreachable("down")
    setup.reverifier.seen(ALICE)
    await setup.reverifier.round()
    assert not ended(setup, ALICE, signed_in_at=NOW - 1)
    fact = setup.feed.handle_fact(ALICE)
    assert fact is not None
    assert (fact.handle, fact.verified_at) == ("alice.test", NOW)
    setup.network.standings[ALICE] = "takendown"
    for seconds, asked in ((1, 1), (300, 2)):
        setup.clock.time = NOW + seconds
        setup.reverifier.seen(ALICE)
        await setup.reverifier.round()
        assert len(setup.network.asked_standing) == asked
    assert ended(setup, ALICE, signed_in_at=NOW - 1)


async def test_a_mistake_of_ours_about_a_standing_ends_nothing(
    setup: Setup, caplog: pytest.LogCaptureFixture
) -> None:
    setup.network.standings[ALICE] = UnicodeError("a status nobody thought of")
    setup.reverifier.seen(ALICE)
    await setup.reverifier.round()
    assert not ended(setup, ALICE, signed_in_at=NOW - 1)
    assert "a status nobody thought of" in caplog.text


async def test_an_end_that_cannot_be_recorded_counts_here_at_once(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unavailable(*_: object, **__: object) -> None:
        raise StoreUnavailable("pulled the plug")

    setup.network.standings[ALICE] = "deleted"
    setup.reverifier.seen(ALICE)
    monkeypatch.setattr(setup.store, "revoke_account", unavailable)
    with pytest.raises(StoreUnavailable):
        await setup.reverifier.round()
    assert ended(setup, ALICE, signed_in_at=NOW - 1)
