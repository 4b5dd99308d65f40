"""A strict authorization server: PAR, authorize, token, revoke, as the OAuth profile of ATProto has them.

Stricter than the reference PDS: what that drops or tolerates is refused here, so that what passes here passes
there. Nothing is random about it but the secrets it hands out.

What it says can be bent for a test. Documents and answers are plain data to change: `metadata`,
`token_response`, `par_response`, `callback` (None leaves a member out); `callback_extra` appends parameters;
`refusals` refuse an endpoint's requests outright; `habits` are those of servers in use; `nonces` has faults
of its own. Anything else: `FakeNetwork.answer`.
"""

import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx

from tests.fakes import client_rules
from tests.fakes.authorization_rules import check_request, parse_form, s256, server_metadata
from tests.fakes.habits import Habits
from tests.fakes.proofs import Nonces, check_assertion, check_proof, thumbprint
from tests.fakes.refusals import Refused, require

PAR_LIFETIME = 300.0  # seconds
CODE_LIFETIME = 60.0

Fetch = Callable[[str], Awaitable[httpx.Response]]
Endpoint = Literal["par", "token", "revoke"]


@dataclass(frozen=True)
class Client:
    """A client as its metadata says; `keys` by kid, empty for a public one."""

    document: Mapping[str, Any]
    keys: Mapping[str, Mapping[str, Any]]


@dataclass
class Request:
    """A pushed authorization request; `kid` None for a public client."""

    form: dict[str, str]
    client: Client
    jkt: str
    kid: str | None
    expires: float
    used: bool = False


@dataclass
class Authorization:
    """What a person agreed to: good for one exchange of its code."""

    request: Request
    did: str
    expires: float
    used: bool = False


