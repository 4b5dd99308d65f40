"""The world as the doctor asks it, in memory."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from email.utils import formatdate
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

import httpx

from sidecar.commands import client_keys
from sidecar.commands.doctor.probes import Answer, Outside
from sidecar.settings import Settings

BASE = "https://auth.sidecar.internal/auth"
CLIENT_ID = f"{BASE}/client-metadata.json"
NOW = 1_800_000_000.0


class World(Outside):
    """A world in which all is well, until a test spoils something."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        public = [
            {n: v for n, v in key.items() if n != "d"} for key in client_keys.read(settings.client.keys_file)
        ]
        self.keys: dict[str, Any] = {"keys": public}
        self.metadata: dict[str, Any] = {"client_id": CLIENT_ID, "jwks": self.keys}
        self.answers: dict[str, Answer | OSError] = {}
        self.asked: list[tuple[str, dict[str, str], str, bool]] = []
        self.ahead = 0.0
        self.base = BASE
        self.records = ["v=spf1 -all", "did=did:plc:z72i7hdynmk6r22z27h6tvur"]
        self.caddy: tuple[int, ...] | None = (2, 11, 7)
        self.caddy_json: dict[str, Any] | None = None
        self.trusted = "/etc/ssl/certs"
        self.found = ["93.184.216.34"]

    def answer(self, status: int = 200, body: bytes = b"{}", seconds: float = 0.1, **headers: str) -> Answer:
        named = {"content-type": "application/json", "date": formatdate(NOW, usegmt=True)}
        named |= {name.replace("_", "-"): value for name, value in headers.items()}
        return Answer(status, httpx.Headers(named), body, seconds, NOW + 0.5)

    def refusal(self) -> Answer:
        """What the check says to a stranger."""
        said = {"error": "sign_in_required", "login_url": f"{self.base}/login?return_to=x"}
        return self.answer(401, json.dumps(said).encode())

    def usual(self, url: str) -> Answer:
        """The answer to `url` of a deployment in order."""
        parts = urlsplit(url)
        if parts.path == "/auth/check":
            return self.answer(404, b"")
        if parts.path == "/" and parts.hostname != "plc.directory":
            return self.refusal()
        documents = {CLIENT_ID: self.metadata, f"{BASE}/jwks.json": self.keys}
        return self.answer(body=json.dumps(documents.get(url, {})).encode())

    def get(
        self,
        url: str,
        headers: Mapping[str, str] = MappingProxyType({}),
        *,
        at: str = "",
        unverified: bool = False,
    ) -> Answer:
        self.asked.append((url, dict(headers), at, unverified))
        answer = self.answers.get(url) or self.usual(url)
        if isinstance(answer, OSError):
            raise answer
        return replace(answer, received=answer.received + self.ahead)

    def addresses(self, host: str) -> list[str]:
        return self.found

    def trust_store(self) -> str:
        return self.trusted

    def txt(self, name: str, nameservers: Sequence[str]) -> list[str]:
        return self.records

    def caddy_version(self) -> tuple[int, ...] | None:
        return self.caddy

    def caddy_config(self) -> dict[str, Any] | None:
        return self.caddy_json
