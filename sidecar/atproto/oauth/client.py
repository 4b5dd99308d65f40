"""The sign-in itself, in two halves: `start` and `finish`.

Owns: the order of the steps and of the checks (OAuth profile of ATProto; RFC 6749, 7636, 9126, 9207, 9449).
Doesn't belong here: cookies, pages, storage. Both halves take and return records.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Mapping, Sequence

import httpx

from ..errors import AtprotoError, InvalidIdentifier, IssuerMismatch, WrongAccount
from ..fetch import Fetcher
from ..identity import Directory, Identity
from ..syntax import Did, Handle, ServerUrl, parse_identifier
from . import pkce, refusals, responses
from .back_channel import BackChannel
from .client_metadata import check_client
from .discovery import Discovery, ServerMetadata
from .dpop import Nonces, generate_dpop_key
from .models import SCOPE, Client, Grant, PendingSignIn, Prompt, SignedIn, SignInFailed

log = logging.getLogger(__name__)

REVOCATION_DEADLINE = 3.0  # seconds, for all tokens together
# What may stand in for a prompt that a server doesn't list: signing in anew lets a person choose, too.
_PROMPTS: dict[Prompt, tuple[Prompt, ...]] = {"select_account": ("select_account", "login")}


class OAuthClient:
    """Signs people in for one `client`. Tasks may share it: all that one sign-in needs is in its record."""

    def __init__(
        self,
        client: Client,
        directory: Directory,
        fetcher: Fetcher,
        *,
        development: bool = False,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Raises ValueError for a client that servers would refuse."""
        check_client(client)
        self._client = client
        self._directory = directory
        self._fetcher = fetcher
        self._development = development
        self._discovery = Discovery(fetcher, development=development)
        self._nonces = Nonces(now=now)
        self._now = now

    async def start(
        self,
        identifier: Did | Handle | ServerUrl,
        *,
        prompt: Prompt | None = None,
        login_hint: str | None = None,
    ) -> tuple[PendingSignIn, str]:
        """The record to keep, and the URL to send the browser to: with 303 after a POST, top-level.

        `prompt`: what the server should ask the person, if it can. `login_hint`: a handle or DID that the
        server may fill in, instead of the identifier.
        Raises IdentityError, FetchError, and of OAuthError: InvalidServerMetadata, ClientRefused,
        AuthorizationRefused, AccessDenied. Raises InvalidIdentifier for a bad `login_hint`.
        """
        hint = self._login_hint(identifier, login_hint)
        did, server = await self._server_for(identifier)
        await self._fetcher.check_url(server.authorization_endpoint)
        pending = self._begin(did, server, hint)
        request = self._authorization_request(pending, _prompt(prompt, server.prompt_values_supported))
        endpoint = server.pushed_authorization_request_endpoint
        answer = await self._channel(pending).post(endpoint, request, repeatable=True)
        query = {"client_id": self._client.client_id, "request_uri": responses.request_uri(answer)}
        url = httpx.URL(server.authorization_endpoint).copy_merge_params(query)
        return pending, str(url)

    async def finish(self, pending: PendingSignIn, params: Sequence[tuple[str, str]]) -> SignedIn:
        """The account that came back. `params`: the callback's query, as pairs, as received.

        Before the call, take `pending` out of the store (single use), and make sure that the browser is the
        one that started. After it, once the browser has its answer, revoke the tokens: those of
        `SignedIn.grant`, or of `SignInFailed.grant`.
        Raises InvalidCallback, IssuerMismatch, AccessDenied, AuthorizationRefused, ClientRefused, FetchError.
        Once tokens have come, raises SignInFailed for whatever is wrong: IssuerMismatch, WrongAccount,
        InvalidTokenResponse, InvalidServerMetadata, IdentityError, FetchError.
        """
        code = responses.authorization_code(pending, params)
        request = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": pending.redirect_uri,
            "code_verifier": pending.code_verifier,
        }
        answer = await self._channel(pending).post(pending.token_endpoint, request)
        grant = _grant(pending, responses.tokens(answer))
        try:
            did = responses.subject(responses.token_response(answer), development=self._development)
            return SignedIn(await self._authority(pending, did), grant)
        except AtprotoError as error:
            if not grant.tokens:
                raise
            raise SignInFailed(error, grant) from error
        except BaseException:  # nobody is left to do it later
            await self.revoke(grant)
            raise

    async def revoke(self, grant: Grant) -> None:
        """Revoke all tokens of the grant (RFC 7009): best effort, within 3 seconds, never raises."""
        if grant.revocation_endpoint is None or not grant.tokens:
            return
        channel = self._channel(grant)
        fault: Exception | None = None
        try:
            async with asyncio.timeout(REVOCATION_DEADLINE):
                for token in grant.tokens:  # each, even if another was refused
                    try:
                        response = await channel.post(
                            grant.revocation_endpoint, {"token": token}, repeatable=True
                        )
                        if not response.is_success:
                            refusals.refuse(response)
                    except AtprotoError as exc:
                        fault = exc
        except TimeoutError as exc:
            fault = exc
        if fault is not None:
            log.warning("tokens not revoked at %s: %s %s", grant.issuer, type(fault).__name__, fault)

    async def _server_for(self, identifier: Did | Handle | ServerUrl) -> tuple[Did | None, ServerMetadata]:
        if isinstance(identifier, ServerUrl):
            return None, await self._discovery.for_server(identifier)
        identity = await self._directory.lookup(identifier)
        return identity.did, await self._discovery.for_pds(identity.pds)

    async def _authority(self, pending: PendingSignIn, did: Did) -> Identity:
        """The account, if the issuer may speak for it. Otherwise any server could vouch for anyone."""
        if pending.did is not None and did != pending.did:
            raise WrongAccount(f"asked for {pending.did}, got {did}")
        identity = await self._directory.lookup(did, fresh=True)
        server = await self._discovery.for_pds(identity.pds)
        if server.issuer != pending.issuer:
            raise IssuerMismatch(f"{pending.issuer} vouches for {did}, but {server.issuer} speaks for it")
        return identity

    def _begin(self, did: Did | None, server: ServerMetadata, login_hint: str | None) -> PendingSignIn:
        return PendingSignIn(
            state=secrets.token_urlsafe(32),
            issuer=server.issuer,
            did=did,
            redirect_uri=self._client.redirect_uri,
            token_endpoint=server.token_endpoint,
            revocation_endpoint=server.revocation_endpoint,
            code_verifier=pkce.create_verifier(),
            dpop_key=generate_dpop_key(),
            kid=self._client.keys.active_kid if self._client.keys else None,
            login_hint=login_hint,
        )

    def _authorization_request(self, pending: PendingSignIn, prompt: Prompt | None) -> dict[str, str]:
        request = {
            "response_type": "code",
            "redirect_uri": pending.redirect_uri,
            "scope": SCOPE,
            "state": pending.state,
            "code_challenge": pkce.challenge(pending.code_verifier),
            "code_challenge_method": pkce.METHOD,
            "login_hint": pending.login_hint,
            "prompt": prompt,
        }
        return {name: value for name, value in request.items() if value is not None}

    def _login_hint(self, identifier: Did | Handle | ServerUrl, wanted: str | None) -> str | None:
        """A handle without `@`, or a DID: the reference server refuses anything else."""
        hint = identifier if wanted is None else parse_identifier(wanted, development=self._development)
        if not isinstance(hint, ServerUrl):
            return hint
        if wanted is not None:
            raise InvalidIdentifier("login_hint is a handle or a DID")
        return None

    def _channel(self, sign_in: PendingSignIn | Grant) -> BackChannel:
        return BackChannel(self._client, self._fetcher, sign_in, nonces=self._nonces, now=self._now)


def _prompt(wanted: Prompt | None, supported: frozenset[str] | None) -> Prompt | None:
    """The prompt, or the next best that the server lists; None if it lists neither."""
    if wanted is None or supported is None:
        return wanted
    return next((each for each in _PROMPTS.get(wanted, (wanted,)) if each in supported), None)


def _grant(pending: PendingSignIn, tokens: Mapping[str, str]) -> Grant:
    return Grant(
        issuer=pending.issuer,
        access_token=tokens.get("access_token", ""),
        refresh_token=tokens.get("refresh_token"),
        revocation_endpoint=pending.revocation_endpoint,
        dpop_key=pending.dpop_key,
        kid=pending.kid,
    )
