"""Fixtures for whole-app tests over a network in memory (tests/fakes/world.py)."""

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from tests.fakes.world import Make, World, make_world


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
