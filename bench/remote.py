"""A PLC directory, a handle resolver, a PDS and its authorization server in one ASGI app, for `uvicorn
bench.remote:app`.

It answers at once and believes everything: what the sidecar checks costs the sidecar, and that is what is
measured. Only a DPoP nonce it insists on, as real servers do, so that the first request goes twice.
Doesn't belong here: rules of the protocol (the strict server of the tests holds the sidecar to those).
"""

import base64
import json
from typing import Any
from urllib.parse import parse_qsl, urlencode

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

NONCE = "a-nonce"
_DOMAIN = ".bench.test"
_pushed: dict[str, dict[str, str]] = {}  # request_uri or code → what was pushed


def handle_of(did: str) -> str:
    """`did:plc:xyz` ↔ `xyz` under our domain: 18 characters at most."""
    return did.removeprefix("did:plc:aaaaaaaaaaaa") + _DOMAIN


def did_of(handle: str) -> str:
    return "did:plc:aaaaaaaaaaaa" + handle.removesuffix(_DOMAIN)


def _origin(request: Request) -> str:
    return f"http://{request.headers['host']}"


async def _document(request: Request) -> Response:
    did = request.path_params["did"]
    service = {
        "id": "#atproto_pds",
        "type": "AtprotoPersonalDataServer",
        "serviceEndpoint": _origin(request),
    }
    return JSONResponse({"id": did, "alsoKnownAs": [f"at://{handle_of(did)}"], "service": [service]})


async def _resolve_handle(request: Request) -> Response:
    return JSONResponse({"did": did_of(request.query_params["handle"])})


async def _resource(request: Request) -> Response:
    origin = _origin(request)
    return JSONResponse({"resource": origin, "authorization_servers": [origin]})


async def _server(request: Request) -> Response:
    origin = _origin(request)
    return JSONResponse(
        {
            "issuer": origin,
            "authorization_endpoint": f"{origin}/oauth/authorize",
            "token_endpoint": f"{origin}/oauth/token",
            "pushed_authorization_request_endpoint": f"{origin}/oauth/par",
            "revocation_endpoint": f"{origin}/oauth/revoke",
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": ["authorization_code", "refresh_token"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["none", "private_key_jwt"],
            "token_endpoint_auth_signing_alg_values_supported": ["ES256"],
            "scopes_supported": ["atproto"],
            "dpop_signing_alg_values_supported": ["ES256"],
            "authorization_response_iss_parameter_supported": True,
            "require_pushed_authorization_requests": True,
            "client_id_metadata_document_supported": True,
            "prompt_values_supported": ["none", "login", "consent", "select_account", "create"],
        }
    )


async def _push(request: Request) -> Response:
    if (refusal := _without_nonce(request)) is not None:
        return refusal
    name = f"urn:ietf:params:oauth:request_uri:{len(_pushed)}"
    _pushed[name] = await _form(request)
    return _answer({"request_uri": name, "expires_in": 299}, status=201)


async def _authorize(request: Request) -> Response:
    """Nobody is asked: the person whom the hint names consents."""
    pushed = _pushed.pop(request.query_params["request_uri"])
    code = f"code-{len(_pushed)}-{pushed['state']}"
    _pushed[code] = pushed
    query = urlencode({"code": code, "state": pushed["state"], "iss": _origin(request)})
    return RedirectResponse(f"{pushed['redirect_uri']}?{query}", status_code=303)


async def _token(request: Request) -> Response:
    if (refusal := _without_nonce(request)) is not None:
        return refusal
    form = await _form(request)
    hint = _pushed.pop(form["code"])["login_hint"]
    return _answer(
        {
            "access_token": "an-access-token",
            "token_type": "DPoP",
            "scope": "atproto",
            "expires_in": 3600,
            "sub": hint if hint.startswith("did:") else did_of(hint),
        }
    )


async def _revoke(_request: Request) -> Response:
    return _answer({})


def _without_nonce(request: Request) -> Response | None:
    payload = request.headers["dpop"].split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    if claims.get("nonce") == NONCE:
        return None
    return _answer({"error": "use_dpop_nonce"}, status=400)


def _answer(content: dict[str, Any], *, status: int = 200) -> Response:
    headers = {"DPoP-Nonce": NONCE, "Cache-Control": "no-store"}
    return JSONResponse(content, status_code=status, headers=headers)


async def _form(request: Request) -> dict[str, str]:
    return dict(parse_qsl((await request.body()).decode()))


app = Starlette(
    routes=[
        Route("/.well-known/oauth-protected-resource", _resource),
        Route("/.well-known/oauth-authorization-server", _server),
        Route("/xrpc/com.atproto.identity.resolveHandle", _resolve_handle),
        Route("/oauth/par", _push, methods=["POST"]),
        Route("/oauth/authorize", _authorize),
        Route("/oauth/token", _token, methods=["POST"]),
        Route("/oauth/revoke", _revoke, methods=["POST"]),
        Route("/{did}", _document),
    ]
)
