"""A client of the library in front of a fake network: what the tests of a sign-in begin with."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import parse_qsl, urlsplit

import httpx

from sidecar.atproto.fetch import Fetcher
from sidecar.atproto.identity import Directory
from sidecar.atproto.oauth import (
    Client,
    KeySet,
    OAuthClient,
    PendingSignIn,
    Prompt,
    SignedIn,
    SignInFailed,
    client_metadata,
    generate_key,
)
from sidecar.atproto.syntax import parse_identifier
from tests.fakes.accounts import Account, Pds
from tests.fakes.authorization_server import AuthorizationServer
from tests.fakes.network import FakeNetwork

ORIGIN = "https://auth.wiki.net"
PDS = "https://pds.net"
KEY, NEXT_KEY = generate_key(), generate_key()  # made once: generating is what takes time

CLIENT = Client(
    client_id=f"{ORIGIN}/auth/client-metadata.json",
    redirect_uri=f"{ORIGIN}/auth/callback",
    name="Wiki",
    client_uri=f"{ORIGIN}/",
    logo_uri=f"{ORIGIN}/logo.png",
    tos_uri=f"{ORIGIN}/tos",
    policy_uri=f"{ORIGIN}/policy",
    keys=KeySet([KEY, NEXT_KEY]),
)


@dataclass
class Clock:
    """Seconds since the epoch, as a test says."""

    time: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.time


@dataclass
class SignInWorld:
    """`document`: the client metadata that is served; change it to see it refused."""

    client: Client = CLIENT
    clock: Clock = field(default_factory=Clock)
    skew: float = 0.0  # how far our clock is ahead of everybody else's

    def __post_init__(self) -> None:
        self.network = FakeNetwork(now=self.clock)
        self.alice = self.network.add_account("alice.pds.net", pds=PDS)
        self.document = client_metadata(self.client)
        self.network.serve(ORIGIN, self._serve_client)
        fetcher = Fetcher(user_agent="test/1", transport=self.network, resolve=self.network.resolve)
        resolver = self.network.resolver_url
        self.directory = Directory(fetcher, handle_resolver=resolver, now=self.clock)
        self.oauth = OAuthClient(self.client, self.directory, fetcher, now=lambda: self.clock() + self.skew)

    @property
    def pds(self) -> Pds:
        return self.network.pdses[PDS]

    @property
    def issuer(self) -> AuthorizationServer:
        return self.network.issuers[PDS]

    async def start(
        self,
        identifier: str = "alice.pds.net",
        *,
        prompt: Prompt | None = None,
        login_hint: str | None = None,
    ) -> tuple[PendingSignIn, str]:
        return await self.oauth.start(parse_identifier(identifier), prompt=prompt, login_hint=login_hint)

    async def finish(self, pending: PendingSignIn, callback: str | Sequence[tuple[str, str]]) -> SignedIn:
        """By the callback's URL or its parameters. As callers should, it revokes what a failure leaves."""
        try:
            params = params_of(callback) if isinstance(callback, str) else callback
            return await self.oauth.finish(pending, params)
        except SignInFailed as failure:
            await self.oauth.revoke(failure.grant)
            raise failure.error from failure

    async def sign_in(self, identifier: str = "alice.pds.net", account: Account | None = None) -> SignedIn:
        """All the way, as Alice unless told otherwise."""
        pending, url = await self.start(identifier)
        return await self.finish(pending, self.network.approve(url, account=account or self.alice))

    def _serve_client(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/auth/client-metadata.json":
            return httpx.Response(200, json={k: v for k, v in self.document.items() if v is not None})
        if request.url.path == "/auth/jwks.json" and self.client.keys:
            return httpx.Response(200, json=self.client.keys.public_jwks())
        return httpx.Response(404)


def params_of(callback_url: str) -> list[tuple[str, str]]:
    return parse_qsl(urlsplit(callback_url).query, keep_blank_values=True)


def changed(callback_url: str, **changes: str | None) -> list[tuple[str, str]]:
    """The callback's parameters with some replaced; None leaves one out."""
    params = {**dict(params_of(callback_url)), **changes}
    return [(name, value) for name, value in params.items() if value is not None]


def client(**changes: object) -> Client:
    return replace(CLIENT, **changes)  # type: ignore[arg-type] # mypy can't see through the keywords
