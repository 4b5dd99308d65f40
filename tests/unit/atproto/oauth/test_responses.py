"""Which of our errors an answer becomes, and that nothing hostile in it gets through."""

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.atproto.errors import (
    AccessDenied,
    AtprotoError,
    AuthorizationRefused,
    ClientRefused,
    InvalidTokenResponse,
    RequestRefused,
    ServerUnreachable,
    UnexpectedResponse,
)
from sidecar.atproto.oauth import refusals, responses

URL = "https://pds.net/oauth/par"


def answer(status: int, **content: object) -> httpx.Response:
    return httpx.Response(status, request=httpx.Request("POST", URL), **content)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("status", "error", "expected"),
    [
        (400, "invalid_client", ClientRefused),
        (400, "invalid_client_metadata", ClientRefused),
        (400, "unauthorized_client", ClientRefused),
        (401, "", ClientRefused),
        (401, "invalid_request", ClientRefused),
        (403, "invalid_client", ClientRefused),
        (403, "whatever", ClientRefused),
        (400, "access_denied", AccessDenied),
        (400, "temporarily_unavailable", ServerUnreachable),
        (400, "server_error", ServerUnreachable),
        (408, "", ServerUnreachable),
        (425, "", ServerUnreachable),
        (429, "slow_down", ServerUnreachable),
        (500, "invalid_client", ServerUnreachable),
        (503, "", ServerUnreachable),
        (400, "invalid_request", AuthorizationRefused),
        (404, "", AuthorizationRefused),
        (302, "", UnexpectedResponse),
        (204, "", UnexpectedResponse),
    ],
)
def test_every_refusal_has_its_error(status: int, error: str, expected: type[AtprotoError]) -> None:
    with pytest.raises(expected) as raised:
        refusals.refuse(answer(status, json={"error": error}))
    assert type(raised.value) is expected


@pytest.mark.parametrize(("status", "expected"), [(403, RequestRefused), (401, ClientRefused)])
def test_a_403_without_an_oauth_error_is_an_edges_and_may_pass(
    status: int, expected: type[AtprotoError]
) -> None:
    for content in ({"html": "<h1>Forbidden</h1>"}, {"json": {"message": "Forbidden"}}):
        with pytest.raises(expected):
            refusals.refuse(answer(status, **content))


def test_the_servers_code_is_kept_in_its_own_alphabet() -> None:
    with pytest.raises(AuthorizationRefused) as raised:
        refusals.refuse(answer(400, json={"error": 'bad\r\n"\\\x1b[31m' + "x" * 100}))
    assert raised.value.error == ("bad[31m" + "x" * 100)[:64]


@given(st.text(), st.text())
def test_no_text_of_a_server_brings_control_characters_or_length_into_a_message(code: str, text: str) -> None:
    try:
        refusals.refuse(answer(400, json={"error": code, "error_description": text}))
    except AtprotoError as error:
        message = str(error)
    assert message.isprintable()
    assert len(message) < 3000


@pytest.mark.parametrize("status", [200, 201])
def test_a_par_response_gives_the_request_uri(status: int) -> None:
    assert responses.request_uri(answer(status, json={"request_uri": "urn:x"})) == "urn:x"


@pytest.mark.parametrize(
    "content",
    [
        {"json": {}},
        {"json": {"request_uri": ""}},
        {"json": {"request_uri": 5}},
        {"json": {"request_uri": "urn: x"}},
        {"json": {"request_uri": "urn:x\n"}},
        {"json": {"request_uri": "u" * 2001}},
        {"json": ["urn:x"]},
        {"content": b'{"request_uri": "urn:x"}'},
        {"content": b"{", "headers": {"content-type": "application/json"}},
    ],
)
def test_a_par_response_without_a_usable_request_uri_is_refused(content: dict[str, object]) -> None:
    with pytest.raises(UnexpectedResponse):
        responses.request_uri(answer(201, **content))


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (
            b'{"access_token": "a", "refresh_token": "r", "sub": 5}',
            {"access_token": "a", "refresh_token": "r"},
        ),
        (b'{"access_token": "a", "access_token": "b"}', {"access_token": "b"}),
        (b'{"access_token": 5, "refresh_token": null}', {}),
        (b'{"access_token": "", "refresh_token": "\\ud800"}', {}),
        (b'["access_token"]', {}),
        (b"<html>", {}),
        (b"\xff", {}),
        (b"[" * 100_000, {}),
    ],
)
def test_whatever_tokens_came_are_found(content: bytes, found: dict[str, str]) -> None:
    for status in (200, 201, 206):
        assert responses.tokens(answer(status, content=content)) == found
    assert responses.tokens(answer(400, content=content)) == {}


def test_a_token_response_that_is_no_json_is_refused() -> None:
    with pytest.raises(InvalidTokenResponse):
        responses.token_response(answer(200, html="<html>"))
