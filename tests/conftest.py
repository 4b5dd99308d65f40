"""What all tests share: worlds for whole-app tests, and how `pytest -n` deals the tests out.

Those of tests/e2e go to one worker, for they share their programs; all others wherever there is room. xdist
has `--dist loadgroup` for this, but 3.8 finds no groups with pytest 9.2, which keeps node ids elsewhere.
"""

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from tests.fakes.world import Make, World, make_world

settings.register_profile("unhurried", deadline=None)  # a busy machine is no fault of the code's
settings.load_profile("unhurried")


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Makes worlds that share their files: a store, a key."""
    return partial(make_world, tmp_path)


@pytest.fixture
async def world(make: Make) -> AsyncIterator[World]:
    """One world, its sidecar started."""
    made = make()
    await made.sidecar.start()
    yield made
    await made.sidecar.stop()


class EndToEndTogether(LoadScopeScheduling):  # type: ignore[misc] # xdist is untyped
    """xdist's own scheduling by scope, where the scope is the test itself but for the end-to-end ones."""

    def _split_scope(self, nodeid: str) -> str:
        return "e2e" if nodeid.startswith("tests/e2e/") else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """xdist's hook."""
    return EndToEndTogether(config, log)
