"""The sign-in page, and the start of a sign-in.

Owns: `GET` and `POST /login`: the form, its limits, the way to the authorization server.
Doesn't belong here: what comes back from there (callback.py), the protocol (atproto.oauth).
"""

import logging
import math
from collections.abc import Callable
from typing import Literal

from starlette.requests import Request
from starlette.responses import Response

from sidecar.atproto.errors import AtprotoError, FetchError, HandleNotFound, InvalidServerMetadata
from sidecar.atproto.oauth.models import PendingSignIn
from sidecar.atproto.syntax import Did, Handle, ServerUrl, handle_of_site, parse_identifier
from sidecar.errors import CookiesOff, LoopDetected, SidecarError, TooManyRequests
from sidecar.figures.counters import Counters
from sidecar.network.network import Network
from sidecar.replies.pages import Pages
from sidecar.replies.responses import response, retry_after, see_other, set_cookies
from sidecar.replies.words import explain
from sidecar.request.return_to import CHECKED, Destinations
from sidecar.sessions.cookie import Session, cookie_name, set_cookie
from sidecar.settings import Settings
from sidecar.signin import redirect_loops
from sidecar.signin.pending import Attempt, PendingSignIns
from sidecar.visit.cross_site import refuse_cross_site
from sidecar.visit.limits import Attempts, Slots, client_key
from sidecar.visit.visitors import Visitors, address, form

log = logging.getLogger("sidecar")

WINDOW = 300.0  # seconds over which attempts are counted
_MAX_IDENTIFIER = 2048  # a DID's own bound
Prompt = Literal["select_account", "create"]
Identifier = Did | Handle | ServerUrl


