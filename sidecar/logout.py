"""Signing out here.

Owns: `GET` and `POST /logout`: the page with the button, and the revocation.
Doesn't belong here: signing out at the account's own server, which isn't ours to do.
"""

import logging
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response

from sidecar.errors import StoreUnavailable
from sidecar.feed import Feed
from sidecar.origin import refuse_cross_site
from sidecar.pages import Pages
from sidecar.responses import response, set_cookies
from sidecar.sessions import Session, Sessions, cookie_name, set_cookie
from sidecar.settings import Settings
from sidecar.store import Revocation, Store

log = logging.getLogger("sidecar")

_REMEMBERED = 30 * 86400  # seconds in which the next sign-in lets the person choose the account


class Logout:
    """Signs visitors out under one configuration."""

    def __init__(
        self,
        settings: Settings,
        *,
        sessions: Sessions,
        store: Store,
        feed: Feed,
        pages: Pages,
        now: Callable[[], float],
    ) -> None:
        self._public_url = settings.public_url
        self._secure = not settings.loopback
        self._marker = cookie_name("sidecar_signed_out", secure=self._secure)
        self._sessions = sessions
        self._store = store
        self._feed = feed
        self._pages = pages
        self._now = now

    async def show(self, request: Request) -> Response:
        """`GET /logout`: a page with the button; a link alone signs nobody out."""
        session = self._session(request)
        return response(self._pages.page(200, "sign_out", session=session))

    async def sign_out(self, request: Request) -> Response:
        """`POST /logout`: the session is revoked everywhere and its cookie deleted."""
        refuse_cross_site(request.scope["headers"], self._public_url)
        session = self._session(request)
        recorded = session is None or await self._revoke(session)
        marker = set_cookie(self._marker, "1", max_age=_REMEMBERED, secure=self._secure)
        headers = set_cookies([*self._sessions.deletions(), marker])
        status = 200 if recorded else 503
        return response(self._pages.page(status, "signed_out", headers, recorded=recorded))

    async def _revoke(self, session: Session) -> bool:
        """False where only this process knows of it: the cookie is gone, but a copy might still be good
        elsewhere.
        """
        ends = self._sessions.ends(session)
        details = {"did": session.did, "session": session.id[:8]}
        try:
            self._feed.apply(await self._store.revoke(session.id, expires=ends))
        except StoreUnavailable as error:
            self._feed.apply(Revocation(0, session.id, ends))
            log.warning(
                "sign-out not recorded",
                extra={"event": "sign_out_not_recorded", "reason": str(error), **details},
            )
            return False
        log.info("signed out", extra={"event": "signed_out", **details})
        return True

    def _session(self, request: Request) -> Session | None:
        value = self._sessions.find([v for k, v in request.scope["headers"] if k == b"cookie"])
        return self._sessions.verify(value) if value is not None else None
