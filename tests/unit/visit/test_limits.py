import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.errors import TooManyRequests
from sidecar.visit.limits import Attempts, Slots, client_key


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
    ],
)
def test_ipv4_counts_whole_and_ipv6_by_its_64(address: str, key: str) -> None:
    assert client_key(address) == key


def test_whatever_is_no_address_shares_one_key() -> None:
    garbage = [
        "",
        "unknown",
        "203.0.113.7, 198.51.100.1",
        "203.0.113.7:1234",
        "[::1]",
        "1" * 10_000,
        "\x00",
        "203.0.113.07",
    ]
    assert len({client_key(each) for each in garbage}) == 1


@given(st.text())
def test_any_text_has_a_short_key(address: str) -> None:
    assert 0 < len(client_key(address)) < 50


def test_attempts_up_to_the_limit_go_on_and_the_next_is_told_how_long_to_wait() -> None:
    attempts = Attempts(3, 300)
    assert [attempts.allow("a", now) for now in (1000.0, 1010.0, 1020.0)] == [0, 0, 0]
    assert attempts.allow("a", 1030.0) == 270.0
    assert attempts.allow("a", 1299.0) == 1.0


def test_keys_are_counted_apart() -> None:
    attempts = Attempts(1, 300)
    assert attempts.allow("a", 1000.0) == 0
    assert attempts.allow("b", 1000.0) == 0
    assert attempts.allow("a", 1000.0) > 0


def test_refused_attempts_dont_prolong_the_wait() -> None:
    attempts = Attempts(1, 300)
    attempts.allow("a", 1000.0)
    for now in range(1001, 1300):
        assert attempts.allow("a", float(now)) > 0
    assert attempts.allow("a", 1300.0) == 0


def test_a_clock_set_back_locks_nobody_out() -> None:
    attempts = Attempts(1, 300)
    attempts.allow("a", 10_000.0)
    assert attempts.allow("a", 1000.0) == 0
    assert attempts.allow("a", 1001.0) == 299.0


def test_the_table_is_bounded_and_a_flood_of_keys_locks_nobody_out() -> None:
    attempts = Attempts(1, 300, capacity=100)
    for number in range(1000):
        assert attempts.allow(f"address {number}", 1000.0 + number / 1000) == 0
    assert len(attempts) == 100
    assert attempts.allow("newcomer", 1001.0) == 0
    assert attempts.allow("address 999", 1001.0) > 0


def test_expired_keys_are_forgotten() -> None:
    attempts = Attempts(1, 300)
    for number in range(50):
        attempts.allow(str(number), 1000.0)
    attempts.allow("late", 1300.0)
    assert len(attempts) == 1
    assert attempts.allow("late", 1300.0) > 0


QUARTERS = st.integers(0, 160).map(lambda n: n / 4)  # seconds, exact in binary


@given(st.lists(st.tuples(st.sampled_from("abc"), QUARTERS), max_size=60), st.integers(1, 4))
def test_nobody_passes_more_often_than_the_limit_in_one_window(
    steps: list[tuple[str, float]], limit: int
) -> None:
    attempts, now = Attempts(limit, 100), 0.0
    allowed: dict[str, list[float]] = {}
    for key, pause in steps:
        now += pause
        wait = attempts.allow(key, now)
        if wait == 0:
            allowed.setdefault(key, []).append(now)
        else:
            assert 0 < wait <= 100
            assert len(allowed[key]) >= limit
    for times in allowed.values():  # a fixed window: at most two of them touch any stretch of its length
        for start in times:
            assert sum(start <= each < start + 100 for each in times) <= 2 * limit


async def test_a_slot_more_than_there_are_is_refused_at_once_and_given_back_at_the_end() -> None:
    slots, release, both_in = Slots(2), asyncio.Event(), asyncio.Barrier(3)

    async def work() -> None:
        with slots.take():
            await both_in.wait()
            await release.wait()

    running = [asyncio.create_task(work()) for _ in range(2)]
    await both_in.wait()
    with pytest.raises(TooManyRequests) as refused, slots.take():
        pass
    assert refused.value.retry_after > 0
    release.set()
    await asyncio.gather(*running)
    with slots.take(), slots.take():
        pass


def test_a_slot_is_given_back_after_a_fault() -> None:
    slots = Slots(1)
    for _ in range(3):
        with pytest.raises(RuntimeError), slots.take():
            raise RuntimeError
    with slots.take():
        pass
