"""A browser and the Caddy before it, for tests of the whole app without either.

Owns: which headers a browser sends with what it does, where its cookies go, and what Caddy makes of the
check's answers. The real ones are in tests/e2e.
"""

from dataclasses import dataclass, field
from urllib.parse import urljoin, urlsplit

import httpx

from sidecar.app import Sidecar
from tests.fakes.both_ways import expect_the_same, twin

NAVIGATION = {
    "sec-fetch-site": "none",
    "sec-fetch-mode": "navigate",
    "sec-fetch-dest": "document",
    "accept": "text/html,application/xhtml+xml,*/*;q=0.8",
}
FETCH = {
    "sec-fetch-site": "same-origin",
    "sec-fetch-mode": "cors",
    "sec-fetch-dest": "empty",
    "accept": "*/*",
}


@dataclass
class Browser:
    """One browser's cookie jar, in front of one sidecar at `public_url`."""

    app: Sidecar
    public_url: str
    prefix: str = "/auth"
    address: str = "203.0.113.7"
    jar: httpx.Cookies = field(default_factory=httpx.Cookies)
    seen: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
        self.client = httpx.AsyncClient(transport=transport, cookies=self.jar, trust_env=False)
        self.jar = self.client.cookies

    async def open(self, url: str, **headers: str) -> httpx.Response:
        """Type an address: the answer to this one request, redirects not followed."""
        self.seen.append(url)
        return await self._go("GET", url, {**NAVIGATION, **_named(headers)})

    async def visit(self, url: str, *, limit: int = 10) -> httpx.Response:
        """Type an address and follow where it leads, as long as that is the sidecar or a protected app."""
        response = await self.open(url)
        for _ in range(limit):
            location = response.headers.get("location")
            if location is None or self._foreign(urljoin(url, location)):
                return response
            url = urljoin(url, location)
            response = await self.open(url)
        raise AssertionError(f"more than {limit} redirects: {self.seen}")

    async def submit(self, path: str, form: dict[str, str], **headers: str) -> httpx.Response:
        """Send a form of the sidecar's own pages."""
        sent = {**NAVIGATION, "sec-fetch-site": "same-origin", "origin": self.public_url, **_named(headers)}
        return await self._go("POST", self.public_url + self.prefix + path, sent, data=form)

    async def fetch(self, url: str, method: str = "GET", **headers: str) -> httpx.Response:
        """What a script on a page of the app does."""
        return await self._go(method, url, {**FETCH, **_named(headers)})

    async def check(
        self, url: str, method: str = "GET", headers: dict[str, str] | None = None
    ) -> httpx.Response:
        """Caddy's subrequest for a request of this browser to a protected app; answered both ways."""
        parts = urlsplit(url)
        uri = url.removeprefix(f"{parts.scheme}://{parts.netloc}") or "/"
        forwarded = {
            "host": parts.netloc,
            "x-forwarded-host": parts.netloc,
            "x-forwarded-uri": uri,
            "x-forwarded-method": method,
            "x-forwarded-proto": parts.scheme,
            "x-forwarded-for": self.address,
        }
        request = self.client.build_request("GET", f"{parts.scheme}://{parts.netloc}/", headers=headers)
        # The jar has chosen by the app's address; the check's own path comes now.
        request.headers.update(forwarded)
        request.url = httpx.URL(f"{parts.scheme}://{parts.netloc}{self.prefix}/check")
        before = twin(self.app.gate.check)
        answer = await self.client.send(request)
        expect_the_same(self.app, request, before, answer)
        return answer

    async def _go(
        self, method: str, url: str, headers: dict[str, str], data: dict[str, str] | None = None
    ) -> httpx.Response:
        if not self._ours(url):
            return await self.check(url, method, headers)
        return await self.client.request(
            method, url, headers={**headers, "x-forwarded-for": self.address}, data=data
        )

    def _ours(self, url: str) -> bool:
        return (url + "/").startswith(self.public_url + self.prefix + "/")

    def _foreign(self, url: str) -> bool:
        """Anything that isn't below the public URL's registrable part is a stranger's server."""
        domain = (urlsplit(self.public_url).hostname or "").split(".", 1)[-1]
        host = urlsplit(url).hostname or ""
        return not (url.startswith(self.public_url) or host.endswith("." + domain))


def _named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}
