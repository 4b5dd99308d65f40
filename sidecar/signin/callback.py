"""What comes back from the authorization server, and the session that follows.

Owns: `GET /callback`: browser binding, single use, the new session, forgetting the tokens.
Doesn't belong here: the protocol's own checks (atproto.oauth), the form (login.py).
"""

import logging
from collections.abc import Callable
from urllib.parse import parse_qsl

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response

from sidecar.atproto.errors import AtprotoError, AuthorizationRefused, InvalidCallback
from sidecar.atproto.oauth.models import Grant, SignedIn, SignInFailed
from sidecar.atproto.syntax import ServerUrl
from sidecar.errors import OtherBrowser, SidecarError, SignInExpired
from sidecar.figures.counters import Counters
from sidecar.logs import request_id
from sidecar.network.network import Network
from sidecar.replies.pages import Pages
from sidecar.replies.responses import response, retry_after, see_other
from sidecar.replies.words import explain
from sidecar.request.return_to import Destinations
from sidecar.sessions.cookie import Session, Sessions, cookie_name, set_cookie
from sidecar.sessions.feed import Feed
from sidecar.settings import Settings
from sidecar.signin.pending import Attempt, PendingSignIns
from sidecar.store import Store
from sidecar.visit.limits import Slots
from sidecar.visit.visitors import Visitors

log = logging.getLogger("sidecar")

_MAX_PARAMS = 16
# How servers answer if the browser has no account there that could be chosen or go on (OpenID Connect Core
# 3.1.2.6).
_NOBODY_SIGNED_IN = ("account_selection_required", "login_required")


