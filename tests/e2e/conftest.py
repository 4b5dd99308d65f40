"""Every end-to-end test runs on one event loop, in one worker, beside the same programs.

Nothing is skipped: a part that can't be had fails the tests, and says what to install. Logs, screenshots of
the pages and of whatever failed are kept under artifacts/e2e.
"""

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, StorageState

from tests.e2e.journeys import sign_in
from tests.lab import node, world
from tests.lab.browser import chromium
from tests.lab.world import ALICE, World

HERE = Path(__file__).parent
ARTIFACTS = node.ROOT / "artifacts" / "e2e"
FAILED = pytest.StashKey[bool]()

session_fixture = pytest_asyncio.fixture(scope="session", loop_scope="session")
per_test_fixture = pytest_asyncio.fixture(loop_scope="session")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    return report


@pytest.fixture(scope="session")
def artifacts() -> Path:
    shutil.rmtree(ARTIFACTS, ignore_errors=True)
    ARTIFACTS.mkdir(parents=True)
    return ARTIFACTS


@session_fixture
async def lab(artifacts: Path) -> AsyncIterator[World]:
    if not node.installed():
        pytest.fail("the Node packages are missing: run `make setup`")
    async with world.running(artifacts) as running:
        yield running


@session_fixture
async def browser(lab: World) -> AsyncIterator[Browser]:
    async with chromium(lab.names) as running:
        yield running


Profile = Callable[..., Awaitable[BrowserContext]]


@per_test_fixture
async def profile(
    browser: Browser, request: pytest.FixtureRequest, artifacts: Path
) -> AsyncIterator[Profile]:
    """Makes browser profiles: fresh ones, or with a `storage_state`, a `color_scheme` and the like."""
    contexts: list[BrowserContext] = []

    async def make(**options: object) -> BrowserContext:
        context = await browser.new_context(ignore_https_errors=True, **options)  # type: ignore[arg-type]
        contexts.append(context)
        return context

    yield make
    failed = request.node.stash.get(FAILED, False)
    for number, page in enumerate(page for context in contexts for page in context.pages):
        if failed:
            await page.screenshot(path=artifacts / "failed" / f"{request.node.name}-{number}.png")
    for context in contexts:
        await context.close()


@per_test_fixture
async def page(profile: Profile) -> Page:
    """A page in a browser that has never been here."""
    return await (await profile()).new_page()


@session_fixture
async def alice(browser: Browser, lab: World) -> StorageState:
    """The cookies of a browser in which Alice is signed in, and stays so: sign nobody out with them."""
    context = await browser.new_context(ignore_https_errors=True)
    page = await context.new_page()
    await page.goto(world.APP)
    await sign_in(page, ALICE)
    await page.wait_for_url(f"{world.APP}/")
    state = await context.storage_state()
    await context.close()
    return state
