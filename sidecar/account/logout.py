"""Signing out here.

Owns: `GET` and `POST /logout`: the page with the button, and the browser's cookies afterwards.
Doesn't belong here: trying again to record a sign-out (sessions/recording.py). Signing out at the account's
own server isn't ours to do.
"""

import logging

from starlette.requests import Request
from starlette.responses import Response

from sidecar.errors import StoreUnavailable
from sidecar.replies.pages import Pages
from sidecar.replies.responses import response, set_cookies
from sidecar.sessions.cookie import Session, Sessions, cookie_name, set_cookie
from sidecar.sessions.feed import Feed
from sidecar.settings import Settings
from sidecar.visit.cross_site import refuse_cross_site
from sidecar.visit.visitors import Visitors, body, cookies

log = logging.getLogger("sidecar")

_REMEMBERED = 30 * 86400  # seconds in which the next sign-in lets the person choose the account


class Logout:
    """Signs visitors out under one configuration."""

    def __init__(
        self,
        settings: Settings,
        *,
        sessions: Sessions,
        feed: Feed,
        visitors: Visitors,
        pages: Pages,
    ) -> None:
        self._public_url = settings.public_url
        self._public_host = settings.public_host
        self._secure = not settings.loopback
        self._marker = cookie_name("sidecar_signed_out", secure=self._secure)
        self._sessions = sessions
        self._feed = feed
        self._visitors = visitors
        self._pages = pages

    async def show(self, request: Request) -> Response:
        """`GET /logout`: a page with the button; a link alone signs nobody out."""
        session = await self._visitors.session(request) or self._unrecorded(request)
        if session is not None:
            session = session._replace(handle=self._visitors.principal(session).handle)
        return response(self._pages.page(200, "sign_out", session=session))

    async def sign_out(self, request: Request) -> Response:
        """`POST /logout`: the session is revoked everywhere and its cookie deleted.

        The cookie stays if the sign-out isn't recorded, so that the person can try again. Of two session
        cookies, one of which somebody else must have planted, whatever we signed is revoked.
        """
        refuse_cross_site(request.scope["headers"], self._public_url)
        await body(request)
        recorded = [await self._revoke(session) for session in self._ours(request)]
        if not all(recorded):
            return response(self._pages.page(503, "signed_out", [(b"retry-after", b"5")], recorded=False))
        marker = set_cookie(self._marker, "1", max_age=_REMEMBERED, secure=self._secure)
        headers = set_cookies([*self._sessions.deletions(request.scope["path"]), marker])
        if not recorded:
            return response(self._pages.page(200, "sign_out", headers, session=None))
        return response(self._pages.page(200, "signed_out", headers, recorded=True))

    def _ours(self, request: Request) -> list[Session]:
        """The sessions whose cookies the browser sent, dead or alive."""
        found = [self._sessions.verify(value) for value in self._sessions.find_all(cookies(request))]
        return list({session.id: session for session in found if session is not None}.values())

    def _unrecorded(self, request: Request) -> Session | None:
        """The session that was to end and may still be good elsewhere."""
        return next((each for each in self._ours(request) if self._feed.unrecorded(each.id)), None)

    async def _revoke(self, session: Session) -> bool:
        """False if only this process knows of it so far."""
        details = {"did": session.did, "session": session.id[:8], "host": self._public_host}
        try:
            await self._feed.revoke(session.id, expires=session.end)
        except StoreUnavailable as error:
            log.warning(
                "sign-out not recorded",
                extra={"event": "sign_out_not_recorded", "reason": str(error), **details},
            )
            return False
        log.info("signed out", extra={"event": "signed_out", **details})
        return True