class Callback:
    """Finishes sign-ins under one configuration."""

    def __init__(
        self,
        settings: Settings,
        *,
        network: Network,
        pending: PendingSignIns,
        slots: Slots,
        counters: Counters,
        sessions: Sessions,
        store: Store,
        feed: Feed,
        visitors: Visitors,
        destinations: Destinations,
        pages: Pages,
        now: Callable[[], float],
    ) -> None:
        self._retention = settings.session.absolute
        self._signed_out = cookie_name("sidecar_signed_out", secure=not settings.loopback)
        self._secure = not settings.loopback
        self._network = network
        self._pending = pending
        self._slots = slots
        self._counters = counters
        self._sessions = sessions
        self._store = store
        self._feed = feed
        self._visitors = visitors
        self._destinations = destinations
        self._pages = pages
        self._now = now

    async def finish(self, request: Request) -> Response:
        """`GET /callback`: signed in and on to the page asked for, or a page that says what went wrong.

        Raises DuplicateCookies and StoreUnavailable before anything is used up: the same address still works.
        """
        with self._counters.timed("sign_in_seconds", "finish"):
            return await self._try_to_finish(request)

    async def _try_to_finish(self, request: Request) -> Response:
        former = await self._visitors.session(request)
        attempt: Attempt | None = None
        try:
            params = _params(request)
            with self._slots.take():
                attempt = await self._take(request, _state(params), former)
                if attempt is None:
                    return self._redelivered(former)
                return await self._finish(attempt, params, former)
        except SignInFailed as failure:
            return self._failed(failure.error, attempt, failure.grant)
        except (AtprotoError, SidecarError) as error:
            return self._failed(error, attempt)

    async def _take(self, request: Request, state: str, former: Session | None) -> Attempt | None:
        """The attempt this browser started; None if it is expired or used. Raises OtherBrowser."""
        binding = request.cookies.get(self._pending.cookie_name(state))
        if binding is None:
            if former is not None:
                return None
            raise OtherBrowser("the callback came without the cookie that binds the sign-in to its browser")
        return await self._pending.take(state, binding)

    def _redelivered(self, former: Session | None) -> Response:
        """A callback again (back button, reopened tab): go on if a session is alive, else start again."""
        if former is None:
            raise SignInExpired("no sign-in under way for this state")
        return see_other(self._destinations.address(""))

    async def _finish(
        self, attempt: Attempt, params: list[tuple[str, str]], former: Session | None
    ) -> Response:
        try:
            signed_in = await self._network.finish(attempt.sign_in, params)
        except AuthorizationRefused as error:
            if error.error not in _NOBODY_SIGNED_IN or attempt.asked_again:
                raise
            return await self._ask_again(attempt)
        return await self._welcome(attempt, signed_in, former)

    async def _ask_again(self, attempt: Attempt) -> Response:
        """Nobody is signed in at the server. Ask it, once, to let the person sign in there."""
        former = attempt.sign_in
        sign_in, authorization_url = await self._network.start(
            former.did or ServerUrl(former.issuer), prompt="login", login_hint=former.login_hint
        )
        binding = await self._pending.keep(Attempt(sign_in, attempt.return_to, asked_again=True))
        spent = self._pending.cookie_name(attempt.sign_in.state)
        cookies = [self._pending.cookie(sign_in.state, binding), self._pending.deletion(spent)]
        return see_other(authorization_url, cookies=cookies)

    async def _welcome(self, attempt: Attempt, signed_in: SignedIn, former: Session | None) -> Response:
        host = self._destinations.host(attempt.return_to)
        try:
            session = await self._begin(signed_in)
            await self._replace(former, host)
        except SidecarError as error:
            return self._failed(error, attempt, signed_in.grant)
        except BaseException:  # nobody is left to do it later
            await self._network.revoke(signed_in.grant)
            raise
        self._counters.count("sign_ins", "finish", "ok")
        log.info(
            "signed in",
            extra={"event": "signed_in", "did": session.did, "handle": session.handle, "host": host},
        )
        return see_other(
            self._destinations.address(attempt.return_to),
            cookies=[
                self._sessions.cookie(session, self._now()),
                self._pending.deletion(self._pending.cookie_name(attempt.sign_in.state)),
                set_cookie(self._signed_out, "", max_age=0, secure=self._secure),
            ],
            background=BackgroundTask(self._network.revoke, signed_in.grant),
        )

    async def _begin(self, signed_in: SignedIn) -> Session:
        """A new session for who was just proved."""
        now, identity = self._now(), signed_in.identity
        session = self._sessions.start(identity.did, identity.handle, now)
        if identity.undecided:  # a server's fault takes nobody's handle: the last word on it stands
            return session._replace(handle_verified_at=0)
        await self._store.record_handle(
            identity.did, identity.handle, verified_at=now, expires=now + self._retention
        )
        return session

    async def _replace(self, former: Session | None, host: str) -> None:
        """End the session that this browser had."""
        if former is not None:
            await self._feed.revoke(former.id, expires=former.end)
            details = {"did": former.did, "session": former.id[:8], "host": host}
            log.info("session replaced", extra={"event": "session_replaced", **details})
        await self._feed.catch_up()

    def _failed(
        self, error: AtprotoError | SidecarError, attempt: Attempt | None, grant: Grant | None = None
    ) -> Response:
        """The page that says so; whatever tokens came are revoked after it."""
        explanation = explain(error)
        return_to = attempt.return_to if attempt is not None else ""
        details = {
            "event": error.code,
            "reason": str(error)[:500],
            "host": self._destinations.host(return_to),
        }
        log.info("sign-in failed", extra=details)
        self._counters.count("sign_ins", "finish", error.code)
        identifier = request_id.get()
        headers = [(b"x-request-id", identifier.encode()), *retry_after(error)]
        return response(
            self._pages.page(
                explanation.status,
                "error",
                headers,
                explanation=explanation,
                login_url=self._destinations.login(return_to),
                switch_url=self._destinations.login(return_to, switch=True),
                request_id=identifier,
            ),
            background=BackgroundTask(self._network.revoke, grant) if grant else None,
        )


def _params(request: Request) -> list[tuple[str, str]]:
    query = request.scope["query_string"].decode("latin-1")
    try:
        return parse_qsl(query, keep_blank_values=True, max_num_fields=_MAX_PARAMS, errors="replace")
    except ValueError as error:
        raise InvalidCallback("too many parameters") from error


def _state(params: list[tuple[str, str]]) -> str:
    states = [value for name, value in params if name == "state"]
    if len(states) != 1 or not states[0]:
        raise InvalidCallback("the callback needs exactly one state")
    return states[0]
