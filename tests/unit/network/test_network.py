"""What a worker loads, and when."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sidecar.atproto.syntax import Did
from sidecar.network.identity import client
from sidecar.network.network import Network
from sidecar.settings import Settings
from tests.fakes.network import FakeNetwork

ROOT = Path(__file__).parents[3]
ONLY_FOR_SIGN_INS = ("httpx", "httpcore", "dns.resolver", "sidecar.atproto.fetch", "sidecar.atproto.identity")


def test_a_worker_that_signs_nobody_in_loads_no_http_and_no_oauth() -> None:
    script = (
        "import sys, sidecar.app, sidecar.process.serve\n"
        f"print(*sorted(set({ONLY_FOR_SIGN_INS!r}) & set(sys.modules)))"
    )
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environ, check=True
    )
    assert ran.stdout.strip() == ""


@pytest.fixture
def world() -> FakeNetwork:
    return FakeNetwork()


@pytest.fixture
def network(world: FakeNetwork) -> Network:
    settings = Settings(public_url="http://127.0.0.1:8080")
    return Network(settings, client(settings, ""), transport=world, resolve=world.resolve)


async def test_two_first_questions_at_once_share_one_cache(world: FakeNetwork, network: Network) -> None:
    did = Did(world.add_account("alice.pds.net").did)
    first, second = await asyncio.gather(network.lookup(did), network.lookup(did))
    assert first == second
    assert len([request for request in world.requests if request.url.host == "plc.directory"]) == 1
    await network.aclose()


async def test_closing_before_the_first_question_closes_nothing(network: Network) -> None:
    await network.aclose()
