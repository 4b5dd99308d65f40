"""docs/examples/sign_in.py runs: its own web server on loopback, a network in memory."""

import asyncio
import importlib.util
from pathlib import Path
from types import ModuleType
from urllib.parse import urlsplit

import httpx
import pytest

from sidecar.atproto.errors import AccessDenied, WrongAccount
from sidecar.atproto.fetch import Fetcher
from sidecar.atproto.identity import Directory, Identity
from tests.fakes.network import FakeNetwork

EXAMPLE = Path(__file__).parents[4] / "docs/examples/sign_in.py"


@pytest.fixture
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sign_in_example", EXAMPLE)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def run(
    example: ModuleType, network: FakeNetwork, *, says_yes: bool = True, account: str = "alice.pds.net"
) -> Identity:
    visits, opened = [], list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]()

    async def visit(url: str) -> None:
        callback = network.approve(url, account=account) if says_yes else network.deny(url)
        origin = callback.partition("/callback")[0]
        opened.append(await asyncio.open_connection("127.0.0.1", urlsplit(origin).port))  # as browsers do
        async with httpx.AsyncClient(trust_env=False) as browser:
            assert (await browser.get(f"{origin}/favicon.ico")).status_code == 404
            assert (await browser.get(callback)).text == "Back to the terminal."

    fetcher = Fetcher(user_agent="example/1", transport=network, resolve=network.resolve)
    directory = Directory(fetcher, handle_resolver=network.resolver_url)
    try:
        async with asyncio.timeout(30):  # rather than hang where it waits for connections
            identity = await example.sign_in(
                "@alice.pds.net",
                fetcher,
                directory,
                lambda url: visits.append(asyncio.create_task(visit(url))),
            )
    finally:
        await asyncio.gather(*visits)
        await fetcher.aclose()
        for reader, writer in opened:
            writer.write_eof()
            await reader.read()  # until the other end has closed
            writer.close()
    return Identity(identity.did, identity.handle, identity.pds)


async def test_the_example_says_who_came_back_and_keeps_no_token(example: ModuleType) -> None:
    network = FakeNetwork()
    alice = network.add_account("alice.pds.net")
    assert (await run(example, network)).did == alice.did
    assert network.issuers["https://pds.net"].tokens == {}
    assert len(network.issuers["https://pds.net"].revoked) == 2


async def test_the_example_keeps_no_token_of_another_account_either(example: ModuleType) -> None:
    network = FakeNetwork()
    for name in ("alice", "bob"):
        network.add_account(f"{name}.pds.net")
    with pytest.raises(WrongAccount):
        await run(example, network, account="bob.pds.net")
    assert network.issuers["https://pds.net"].tokens == {}


async def test_a_connection_that_is_never_used_is_no_fault(example: ModuleType) -> None:
    """Browsers open some in advance, and close them unused."""
    complaints: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    network = FakeNetwork()
    network.add_account("alice.pds.net")
    await run(example, network)
    await asyncio.sleep(0)
    assert complaints == []


async def test_the_example_ends_where_the_person_says_no(example: ModuleType) -> None:
    network = FakeNetwork()
    network.add_account("alice.pds.net")
    with pytest.raises(AccessDenied):
        await run(example, network, says_yes=False)
