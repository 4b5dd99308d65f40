"""Every address of ours, and who answers it.

Owns: the routes under the prefix, except the check, which the gate answers itself (entrance/gate.py).
Doesn't belong here: what is answered.
"""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router

from sidecar.account.logout import Logout
from sidecar.account.profile import Profile
from sidecar.entrance.machines import Machines
from sidecar.replies.reply import redirect
from sidecar.replies.responses import response
from sidecar.settings import Settings
from sidecar.signin.callback import Callback
from sidecar.signin.login import Login

Endpoint = Callable[[Request], Awaitable[Response]]


def router(
    settings: Settings, login: Login, callback: Callback, logout: Logout, profile: Profile, machines: Machines
) -> Router:
    prefix = settings.prefix
    routes = [
        Route("/", _moved_to(settings.base_url + "/")),  # of a host that is ours alone
        Route(prefix, _moved_to(settings.base_url + "/")),
        Route(prefix + "/", profile.show),
        Route(prefix + "/login", _page_and_form(login.show, login.start), methods=["GET", "POST"]),
        Route(prefix + "/callback", callback.finish),
        Route(prefix + "/logout", _page_and_form(logout.show, logout.sign_out), methods=["GET", "POST"]),
        Route(settings.client_id_path, machines.client_metadata),
        Route(prefix + "/jwks.json", machines.jwks),
        Route(prefix + "/healthz", machines.healthz),
        Route(prefix + "/readyz", machines.readyz),
    ]
    return Router(routes, redirect_slashes=False)  # its redirects would be built from Host


def _moved_to(address: str) -> Endpoint:
    async def endpoint(_: Request) -> Response:
        return response(redirect(302, address))

    return endpoint


def _page_and_form(show: Endpoint, send: Endpoint) -> Endpoint:
    """One route for both, so that a 405 names every method."""

    async def endpoint(request: Request) -> Response:
        return await (send if request.method == "POST" else show)(request)

    return endpoint
