"""Without a free descriptor the log says so; not once a second."""

import asyncio
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sidecar.entrance.descriptors import Descriptors


@contextmanager
def none_left() -> Iterator[None]:
    """The limit lowered to what is open."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


async def lines(caplog: pytest.LogCaptureFixture, quiet: float) -> int:
    caplog.clear()
    descriptors = Descriptors(every=0.01, quiet=quiet)
    await descriptors.start()
    await asyncio.sleep(0.2)
    await descriptors.stop()
    return len([record for record in caplog.records if vars(record).get("event") == "descriptors_exhausted"])


async def test_the_log_says_that_descriptors_ran_out_and_not_again_at_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert await lines(caplog, quiet=60) == 0
    with none_left():
        assert await lines(caplog, quiet=60) == 1
        assert await lines(caplog, quiet=0.01) > 1
    assert await lines(caplog, quiet=0.01) == 0
