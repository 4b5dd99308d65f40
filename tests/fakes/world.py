"""The whole app over a network in memory: one club's wiki and board behind one sidecar."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

from sidecar.app import Sidecar
from sidecar.commands.client_keys import key_set, new_key
from sidecar.settings import App, Client, IdentitySettings, Settings, StoreSettings
from sidecar.settings import Session as SessionSettings
from sidecar.store import Store
from tests.fakes.accounts import Account
from tests.fakes.browser import Browser
from tests.fakes.network import FakeNetwork

PUBLIC = "https://auth.club.net"
WIKI = "https://wiki.club.net"
BOARD = "https://board.club.net"


@dataclass
class Clock:
    """Time that stands still until told."""

    time: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.time


@dataclass
class World:
    """A sidecar, the network around it, and who lives there."""

    settings: Settings
    clock: Clock = field(default_factory=Clock)
    network: FakeNetwork = field(init=False)
    sidecar: Sidecar = field(init=False)

    def __post_init__(self) -> None:
        self.network = FakeNetwork(now=self.clock)
        self.sidecar = self.another_worker()
        self.network.serve(self.settings.public_url, self._own_site)
        self.alice = self.network.add_account("alice.pds.net", display_name="Alice")
        self.bob = self.network.add_account("bob.pds.net")

    def another_worker(self, store: Store | None = None) -> Sidecar:
        return Sidecar(
            self.settings,
            store=store,
            transport=self.network,
            resolve=self.network.resolve,
            now=self.clock,
        )

    async def _own_site(self, request: httpx.Request) -> httpx.Response:
        """The sidecar's public URL, as authorization servers reach it."""
        response = await httpx.ASGITransport(self.sidecar).handle_async_request(request)
        await response.aread()
        return response

    def browser(self, sidecar: Sidecar | None = None) -> Browser:
        return Browser(sidecar or self.sidecar, self.settings.public_url)

    async def later(self, seconds: float) -> None:
        """Time passes, and as ever the sidecar looks for news once a second."""
        self.clock.time += seconds
        await self.sidecar.feed.catch_up()

    async def depart(
        self, browser: Browser, identifier: str, return_to: str = "", **fields: str
    ) -> httpx.Response:
        """The sign-in page, filled in and sent."""
        await browser.open(f"{self.settings.base_url}/login", sec_fetch_site="same-origin")
        form = {"identifier": identifier, "return_to": return_to, **fields}
        return await browser.submit("/login", form)

    async def sign_in(
        self, browser: Browser, account: Account, return_to: str = "", **fields: str
    ) -> httpx.Response:
        """A whole sign-in; the callback's answer."""
        departed = await self.depart(browser, account.handle or account.did, return_to, **fields)
        callback = self.network.approve(departed.headers["location"], account=account)
        return await browser.open(callback, sec_fetch_site="cross-site")


Make = Callable[..., World]


def make_world(folder: Path, **changes: Any) -> World:
    """A world with files of its own in the folder; `changes` of its settings."""
    keys = folder / "keys.json"
    if not keys.exists():
        keys.touch(0o600)
        keys.write_text(key_set([new_key()]))
    values: dict[str, Any] = {
        "public_url": PUBLIC,
        "client": Client(keys_file=keys),
        "session": SessionSettings(cookie_secrets=("s" * 40,), cookie_domain="club.net"),
        "store": StoreSettings(kind="sqlite", path=folder / "store.db"),
        "identity": IdentitySettings(handle_resolver="https://resolver.net"),
        "apps": {
            "wiki": App(hosts=("wiki.club.net",), allow=("*",)),
            "board": App(hosts=("board.club.net",), allow=("alice.pds.net",)),
        },
        **changes,
    }
    return World(Settings(**values))


def query(url: str) -> dict[str, str]:
    """The query of an address, each field once."""
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def code_of(response: httpx.Response) -> str:
    """The code to search for on a page or in a JSON answer."""
    if response.headers["content-type"].startswith("application/json"):
        return str(json.loads(response.text)["error"])
    return response.text.rpartition("Code: <code>")[2].partition("<")[0]
