"""Pages take turns, so that checks needn't wait for many of them.

Owns: that at most one page's work is done in one turn of the event loop. Between two of them the loop looks
at its sockets, and answers the checks that came.
Doesn't belong here: how many sign-ins there may be (visit/limits.py).

Two hundred sign-ins that begin or fail at once are half a second of work. Each step of it is short: from one
`await` to the next.
"""

import asyncio
from collections import deque
from collections.abc import Coroutine, Generator
from types import coroutine
from typing import Any


class Turns:
    """Of one event loop."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._taken = False  # this turn of the loop

    async def run(self, page: Coroutine[Any, Any, None]) -> None:
        """Raises what the page raises. A cancellation reaches it as if it were awaited directly."""
        await self._steps(page)

    @coroutine
    def _steps(self, page: Coroutine[Any, Any, None]) -> Generator[Any, None, None]:
        fault: BaseException | None = None
        try:
            while True:
                fault = (yield from _caught(self._turn())) or fault
                try:
                    awaited = page.send(None) if fault is None else page.throw(fault)
                except StopIteration:
                    return
                fault = yield from _caught(_passed_on(awaited))
        finally:
            page.close()

    def _turn(self) -> Generator[Any, None, None]:
        """Wait for a turn of the loop in which nobody else works; not at all if this is one."""
        if self._taken:
            future = asyncio.get_running_loop().create_future()
            self._waiting.append(future)
            yield from future
        else:
            self._take()

    def _take(self) -> None:
        self._taken = True
        asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        """The turn after one that was taken."""
        self._taken = False
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():  # it may have been cancelled
                self._take()
                future.set_result(None)
                return


def _caught(steps: Generator[Any, None, None]) -> Generator[Any, None, BaseException | None]:
    """What is thrown into it, which belongs to the page: a cancellation."""
    try:
        yield from steps
    except GeneratorExit:
        raise
    except BaseException as error:  # noqa: BLE001 # see above
        return error
    return None


def _passed_on(awaited: Any) -> Generator[Any, None, None]:
    """To the task, which goes on when it is done."""
    yield awaited