class Login:
    """The sign-in page under one configuration."""

    def __init__(
        self,
        settings: Settings,
        *,
        network: Network,
        pending: PendingSignIns,
        slots: Slots,
        counters: Counters,
        visitors: Visitors,
        destinations: Destinations,
        pages: Pages,
        now: Callable[[], float],
    ) -> None:
        self._public_url = settings.public_url
        self._login_path = settings.prefix + "/login"
        self._secure = not settings.loopback
        self._development = settings.identity.development_servers
        self._network = network
        self._buttons = {settings.pages.signup, *(provider.url for provider in settings.pages.providers)}
        self._pending = pending
        self._visitors = visitors
        self._destinations = destinations
        self._pages = pages
        self._now = now
        self._per_address = Attempts(settings.limits.attempts_per_address, WINDOW)
        self._per_identifier = Attempts(settings.limits.attempts_per_identifier, WINDOW)
        self._slots = slots
        self._counters = counters
        self._probe = cookie_name("sidecar_probe", secure=self._secure)
        self._returns = cookie_name("sidecar_returns", secure=self._secure)
        self.signed_out = cookie_name("sidecar_signed_out", secure=self._secure)

    async def show(self, request: Request) -> Response:
        """`GET /login`: the form, or straight on for who is signed in already."""
        query = request.query_params
        return_to = self._destinations.accept(query.get("return_to"))
        switch = query.get("switch") == "1"
        session = await self._visitors.session(request)
        if session is not None and not switch:
            return self._straight_on(request, session, return_to)
        return self._form(return_to=return_to, switch=switch, shortened=query.get("shortened") == "1")

    def _straight_on(self, request: Request, session: Session, return_to: str) -> Response:
        if not redirect_loops.counts(request.query_params.get(CHECKED, ""), session.signed_in_at):
            return see_other(self._destinations.address(return_to))
        try:
            returns = redirect_loops.count(request.cookies.get(self._returns, ""), self._now())
        except LoopDetected as error:
            log.warning(
                "sign-in loop stopped",
                extra={"event": error.code, "host": self._destinations.host(return_to)},
            )
            explanation = explain(error)
            forgotten = set_cookies([self._cookie(self._returns, "", 0)])
            host = self._destinations.host(return_to)
            return response(
                self._pages.page(
                    explanation.status,
                    "loop",
                    forgotten,
                    explanation=explanation,
                    return_to=return_to,
                    host=host,
                )
            )
        counted = self._cookie(self._returns, returns, redirect_loops.WINDOW)
        return see_other(self._destinations.address(return_to), cookies=[counted])

    async def start(self, request: Request) -> Response:
        """`POST /login`: to the authorization server, or the form again with what went wrong."""
        with self._counters.timed("sign_in_seconds", "start"):
            return await self._try_to_start(request)

    async def _try_to_start(self, request: Request) -> Response:
        refuse_cross_site(request.scope["headers"], self._public_url)
        fields = await form(request)
        return_to = self._destinations.accept(fields.get("return_to"))
        identifier = fields.get("identifier", "")[: _MAX_IDENTIFIER + 1]
        switch = fields.get("switch") == "1"
        wanted: Identifier | None = None
        try:
            if self._probe not in request.cookies:
                raise CookiesOff("the form came without the cookie that its page had set")
            client = client_key(address(request))
            wanted = self._read(identifier, client)
            self._count(self._per_identifier, f"{wanted} {client}")
            prompt = self._prompt(fields, request, switch=switch)
            with self._slots.take():
                return await self._depart(request, wanted, return_to, prompt)
        except (AtprotoError, SidecarError) as error:
            # Only identifiers go to the log: people type passwords into the wrong field.
            told = {"identifier": str(wanted)[:256], "reason": str(error)[:500]} if wanted else {}
            log.info("sign-in not started", extra={"event": error.code, **told})
            self._counters.count("sign_ins", "start", error.code)
            return self._form(return_to=return_to, switch=switch, identifier=identifier, error=error)

    async def _depart(
        self, request: Request, wanted: Identifier, return_to: str, prompt: Prompt | None
    ) -> Response:
        sign_in, authorization_url = await self._start(wanted, prompt)
        binding = await self._pending.keep(Attempt(sign_in, return_to))
        self._counters.count("sign_ins", "start", "ok")
        surplus = [self._pending.deletion(name) for name in self._pending.surplus(request.cookies)]
        return see_other(authorization_url, cookies=[self._pending.cookie(sign_in.state, binding), *surplus])

    async def _start(self, wanted: Identifier, prompt: Prompt | None) -> tuple[PendingSignIn, str]:
        """Begin where the person pointed. People also type `https://HANDLE`: if no server is there, try that.

        If nobody has this handle either, the fault of the server is the one to report.
        """
        try:
            return await self._network.start(wanted, prompt=prompt)
        except (FetchError, InvalidServerMetadata) as fault:
            typed = isinstance(wanted, ServerUrl) and wanted not in self._buttons
            handle = handle_of_site(ServerUrl(wanted)) if typed else None
            if handle is None:
                raise
            try:
                return await self._network.start(handle, prompt=prompt)
            except HandleNotFound:
                raise fault from None

    def _prompt(self, fields: dict[str, str], request: Request, *, switch: bool) -> Prompt | None:
        """Silent consent would pick the same account again after a sign-out, so then the server must ask."""
        if fields.get("prompt") == "create":
            return "create"
        return "select_account" if switch or self.signed_out in request.cookies else None

    def _read(self, identifier: str, client: str) -> Identifier:
        """What was typed, if this visitor has tries left. Counted per address, so nobody can lock out
        somebody else.
        """
        self._count(self._per_address, client)
        return parse_identifier(identifier, development=self._development)

    def _count(self, attempts: Attempts, key: str) -> None:
        wait = attempts.allow(key, self._now())
        if wait:
            raise TooManyRequests("too many sign-in attempts", retry_after=math.ceil(wait))

    def _form(
        self,
        *,
        return_to: str,
        switch: bool = False,
        shortened: bool = False,
        identifier: str = "",
        error: AtprotoError | SidecarError | None = None,
    ) -> Response:
        explanation = explain(error) if error is not None else None
        headers = [*set_cookies([self._cookie(self._probe, "1", None)]), *retry_after(error)]
        return response(
            self._pages.page(
                explanation.status if explanation else 200,
                "sign_in",
                headers,
                return_to=return_to,
                host=self._destinations.host(return_to),
                switch=switch,
                shortened=shortened,
                identifier=identifier,
                explanation=explanation,
            )
        )

    def _cookie(self, name: str, value: str, max_age: int | None) -> str:
        return set_cookie(name, value, max_age=max_age, secure=self._secure)
