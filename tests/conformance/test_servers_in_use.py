"""Sign-ins at servers that do more, less or other than the OAuth profile says (`tests/fakes/habits.py`).

Each habit was seen in a server in use. docs/protocol.md says where we are lenient, and why that is safe.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import httpx
import pytest

from sidecar.atproto.errors import (
    AccessDenied,
    AuthorizationRefused,
    ClientRefused,
    InvalidCallback,
    InvalidTokenResponse,
    IssuerMismatch,
    ServerUnreachable,
    UnexpectedResponse,
)
from sidecar.atproto.fetch import Fetcher
from sidecar.atproto.oauth import KeySet, OAuthClient, Prompt, client_metadata
from tests.fakes.proofs import STALE
from tests.fakes.sign_in import CLIENT, KEY, NEXT_KEY, ORIGIN, PDS, SignInWorld, changed, params_of

PAR, TOKEN = f"{PDS}/oauth/par", f"{PDS}/oauth/token"


@pytest.fixture
def world() -> SignInWorld:
    return SignInWorld()


# Nonces


@pytest.mark.parametrize("wait", [61, STALE + 1, 86400])
async def test_a_server_that_refuses_stale_nonces_lets_the_next_visitor_in(
    world: SignInWorld, wait: float
) -> None:
    world.issuer.nonces.fault = "optional"
    world.issuer.habits.burns_codes_first = True
    await world.sign_in()
    world.clock.time += wait
    assert (await world.sign_in()).identity.did == world.alice.did


@pytest.mark.parametrize("thinking", [0, 30, 61, STALE + 1, 800])
async def test_a_person_who_takes_their_time_comes_back_with_a_code_that_is_not_lost(
    world: SignInWorld, thinking: float
) -> None:
    world.issuer.nonces.fault = "optional"
    world.issuer.habits.burns_codes_first = True
    await world.sign_in()
    pending, url = await world.start()
    world.clock.time += thinking
    world.issuer.requests = {uri: replace(r, expires=1e12) for uri, r in world.issuer.requests.items()}
    callback = world.network.approve(url, account=world.alice)
    assert (await world.finish(pending, callback)).identity.did == world.alice.did


async def test_a_server_with_a_new_secret_that_says_nothing_is_asked_again_without_a_nonce(
    world: SignInWorld,
) -> None:
    world.issuer.nonces.fault = "mute"
    await world.sign_in()
    world.issuer.nonces.expire()  # its new secret; ours is refused without a word about another
    asked = len(world.network.asked(PDS, "/oauth/par"))
    assert (await world.sign_in()).identity.did == world.alice.did
    assert len(world.network.asked(PDS, "/oauth/par")) - asked == 3  # the old one, none, the one offered


async def test_a_code_is_never_sent_twice_to_a_server_that_may_have_burnt_it(world: SignInWorld) -> None:
    world.issuer.nonces.fault = "mute"
    pending, url = await world.start()
    world.issuer.nonces.expire()
    callback = world.network.approve(url, account=world.alice)
    with pytest.raises(AuthorizationRefused):
        await world.finish(pending, callback)
    assert len(world.network.asked(PDS, "/oauth/token")) == 1
    assert (await world.sign_in()).identity.did == world.alice.did  # what was refused is forgotten


async def test_a_nonce_that_is_refused_is_not_sent_to_the_next_sign_in(world: SignInWorld) -> None:
    world.issuer.nonces.fault = "stubborn"
    for _ in range(2):
        with pytest.raises(AuthorizationRefused):
            await world.start()
    assert len(world.network.asked(PDS, "/oauth/par")) == 4  # none and the one offered, each time


async def test_tokens_are_revoked_at_a_server_with_a_new_secret(world: SignInWorld) -> None:
    world.issuer.nonces.fault = "mute"
    signed_in = await world.sign_in()
    world.issuer.nonces.expire()
    await world.oauth.revoke(signed_in.grant)
    assert world.issuer.tokens == {}


# Clocks


@pytest.mark.parametrize("skew", [-50.0, -5.0, 0.0, 0.2, 0.999, 3.9])
@pytest.mark.parametrize("fraction", [0.0, 0.5, 0.999])
async def test_a_server_that_takes_no_proof_from_the_future_takes_ours(skew: float, fraction: float) -> None:
    world = SignInWorld(skew=skew)
    world.clock.time += fraction
    world.issuer.habits.takes_proofs_from_the_future = 0.0
    assert (await world.sign_in()).identity.did == world.alice.did


@pytest.mark.parametrize(("skew", "words"), [(240.0, "ahead of"), (-3600.0, "behind"), (1e7, "ahead of")])
async def test_a_clock_that_is_minutes_off_is_named_when_a_server_refuses(
    skew: float, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    world = SignInWorld(skew=skew)
    with caplog.at_level(logging.WARNING), pytest.raises(ClientRefused):
        await world.start()
    record = next(each for each in caplog.records if getattr(each, "event", "") == "clock_differs")
    assert words in record.getMessage()
    assert PDS in record.getMessage()
    assert abs(float(record.__dict__["seconds"]) - abs(skew)) <= 2


@pytest.mark.parametrize("skew", [0.0, 3.0, -30.0])
async def test_a_refusal_that_clocks_have_nothing_to_do_with_names_none(
    skew: float, caplog: pytest.LogCaptureFixture
) -> None:
    world = SignInWorld(skew=0.0)
    world.network.answer(PAR, 400, headers=dated("Fri, 15 Jan 2027 08:00:00 GMT"), json={"error": "x"})
    with caplog.at_level(logging.WARNING), pytest.raises(AuthorizationRefused):
        await world.start()
    assert "clock" not in caplog.text


@pytest.mark.parametrize(
    "date",
    [
        None,
        "",
        "yesterday",
        "Fri, 31 Feb 2027 08:00:00 GMT",
        "Fri, 15 Jan 99999 08:00:00 GMT",
        "Fri, 15 Jan 2027 08:00:00 +9999",
        "\x1b[31m" * 50,
    ],
)
async def test_a_date_that_cannot_be_read_says_nothing(
    world: SignInWorld, date: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    world.network.answer(PAR, 400, headers=dated(date), json={"error": "x"})
    with caplog.at_level(logging.WARNING), pytest.raises(AuthorizationRefused):
        await world.start()
    assert "clock" not in caplog.text


async def test_a_sign_in_that_works_says_nothing_of_clocks(caplog: pytest.LogCaptureFixture) -> None:
    world = SignInWorld(skew=-50.0)
    with caplog.at_level(logging.INFO):
        await world.sign_in()
    assert "clock" not in caplog.text


def dated(date: str | None) -> dict[str, str]:
    return {} if date is None else {"date": date}


# Keys


@pytest.mark.parametrize("kept", [False, True])
async def test_keys_at_a_jwks_uri_rotate_whatever_a_server_keeps(kept: bool) -> None:
    world = SignInWorld(client=replace(CLIENT, jwks_uri=f"{ORIGIN}/auth/jwks.json", keys=KeySet([KEY])))
    world.issuer.habits.keeps_documents = kept
    await world.sign_in()
    rotate(world, KeySet([NEXT_KEY]))
    assert (await world.sign_in()).identity.did == world.alice.did


async def test_keys_inside_the_metadata_do_not_rotate_at_a_server_that_keeps_it() -> None:
    """Why `jwks_uri` is the default: this server never learns of the new key."""
    world = SignInWorld(client=replace(CLIENT, keys=KeySet([KEY])))
    world.issuer.habits.keeps_documents = True
    await world.sign_in()
    rotate(world, KeySet([NEXT_KEY]))
    with pytest.raises(ClientRefused):
        await world.start()


def rotate(world: SignInWorld, keys: KeySet) -> None:
    world.client = replace(world.client, keys=keys)
    world.document = client_metadata(world.client)
    fetcher = Fetcher(user_agent="test/1", transport=world.network, resolve=world.network.resolve)
    world.oauth = OAuthClient(world.client, world.directory, fetcher, now=world.clock)


# Refusals in the browser


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ("access_denied", AccessDenied),
        ("login_required", AuthorizationRefused),
        ("account_selection_required", AuthorizationRefused),
        ("server_error", ServerUnreachable),
        ("invalid_client", ClientRefused),
    ],
)
async def test_a_refusal_without_iss_is_shown_as_the_refusal_it_is(
    world: SignInWorld, error: str, expected: type[Exception]
) -> None:
    world.issuer.habits.errors_without_iss = True
    pending, url = await world.start()
    callback = world.network.deny(url, error)
    assert "iss" not in dict(params_of(callback))
    with pytest.raises(expected) as raised:
        await world.finish(pending, callback)
    assert type(raised.value) is expected


@pytest.mark.parametrize("iss", ["https://evil.net", "", f"{PDS}/", PDS.upper()])
async def test_a_refusal_with_a_wrong_iss_is_still_refused(world: SignInWorld, iss: str) -> None:
    pending, url = await world.start()
    with pytest.raises(IssuerMismatch):
        await world.finish(pending, changed(world.network.deny(url), iss=iss))


@pytest.mark.parametrize("changes", [{"error": "access_denied"}, {"error": "access_denied", "code": ""}, {}])
async def test_a_code_without_iss_is_never_taken_whatever_comes_with_it(
    world: SignInWorld, changes: dict[str, str]
) -> None:
    pending, url = await world.start()
    callback = changed(world.network.approve(url, account=world.alice), iss=None, **changes)
    with pytest.raises(InvalidCallback):
        await world.finish(pending, callback)
    assert not world.network.asked(PDS, "/oauth/token")


async def test_a_refusal_without_iss_needs_the_right_state_all_the_same(world: SignInWorld) -> None:
    world.issuer.habits.errors_without_iss = True
    pending, url = await world.start()
    with pytest.raises(InvalidCallback):
        await world.finish(pending, changed(world.network.deny(url), state="x" * 43))


async def test_the_hint_of_a_sign_in_is_in_its_record(world: SignInWorld) -> None:
    by_handle, _ = await world.start("@Alice.pds.net")
    by_did, _ = await world.start(world.alice.did)
    by_server, _ = await world.start(PDS)
    hints = [each.login_hint for each in (by_handle, by_did, by_server)]
    assert hints == ["alice.pds.net", world.alice.did, None]


# The reasons of refusals


STYLES: list[Literal["oauth", "xrpc", "sentence"]] = ["oauth", "xrpc", "sentence"]


@pytest.mark.parametrize("style", STYLES)
async def test_the_reason_of_a_refusal_is_kept_however_the_server_gives_it(
    world: SignInWorld, style: Literal["oauth", "xrpc", "sentence"]
) -> None:
    world.issuer.habits.errors = style
    world.document["redirect_uris"] = []
    with pytest.raises(ClientRefused, match=r"invalid_client_metadata.*redirect_uris") as raised:
        await world.start()
    assert raised.value.error == "invalid_client_metadata"
    assert "redirect_uris" in raised.value.said


def refusal(body: object, status: int = 400) -> Callable[[httpx.Request], httpx.Response]:
    return lambda _: httpx.Response(status, json=body)


@pytest.mark.parametrize(
    ("body", "logged", "shown"),
    [
        (
            {"error": "AccountTakedown", "message": "Account is suspended"},
            "AccountTakedown",
            "Account is suspended",
        ),
        (
            {"error": "invalid_request", "error_description": "No such scope"},
            "invalid_request",
            "No such scope",
        ),
        (
            {"error": "Your account is deactivated."},
            "Your account is deactivated.",
            "Your account is deactivated.",
        ),
        ({"error": "a " * 60 + "end of a long sentence"}, "end of a long sentence", "end of a long sentence"),
        ({"message": "Only a message"}, "Only a message", "Only a message"),
        ({"error": "invalid_request"}, "invalid_request", ""),
        ({"error": "invalid_request", "error_description": "", "message": "m"}, "invalid_request", "m"),
        ({"error": 5, "message": ["m"], "error_description": None}, "no reason given", ""),
    ],
)
async def test_code_and_words_of_a_refusal_are_kept_for_the_log_and_the_words_for_the_person(
    world: SignInWorld, body: dict[str, object], logged: str, shown: str
) -> None:
    world.network.handle(PAR, refusal(body))
    with pytest.raises(AuthorizationRefused) as raised:
        await world.start()
    assert logged in str(raised.value)
    assert shown in str(raised.value)
    assert shown in raised.value.said
    assert bool(raised.value.said) is bool(shown)


@pytest.mark.parametrize("name", ["error", "message", "error_description"])
async def test_no_words_of_a_server_are_long_or_invisible(world: SignInWorld, name: str) -> None:
    text = "\x1b[31m\r\n\u202eforged\u2066\u200b\x00 " + "long " * 1000
    world.network.handle(PAR, refusal({"error": "no way", name: text}))
    with pytest.raises(AuthorizationRefused) as raised:
        await world.start()
    assert str(raised.value).isprintable()
    assert raised.value.said.isprintable()
    assert len(raised.value.said) <= 200
    assert len(str(raised.value)) < 1000
    assert "forged" in raised.value.said


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_server_that_fails_as_xrpc_does_keeps_its_reason_in_the_log(
    world: SignInWorld, status: int
) -> None:
    body = {"error": "InternalServerError", "message": "database is locked"}
    world.network.handle(PAR, refusal(body, status))
    with pytest.raises(ServerUnreachable, match=r"InternalServerError.*database is locked"):
        await world.start()


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ("invalid_client: could not fetch the metadata", ClientRefused),
        ("access_denied: Account is deactivated", AccessDenied),
        ("temporarily_unavailable for you", ServerUnreachable),
    ],
)
async def test_a_code_at_the_head_of_a_sentence_counts(
    world: SignInWorld, error: str, expected: type[Exception]
) -> None:
    world.network.handle(PAR, refusal({"error": error}))
    with pytest.raises(expected):
        await world.start()


async def test_the_words_of_a_refusal_in_the_browser_are_kept_too(world: SignInWorld) -> None:
    pending, url = await world.start()
    callback = changed(world.network.deny(url), error_description="Account is deactivated")
    with pytest.raises(AccessDenied) as raised:
        await world.finish(pending, callback)
    assert raised.value.said == "Account is deactivated"


async def test_a_refused_proof_is_no_refusal_of_the_client(world: SignInWorld) -> None:
    world.network.handle(PAR, refusal({"error": "invalid_dpop_proof"}, 401))
    with pytest.raises(AuthorizationRefused):
        await world.start()


# Answers


@pytest.mark.parametrize("status", [200, 201, 202])
async def test_a_success_is_a_success_by_any_of_its_usual_numbers(world: SignInWorld, status: int) -> None:
    world.issuer.habits.statuses = {"par": status, "token": status}
    assert (await world.sign_in()).identity.did == world.alice.did


@pytest.mark.parametrize("status", [204, 205, 206, 300, 304])
async def test_what_has_no_whole_answer_is_no_success(world: SignInWorld, status: int) -> None:
    world.network.answer(PAR, status, json={"request_uri": "urn:x"})
    with pytest.raises(UnexpectedResponse):
        await world.start()


@pytest.mark.parametrize("status", [200, 201, 202, 204])
async def test_a_revocation_that_succeeds_is_no_warning(
    world: SignInWorld, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    signed_in = await world.sign_in()
    world.network.answer(f"{PDS}/oauth/revoke", status)
    with caplog.at_level(logging.WARNING):
        await world.oauth.revoke(signed_in.grant)
    assert caplog.text == ""


@pytest.mark.parametrize(
    "media_type", ["application/json;charset=utf-8", "APPLICATION/JSON", "application/oauth+json"]
)
async def test_json_is_json_by_any_of_its_names(world: SignInWorld, media_type: str) -> None:
    pending, url = await world.start()
    world.issuer.habits.media_type = media_type
    second, _ = await _start_with_documents_as_ever(world)
    assert second.state != pending.state
    callback = world.network.approve(url, account=world.alice)
    code = dict(params_of(callback))
    assert code["code"]
    world.network.answer(f"{PDS}/.well-known/oauth-authorization-server", json=world.issuer.metadata)
    assert (await world.finish(pending, callback)).identity.did == world.alice.did


async def _start_with_documents_as_ever(world: SignInWorld) -> Any:
    world.network.answer(f"{PDS}/.well-known/oauth-authorization-server", json=world.issuer.metadata)
    return await world.start()


@pytest.mark.parametrize("media_type", ["text/html", "text/plain", "", "application/jsonp", "image/svg+json"])
async def test_what_calls_itself_something_else_is_not_read(world: SignInWorld, media_type: str) -> None:
    body = b'{"request_uri": "urn:x"}'
    world.network.answer(PAR, 201, content=body, headers={"content-type": media_type})
    with pytest.raises(UnexpectedResponse):
        await world.start()


@pytest.mark.parametrize("name", ["revocation_endpoint", "require_request_uri_registration"])
async def test_a_member_of_null_is_one_that_is_not_there(world: SignInWorld, name: str) -> None:
    document = {**world.issuer.metadata, name: None, "prompt_values_supported": None}
    world.network.answer(f"{PDS}/.well-known/oauth-authorization-server", json=document)
    signed_in = await world.sign_in()
    assert signed_in.identity.did == world.alice.did


@pytest.mark.parametrize("spelled", ["https://PDS.net", "https://pds.net:443", "HTTPS://Pds.Net:443"])
async def test_an_endpoint_in_another_spelling_is_the_same_endpoint(world: SignInWorld, spelled: str) -> None:
    for name, path in (
        ("pushed_authorization_request_endpoint", "par"),
        ("token_endpoint", "token"),
        ("revocation_endpoint", "revoke"),
    ):
        world.issuer.metadata[name] = f"{spelled}/oauth/{path}"
    signed_in = await world.sign_in()
    await world.oauth.revoke(signed_in.grant)
    assert world.issuer.tokens == {}


async def test_a_token_answer_with_a_status_of_its_own_is_held_to_the_rules_all_the_same(
    world: SignInWorld,
) -> None:
    world.issuer.habits.statuses = {"token": 201}
    world.issuer.token_response = {"sub": "alice.pds.net"}
    with pytest.raises(InvalidTokenResponse):
        await world.sign_in()
    assert world.issuer.tokens == {}


# Prompts


@pytest.mark.parametrize(
    ("wanted", "supported", "sent"),
    [
        ("select_account", ["consent", "none"], None),
        ("select_account", [], None),
        ("login", ["consent"], None),
        ("login", [], None),
        ("login", ["select_account"], None),
        ("select_account", ["login"], "login"),
    ],
)
async def test_no_server_is_sent_a_prompt_that_it_does_not_list(
    world: SignInWorld, wanted: Prompt, supported: list[str], sent: str | None
) -> None:
    world.issuer.metadata["prompt_values_supported"] = supported
    _, url = await world.start(prompt=wanted)
    assert world.network.request_of(url).get("prompt") == sent
