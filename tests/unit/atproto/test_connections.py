"""The race of a host's addresses (RFC 8305): their order, when each is dialled, and who is left behind."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import httpcore
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.atproto.connections import in_turn, race

SIX, FOUR = "2606:2800:220:1::1", "93.184.216.34"


class Stream(httpcore.AsyncNetworkStream):
    """A connection that is only opened and closed."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.closed = False

    async def aclose(self) -> None:
        self.closed = True


class Network:
    """What each address does; `dialled`: when, in seconds from the beginning, in order."""

    def __init__(self, **behaviour: Callable[[], Awaitable[object]]) -> None:
        self.behaviour = behaviour
        self.dialled: list[tuple[str, float]] = []
        self.cancelled: list[str] = []
        self.streams: list[Stream] = []
        self._began = time.monotonic()

    async def __call__(self, address: str) -> Stream:
        self.dialled.append((address, time.monotonic() - self._began))
        try:
            await self.behaviour.get(address, there)()
        except asyncio.CancelledError:
            self.cancelled.append(address)
            raise
        self.streams.append(Stream(address))
        return self.streams[-1]


async def there() -> None:
    """It answers at once."""


async def silent() -> None:
    await asyncio.Event().wait()


async def refused() -> None:
    raise httpcore.ConnectError("refused")


async def unreachable() -> None:
    raise OSError("network is unreachable")


async def slow() -> None:
    await asyncio.sleep(0.4)


def addresses(stream: httpcore.AsyncNetworkStream) -> str:
    assert isinstance(stream, Stream)
    return stream.address


@pytest.fixture(autouse=True)
async def in_time() -> AsyncIterator[None]:
    async with asyncio.timeout(10):
        yield


async def test_one_address_that_answers_is_all_that_is_dialled() -> None:
    network = Network()
    assert addresses(await race(["a", "b"], network)) == "a"
    assert [address for address, _ in network.dialled] == ["a"]


async def test_an_address_that_swallows_packets_holds_the_next_up_for_a_quarter_of_a_second() -> None:
    network = Network(a=silent, b=silent)
    assert addresses(await race(["a", "b", "c"], network)) == "c"
    (_, first), (_, second), (_, third) = network.dialled
    assert 0.2 < second - first < 0.5
    assert 0.2 < third - second < 0.5
    assert sorted(network.cancelled) == ["a", "b"]


@pytest.mark.parametrize("fails", [refused, unreachable])
async def test_an_address_that_fails_gives_way_at_once(fails: Callable[[], Awaitable[object]]) -> None:
    network = Network(a=fails, b=fails)
    assert addresses(await race(["a", "b", "c"], network)) == "c"
    assert network.dialled[-1][1] < 0.2


async def test_an_early_attempt_may_still_win() -> None:
    network = Network(a=slow, b=silent)
    assert addresses(await race(["a", "b"], network)) == "a"
    assert network.cancelled == ["b"]


async def test_a_second_connection_that_is_there_in_the_same_moment_is_closed() -> None:
    gate = asyncio.Event()

    async def opens() -> None:
        await gate.wait()

    network = Network(a=opens, b=opens)
    racing = asyncio.create_task(race(["a", "b"], network))
    await asyncio.sleep(0.3)
    gate.set()
    winner = await racing
    assert len(network.streams) == 2
    assert [stream.closed for stream in network.streams if stream is not winner] == [True]
    assert isinstance(winner, Stream)
    assert not winner.closed


async def test_the_last_fault_is_told_if_none_answers() -> None:
    async def last() -> None:
        await asyncio.sleep(0.01)
        raise httpcore.ConnectTimeout("the last one")

    with pytest.raises(httpcore.ConnectTimeout, match="the last one"):
        await race(["a", "b"], Network(a=refused, b=last))
    with pytest.raises(httpcore.ConnectError):
        await race([], Network())


async def test_a_race_that_is_given_up_leaves_no_attempt_and_no_connection_behind() -> None:
    opened = asyncio.Event()

    async def opens() -> None:
        await opened.wait()

    network = Network(a=silent, b=opens)
    racing = asyncio.create_task(race(["a", "b"], network))
    await asyncio.sleep(0.3)
    opened.set()  # in the same moment as the end of the deadline
    racing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await racing
    assert "a" in network.cancelled
    assert all(stream.closed for stream in network.streams)


async def test_a_mistake_of_ours_is_no_fault_of_an_address() -> None:
    async def broken() -> None:
        raise ZeroDivisionError

    network = Network(a=silent, b=broken)
    with pytest.raises(ZeroDivisionError):
        await race(["a", "b", "c"], network)
    assert network.cancelled == ["a"]


async def test_a_name_with_a_thousand_addresses_makes_us_dial_ten() -> None:
    """Each could be a victim's."""

    class Refusing(Network):
        async def __call__(self, address: str) -> Stream:
            await super().__call__(address)
            raise httpcore.ConnectError("refused")

    network = Refusing()
    with pytest.raises(httpcore.ConnectError):
        await race([f"10.0.{n >> 8}.{n & 255}" for n in range(1000)], network)
    assert len(network.dialled) == 10


@pytest.mark.parametrize(
    ("found", "order"),
    [
        ([SIX, "2606::2", "2606::3", FOUR, "1.1.1.1"], [SIX, FOUR, "2606::2", "1.1.1.1", "2606::3"]),
        ([FOUR, "1.1.1.1", SIX], [FOUR, SIX, "1.1.1.1"]),
        ([SIX, "2606::2"], [SIX, "2606::2"]),
        ([FOUR], [FOUR]),
        ([], []),
    ],
)
def test_both_families_have_their_turn_beginning_with_the_one_the_system_prefers(
    found: Sequence[str], order: list[str]
) -> None:
    assert in_turn(found) == order


@given(st.lists(st.ip_addresses().map(str), unique=True))
def test_no_address_is_lost_or_added(found: list[str]) -> None:
    assert sorted(in_turn(found)) == sorted(found)
