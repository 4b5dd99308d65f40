"""One serving process for a test, gone after it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fakes.running import Run


@pytest.fixture
async def run(tmp_path: Path) -> AsyncIterator[Run]:
    made = Run(tmp_path)
    yield made
    if made.process.returncode is None:
        made.process.kill()
        await made.ended()