@dataclass
class AuthorizationServer:
    """One issuer. `tokens`: those that live, with the DID each is for. `pushed`: forms of accepted PARs."""

    origin: str
    fetch: Fetch
    now: Callable[[], float]
    metadata: dict[str, Any] = field(default_factory=dict)
    nonces: Nonces = field(default_factory=Nonces)
    habits: Habits = field(default_factory=Habits)
    refusals: dict[Endpoint, Refused] = field(default_factory=dict)
    par_response: dict[str, Any] = field(default_factory=dict)
    token_response: dict[str, Any] = field(default_factory=dict)
    callback: dict[str, str | None] = field(default_factory=dict)
    callback_extra: list[tuple[str, str]] = field(default_factory=list)
    tokens: dict[str, str] = field(default_factory=dict)
    pushed: list[dict[str, str]] = field(default_factory=list)
    revoked: list[str] = field(default_factory=list)
    requests: dict[str, Request] = field(default_factory=dict)
    _codes: dict[str, Authorization] = field(default_factory=dict)
    _issued: dict[str, tuple[str, Request]] = field(default_factory=dict)  # token → code, request
    _documents: dict[str, dict[str, Any]] = field(default_factory=dict)  # clients', while they are kept
    _used: dict[str, set[str]] = field(default_factory=lambda: {"proof": set(), "assertion": set()})
    _seen: dict[str, set[str]] = field(
        default_factory=lambda: {"state": set(), "challenge": set(), "jkt": set()}
    )

    def __post_init__(self) -> None:
        self.metadata = server_metadata(self.origin) | self.metadata
        self.nonces.now = self.now

    # Over the network

    async def handle(self, request: httpx.Request) -> httpx.Response:
        """Any request but the browser's."""
        if (request.method, request.url.path) == ("GET", "/.well-known/oauth-authorization-server"):
            return self._answer(200, self.habits.document(self.metadata))
        endpoints = {"/oauth/par": self._push, "/oauth/token": self._exchange, "/oauth/revoke": self._revoke}
        endpoint = endpoints.get(request.url.path)
        if endpoint is None:
            return httpx.Response(404, json={"error": "not_found"})
        try:
            require(request.method == "POST", "invalid_request", "POST only", 405)
            status, answer = await endpoint(request)
            status = self.habits.statuses.get(request.url.path.rpartition("/")[2], status)
        except Refused as refusal:
            status = refusal.status
            answer = self.habits.refusal(refusal.error, refusal.description)
        return self._answer(
            status, self.habits.body(answer), **self.nonces.headers(), **{"Cache-Control": "no-store"}
        )

    def _answer(self, status: int, content: bytes, **headers: str) -> httpx.Response:
        headers |= {"Content-Type": self.habits.media_type, "Date": formatdate(self.now(), usegmt=True)}
        return httpx.Response(status, content=content, headers=headers)

    async def _push(self, request: httpx.Request) -> tuple[int, dict[str, Any]]:
        form, client, jkt, kid = await self._authenticated("par", request)
        check_request(form, client.document, prompts=self.metadata.get("prompt_values_supported"))
        self._fresh(state=form["state"], challenge=form["code_challenge"], jkt=jkt)
        request_uri = f"urn:ietf:params:oauth:request_uri:{secrets.token_urlsafe(16)}"
        self.requests[request_uri] = Request(form, client, jkt, kid, self.now() + PAR_LIFETIME)
        self.pushed.append(form)
        return 201, _bent({"request_uri": request_uri, "expires_in": int(PAR_LIFETIME)}, self.par_response)

    async def _exchange(self, request: httpx.Request) -> tuple[int, dict[str, Any]]:
        claimed = dict(parse_qsl(request.content.decode())).get("code", "")
        authorization = self._codes.get(claimed)
        if self.habits.burns_codes_first:
            self._codes.pop(claimed, None)
        form, _, jkt, kid = await self._authenticated("token", request)
        if authorization is None or authorization.used:
            self._revoke_all(form.get("code", ""))  # a replayed code: whoever has the tokens loses them
            raise Refused("invalid_grant", "code unknown or used")
        authorization.used = True
        pushed = authorization.request
        require(form.get("grant_type") == "authorization_code", "unsupported_grant_type", "grant_type")
        require(self.now() < authorization.expires, "invalid_grant", "code expired")
        require(form["client_id"] == pushed.form["client_id"], "invalid_grant", "another client's code")
        require(form.get("redirect_uri") == pushed.form["redirect_uri"], "invalid_grant", "redirect_uri")
        require(jkt == pushed.jkt, "invalid_grant", "another DPoP key")
        require(kid == pushed.kid, "invalid_grant", "another client key")
        verifier = form.get("code_verifier", "")
        require(re.fullmatch(r"[A-Za-z0-9._~-]{43,128}", verifier), "invalid_grant", "code_verifier")
        require(s256(verifier) == pushed.form["code_challenge"], "invalid_grant", "code_verifier")
        return 200, self._issue(form["code"], authorization)

    async def _revoke(self, request: httpx.Request) -> tuple[int, dict[str, Any]]:
        form, _, jkt, _ = await self._authenticated("revoke", request)
        token = form.get("token", "")
        require(token, "invalid_request", "token")
        if token in self._issued:
            code, pushed = self._issued[token]
            require(
                form["client_id"] == pushed.form["client_id"] and jkt == pushed.jkt, "invalid_grant", "whose?"
            )
            self.revoked.append(token)
            self._revoke_all(code)
        return 200, {}

    # In the browser

    def approve(self, url: str, did: str) -> str:
        """The person signs in as `did` and says yes: where the browser is sent."""
        request = self._open(url)
        code = f"cod-{secrets.token_urlsafe(16)}"
        self._codes[code] = Authorization(request, did, self.now() + CODE_LIFETIME)
        return self._redirect(request, {"code": code})

    def deny(self, url: str, error: str = "access_denied", description: str = "no, thanks") -> str:
        """The person, or the server for them, says no."""
        answer = {"error": error, "error_description": description}
        issuer = {"iss": None} if self.habits.errors_without_iss else {}
        return self._redirect(self._open(url), {**answer, **issuer})

    def request_of(self, url: str) -> dict[str, str]:
        """What was pushed, by the authorization URL, which carries nothing but client_id and request_uri."""
        return self._request(url).form

    def _request(self, url: str) -> Request:
        base, _, query = url.partition("?")
        params = parse_qsl(query, strict_parsing=True)
        require(
            base == self.metadata["authorization_endpoint"].partition("?")[0], "invalid_request", "endpoint"
        )
        found = dict(params)
        own = parse_qsl(urlsplit(self.metadata["authorization_endpoint"]).query)
        expected = sorted(["client_id", "request_uri", *(name for name, _ in own)])
        require(sorted(name for name, _ in params) == expected, "invalid_request", "parameters")
        request = self.requests.get(found["request_uri"])
        if request is None or request.form["client_id"] != found["client_id"]:
            raise Refused("invalid_request", "request_uri unknown")
        return request

    def _open(self, url: str) -> Request:
        request = self._request(url)
        require(not request.used, "invalid_request", "request_uri used")
        require(self.now() < request.expires, "invalid_request", "request_uri expired")
        request.used = True
        return request

    def _redirect(self, request: Request, answer: dict[str, str | None]) -> str:
        params = _bent({"iss": self.origin, "state": request.form["state"]}, answer)
        query = [*_bent(params, self.callback).items(), *self.callback_extra]
        return f"{request.form['redirect_uri']}?{urlencode(query)}"

    # Rules

    async def _authenticated(
        self, endpoint: Endpoint, request: httpx.Request
    ) -> tuple[dict[str, str], Client, str, str | None]:
        """Form, client, thumbprint of the DPoP key, kid of the client's key; all verified."""
        if endpoint in self.refusals:
            raise self.refusals[endpoint]
        form = parse_form(endpoint, request)
        client = await self._client(form.get("client_id", ""))
        if client.keys:  # first, and its jti is gone: an assertion is good for one request, nonce or not
            kid = check_assertion(
                form, client.keys, issuer=self.origin, used=self._used["assertion"], now=self.now()
            )
        else:
            kid = None
            require("client_assertion" not in form, "invalid_client", "a public client has no assertion", 401)
        jkt = check_proof(
            request,
            nonces=self.nonces,
            used=self._used["proof"],
            now=self.now(),
            future=self.habits.takes_proofs_from_the_future,
        )
        require(jkt not in map(thumbprint, client.keys.values()), "invalid_dpop_proof", "a client's key")
        return form, client, jkt, kid

    async def _client(self, client_id: str) -> Client:
        if client_id.startswith("http:"):
            return Client(client_rules.loopback_document(client_id), {})
        client_rules.check_client_id(client_id)
        document = await self._document(client_id)
        if document["token_endpoint_auth_method"] == "none":
            return Client(document, {})
        jwks = document.get("jwks") or client_rules.read_document(await self.fetch(document["jwks_uri"]))
        return Client(document, client_rules.check_keys(jwks))

    async def _document(self, client_id: str) -> dict[str, Any]:
        """A client's metadata, which a server may keep; keys inside it are then kept, too."""
        if client_id in self._documents and self.habits.keeps_documents:
            return self._documents[client_id]
        document = client_rules.read_document(await self.fetch(client_id))
        client_rules.check_document(client_id, document)
        self._documents[client_id] = document
        return document

    def _fresh(self, **secrets_of_one_sign_in: str) -> None:
        for kind, value in secrets_of_one_sign_in.items():
            require(value not in self._seen[kind], "invalid_request", f"{kind} used before")
            self._seen[kind].add(value)

    def _issue(self, code: str, authorization: Authorization) -> dict[str, Any]:
        request, did = authorization.request, authorization.did
        tokens = {"access_token": f"acc-{secrets.token_urlsafe(16)}"}
        if "refresh_token" in request.client.document["grant_types"]:
            tokens["refresh_token"] = f"ref-{secrets.token_urlsafe(16)}"
        for token in tokens.values():
            self.tokens[token] = did
            self._issued[token] = (code, request)
        answer = {"token_type": "DPoP", "sub": did, "scope": request.form["scope"], "expires_in": 3599}
        return _bent({**tokens, **answer}, self.token_response)

    def _revoke_all(self, code: str) -> None:
        """A session's tokens end together."""
        for token, (issued_for, _) in self._issued.items():
            if issued_for == code:
                self.tokens.pop(token, None)


def _bent(answer: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**answer, **changes}.items() if value is not None}
