"""Headers of other gates, sent by a client to a real WSGI app, which folds "-" and "_".

The real Caddy with Caddyfile.example, over HTTP/1.1 and HTTP/2.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from sidecar.access.foreign_headers import STRIPPED
from tests.e2e.test_caddyfile import ALICE, DID, sidecar
from tests.lab import caddy, wsgi
from tests.lab.child import Children
from tests.lab.node import HERE, NODE
from tests.lab.ports import free_port
from tests.lab.wire import recording, send

# One name at least for each line of the list; those that apps are known to read are among them.
_NAMES = """
Remote-User Remote-Groups Remote-Name Remote-Email X-Remote-User X-Remote-Group
X-Forwarded-Remote-User X-Proxy-Remote-User X-WEBAUTH-USER X-WEBAUTH-EMAIL X-Forwarded-User
X-Forwarded-Email X-Forwarded-Groups X-Forwarded-Preferred-Username X-Forwarded-Access-Token
X-Forwarded-Login X-Forwarded-Name X-Auth-Request-User X-Auth-Request-Email
X-Auth-Request-Groups X-Auth-User X-Auth-Username X-Otterwiki-Name X-Otterwiki-Email
X-Otterwiki-Permissions X-Authentik-Username X-Authentik-Groups X-Token-Subject
X-Token-User-Name X-Vouch-User X-Vouch-IdP-Claims-Groups X-Pomerium-Claim-Email
Cf-Access-Authenticated-User-Email X-Goog-Authenticated-User-Email X-Authenticated-UserId
Tailscale-User-Login X-MS-Client-Principal X-MS-Client-Principal-Name X-Amzn-Oidc-Identity
X-Consumer-Username X-Proxy-User X-Proxy-Roles X-Userinfo Client-Cert Client-Cert-Chain
X-Forwarded-Client-Cert X-SSL-Client-S-DN SSL-Client-Verify X-Original-URL X-Original-URI
X-Original-Method X-Rewrite-URL X-HTTP-Method-Override X-Method-Override X-HTTP-Method
X-Script-Name X-Forwarded-Prefix
"""
NAMES = _NAMES.split()
LEFT = {
    "X-User-Agent": "grpc",
    "X-Auth-Token": "the app's own",
    "Authorization": "Bearer own",
    "X-Requested-With": "x",
}


def spellings(name: str) -> set[str]:
    parts = name.split("-")
    mixed = parts[0] + "".join("-_"[n % 2] + part for n, part in enumerate(parts[1:]))
    other = parts[0] + "".join("_-"[n % 2] + part for n, part in enumerate(parts[1:]))
    return {name, name.lower(), name.replace("-", "_"), name.replace("-", "."), mixed, other}


FORGED = [(each, "forged") for name in NAMES for each in sorted(spellings(name))]


@dataclass
class Site:
    port: int
    folder: Path

    async def over_http1(self, headers: list[tuple[str, str]]) -> tuple[int, str]:
        lines = [f"{name}: {value}" for name, value in headers]
        raw = ["GET / HTTP/1.1", f"Host: 127.0.0.1:{self.port}", "Connection: close", *lines, "", ""]
        answer = await send(self.port, "\n".join(raw))
        return answer.status, answer.body.decode()

    async def over_http2(self, headers: list[tuple[str, str]]) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            *(NODE, HERE / "http2.mjs", str(self.port), "/", json.dumps(headers)),
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await process.communicate()
        answer = json.loads(out)
        return answer["status"], answer["body"]


@pytest_asyncio.fixture(loop_scope="session", scope="module", params=["atproto", "atproto-renewing"])
async def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Site]:
    folder = tmp_path_factory.mktemp("foreign")
    port, sidecar_port, app_port = free_port(), free_port(), free_port()
    file = caddy.beside_example(
        folder, (f"http://127.0.0.1:{port}", f"import {request.param} 127.0.0.1:{app_port}")
    )
    env = {"SIDECAR_SITE": f"http://127.0.0.1:{free_port()}", "SIDECAR_UPSTREAM": f"127.0.0.1:{sidecar_port}"}
    async with recording(sidecar_port, sidecar), Children() as children:
        with wsgi.running(app_port):
            await caddy.start(children, folder, file, port=port, env=env, h2c=True)
            yield Site(port, folder)


async def test_every_line_of_the_list_has_a_name_here() -> None:
    for pattern in STRIPPED:
        word = pattern.strip("*").lower()
        assert [name for name in NAMES if word in name.lower()], pattern


@pytest.mark.parametrize("way", [Site.over_http1, Site.over_http2], ids=["HTTP/1.1", "HTTP/2"])
async def test_no_header_of_another_gate_reaches_an_app_that_folds_names(site: Site, way: object) -> None:
    cookie = [tuple(ALICE.split(": "))]
    for start in range(0, len(FORGED), 60):  # all at once are more than HTTP/2 servers take
        forged = FORGED[start : start + 60]
        status, body = await way(site, [*cookie, *forged, *LEFT.items()])  # type: ignore[operator] # a method of Site
        assert status == 200
        assert "forged" not in body
        seen = json.loads(body)
        assert seen["HTTP_X_USER_DID"] == DID
        for name, value in LEFT.items():
            assert seen["HTTP_" + name.upper().replace("-", "_")] == value


@pytest.mark.parametrize("way", [Site.over_http1, Site.over_http2], ids=["HTTP/1.1", "HTTP/2"])
async def test_an_app_that_folds_names_gets_our_own_headers_once_and_unforged(
    site: Site, way: object
) -> None:
    forged = [
        (each, "forged")
        for name in ("X-User-DID", "X-User-Handle", "X-User-Auth")
        for each in spellings(name)
    ]
    status, body = await way(site, [tuple(ALICE.split(": ")), *forged])  # type: ignore[operator] # a method of Site
    seen = {name: value for name, value in json.loads(body).items() if name.startswith("HTTP_X_USER")}
    assert (status, seen) == (
        200,
        {"HTTP_X_USER_AUTH": "signed-in", "HTTP_X_USER_DID": DID, "HTTP_X_USER_HANDLE": "alice.test"},
    )
