"""Pages take turns: one step in one turn of the event loop, and nothing else about them changes."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from sidecar.entrance.turns import Turns

PAGES = 20


async def clock(turn: list[int]) -> None:
    """Counts turns of the event loop."""
    while True:
        turn[0] += 1
        await asyncio.sleep(0)


async def run_many(page: Callable[[], Awaitable[None]]) -> None:
    turns = Turns()

    async def one() -> None:
        await page()

    await asyncio.gather(*(turns.run(one()) for _ in range(PAGES)), return_exceptions=True)


async def test_of_many_pages_one_works_in_a_turn_of_the_loop() -> None:
    turn = [0]
    counting = asyncio.create_task(clock(turn))
    await asyncio.sleep(0)
    worked: list[int] = []

    async def page() -> None:
        worked.append(turn[0])
        await asyncio.sleep(0)
        worked.append(turn[0])
        await asyncio.sleep(0.01)  # all wake up at the same time
        worked.append(turn[0])

    await run_many(page)
    counting.cancel()
    assert len(worked) == 3 * PAGES
    assert len(set(worked)) == len(worked)


async def test_failures_at_the_same_time_take_turns_too() -> None:
    turn = [0]
    counting = asyncio.create_task(clock(turn))
    await asyncio.sleep(0)
    failed: list[int] = []

    async def page() -> None:
        try:
            async with asyncio.timeout(0.02):
                await asyncio.sleep(60)
        except TimeoutError:
            failed.append(turn[0])

    await run_many(page)
    counting.cancel()
    assert len(failed) == PAGES
    assert len(set(failed)) == PAGES


async def test_a_page_that_is_alone_works_at_once() -> None:
    done = []

    async def page() -> None:
        done.append(True)

    steps = Turns().run(page())
    with pytest.raises(StopIteration):
        steps.send(None)
    assert done


async def test_what_a_page_raises_comes_out() -> None:
    async def page() -> None:
        await asyncio.sleep(0)
        raise ValueError("from the page")

    with pytest.raises(ValueError, match="from the page"):
        await Turns().run(page())


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_cancellation_reaches_the_page_wherever_it_waits(at_once: bool) -> None:
    turns, seen = Turns(), []

    async def page(name: str) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            seen.append(name)
            raise

    tasks = [asyncio.create_task(turns.run(page(name))) for name in "abc"]
    for _ in range(1 if at_once else 10):  # after one turn, two pages still wait for theirs
        await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(each) for each in ended] == [asyncio.CancelledError] * 3
    assert seen == (["a"] if at_once else ["a", "b", "c"])  # who hasn't begun has nothing to clean up
    done = []

    async def next_page() -> None:
        done.append(True)

    await turns.run(next_page())  # nobody's turn is lost
    assert done


async def test_a_page_may_refuse_to_be_cancelled() -> None:
    turns, done = Turns(), []

    async def page() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            done.append(True)

    task = asyncio.create_task(turns.run(page()))
    for _ in range(5):
        await asyncio.sleep(0)
    task.cancel()
    await task
    assert done


def test_a_page_that_nobody_waits_for_any_more_is_closed() -> None:
    closed = []

    async def page() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            closed.append(True)

    async def begin() -> None:
        steps = Turns().run(page())
        steps.send(None)
        steps.close()

    asyncio.run(begin())
    assert closed
