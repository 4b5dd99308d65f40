"""The back channel: our own requests to the authorization server, within one sign-in.

Owns: each request is authenticated (RFC 7523) and bound to the sign-in's key (DPoP). If the server refuses
one and its clock differs from ours, the log says so.
Doesn't belong here: what is asked (client.py), what the answer means (responses.py, refusals.py).
"""

import logging
from collections.abc import Callable, Mapping

import httpx
from joserfc.jwk import ECKey

from ..errors import AuthorizationRefused
from ..fetch import Fetcher
from .clock import BACKDATED, seconds_ahead
from .dpop import DpopAuth, Nonces
from .keys import CLIENT_ASSERTION_TYPE, client_assertion
from .models import Client, Grant, PendingSignIn

log = logging.getLogger(__name__)


class BackChannel:
    """For one sign-in, pending or granted."""

    def __init__(
        self,
        client: Client,
        fetcher: Fetcher,
        sign_in: PendingSignIn | Grant,
        *,
        nonces: Nonces,
        now: Callable[[], float],
    ) -> None:
        self._client = client
        self._fetcher = fetcher
        self._issuer = sign_in.issuer
        self._dpop_key = ECKey.import_key(sign_in.dpop_key)
        self._kid = sign_in.kid
        self._nonces = nonces
        self._now = now

    async def post(self, url: str, form: Mapping[str, str], *, repeatable: bool = False) -> httpx.Response:
        """The answer, whatever its status. `repeatable`: see DpopAuth.

        Raises what `Fetcher.request` does, and AuthorizationRefused.
        """

        def authenticated() -> dict[str, str]:
            return {**form, **self._authentication()}

        auth = DpopAuth(
            self._dpop_key, nonces=self._nonces, form=authenticated, now=self._now, repeatable=repeatable
        )
        asked = self._now()
        response = await self._fetcher.request("POST", url, auth=auth, headers={"Accept": "application/json"})
        if response.is_error:
            self._compare_clocks(response, asked)
        return response

    def _compare_clocks(self, response: httpx.Response, asked: float) -> None:
        try:
            date = response.headers.get("date", "")
            ahead = seconds_ahead(date, asked=asked, answered=self._now())
        except ValueError:
            return
        if abs(ahead) > BACKDATED:
            log.warning(
                "a request was refused; our clock is %.0f s %s that of %s: if that one is right, set ours",
                abs(ahead),
                "ahead of" if ahead > 0 else "behind",
                self._issuer,
                extra={"event": "clock_differs", "seconds": round(abs(ahead)), "issuer": self._issuer},
            )

    def _authentication(self) -> dict[str, str]:
        client_id = self._client.client_id
        if self._kid is None:
            return {"client_id": client_id}
        key = self._client.keys.get(self._kid) if self._client.keys else None
        if key is None:
            raise AuthorizationRefused("the client key that this sign-in began with is gone")
        assertion = client_assertion(
            self._kid, key, client_id=client_id, audience=self._issuer, now=self._now()
        )
        return {
            "client_id": client_id,
            "client_assertion_type": CLIENT_ASSERTION_TYPE,
            "client_assertion": assertion,
        }
