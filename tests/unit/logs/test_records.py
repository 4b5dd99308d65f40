"""Log lines: what they say, that no value can forge one, that no secret passes."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar import logs
from sidecar.logs import records
from sidecar.settings import Log

log = logging.getLogger("sidecar")
SECRET = "s3cr3t-Value"


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Leaves the root logger as pytest had it."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers, root.level = handlers, level
    for name in ("sidecar", "uvicorn"):
        logging.getLogger(name).setLevel(logging.NOTSET)


def written(message: str, *, form: Any = "text", level: int = logging.INFO, **extra: Any) -> str:
    stream = io.StringIO()
    logs.configure(Log(format=form), stream)
    log.log(level, message, extra=extra)
    return stream.getvalue()


def test_a_line_has_time_level_event_message_and_fields() -> None:
    line = written("signed in", event="signed_in", did="did:plc:abc", count=3, ok=True, handle=None)
    time, rest = line.split(" ", 1)
    assert rest == 'INFO signed_in "signed in" did=did:plc:abc count=3 ok=true handle=-\n'
    assert time.endswith("Z")
    assert len(time) == len("2026-11-23T14:52:37.076Z")


def test_an_object_has_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = json.loads(
        written("signed in", form="json", event="signed_in", did="did:plc:abc", count=3, handle=None)
    )
    assert entry.pop("time")
    assert entry == {
        "level": "INFO",
        "event": "signed_in",
        "message": "signed in",
        "did": "did:plc:abc",
        "count": 3,
        "handle": None,
    }


def test_a_record_says_which_request_it_belongs_to() -> None:
    token = logs.request_id.set("0123456789ab")
    try:
        assert "request_id=0123456789ab" in written("x", event="e")
        assert json.loads(written("x", form="json", event="e"))["request_id"] == "0123456789ab"
    finally:
        logs.request_id.reset(token)
    assert "request_id" not in written("x", event="e")


@given(value=st.text())
def test_no_value_can_start_a_line_of_its_own(value: str) -> None:
    line = written("x", event="e", value=value)
    assert line.isascii()
    assert line.endswith("\n")
    assert len(line.splitlines()) == 1
    assert all(ch.isprintable() for ch in line[:-1])


@given(value=st.text(alphabet="ab =\"\\'\n\t"))
def test_no_value_can_pose_as_another_field(value: str) -> None:
    shown = written("x", event="e", value=value).partition(" value=")[2].rstrip("\n")
    assert shown == value if shown.isalnum() else json.loads(shown) == value


@given(message=st.text())
def test_no_message_can_start_a_line_of_its_own(message: str) -> None:
    assert len(written(message, event="e").splitlines()) == 1


def test_a_traceback_follows_in_lines_that_cannot_be_taken_for_records() -> None:
    stream = io.StringIO()
    logs.configure(Log(), stream)
    hostile = "boom\n2026-11-23T14:52:37.076Z INFO signed_in\x1b[31m\u202e"
    try:
        int(hostile)
    except ValueError:
        log.exception("check failed", extra={"event": "internal_error"})
    first, *rest = stream.getvalue().splitlines()
    assert ' ERROR internal_error "check failed"' in first
    assert any("ValueError: " in line for line in rest)
    assert all(line.startswith("  | ") and line.isascii() and line.isprintable() for line in rest)


def test_a_traceback_is_a_field_of_the_object() -> None:
    stream = io.StringIO()
    logs.configure(Log(format="json"), stream)
    try:
        dict[str, str]()["a?code=" + SECRET]
    except KeyError:
        log.exception("check failed", extra={"event": "internal_error"})
    (line,) = stream.getvalue().splitlines()
    assert json.loads(line)["traceback"].splitlines()[-1] == "KeyError: 'a?code=[redacted]'"


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize(
    "name",
    [
        "access_token",
        "refresh_token",
        "id_token",
        "token",
        "code",
        "code_verifier",
        "verifier",
        "state",
        "nonce",
        "cookie",
        "Cookie",
        "cookies",
        "set_cookie",
        "cookie_secrets",
        "secret",
        "password",
        "authorization",
        "client_assertion",
        "dpop",
        "dpop_key",
        "private_key",
        "jwk",
        "key",
        "d",
        "request_uri",
    ],
)
def test_a_field_with_the_name_of_a_secret_never_passes(form: str, name: str) -> None:
    fields: dict[str, Any] = {name: SECRET}
    line = written("x", form=form, event="e", **fields)
    assert SECRET not in line
    assert records.REDACTED in line


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize(
    "text",
    [
        f"https://auth.wiki.net/auth/callback?iss=x&code={SECRET}&state={SECRET}",
        f"state%3D{SECRET}",
        f"refresh_token={SECRET}",
        f"eyJhbGciOiJFUzI1NiJ9.{SECRET}.c2ln",
        f"__Host-sidecar_session={SECRET}; other=1",
        f"__Secure-sidecar_session={SECRET}",
        f"sidecar_attempt_1={SECRET}",
    ],
)
def test_what_looks_like_a_secret_never_passes_in_any_text(form: str, text: str) -> None:
    assert SECRET not in written("x", form=form, event="e", reason=text)
    assert SECRET not in written(text, form=form, event="e")


@pytest.mark.parametrize(
    "text", ["status_code=200", "reason=state_unknown", "the code of the error", "did:plc:eyJ"]
)
def test_what_only_resembles_a_secret_is_left_alone(text: str) -> None:
    assert json.loads(written("x", form="json", event="e", reason=text))["reason"] == text


def test_a_long_value_is_cut() -> None:
    assert len(written("x", event="e", reason="a" * 100_000)) < 2200


def test_uvicorn_speaks_in_the_same_format_and_without_colours() -> None:
    stream = io.StringIO()
    logs.configure(Log(), stream)
    logging.getLogger("uvicorn.error").info(
        "Started server process [%d]", 7, extra={"color_message": "\x1b[36m"}
    )
    assert stream.getvalue().endswith(' INFO uvicorn "Started server process [7]"\n')


def test_the_level_is_the_least_that_is_written() -> None:
    stream = io.StringIO()
    logs.configure(Log(level="warning"), stream)
    log.info("no")
    log.warning("yes")
    assert "no" not in stream.getvalue()
    assert "yes" in stream.getvalue()


def test_other_libraries_are_heard_from_warnings_on() -> None:
    stream = io.StringIO()
    logs.configure(Log(level="debug"), stream)
    logging.getLogger("httpx").info("HTTP Request: GET https://pds.test/?code=1")
    logging.getLogger("asyncio").warning("slow")
    assert "HTTP" not in stream.getvalue()
    assert 'WARNING asyncio "slow"' in stream.getvalue()


def test_configuring_again_replaces_and_leaves_others_handlers_alone() -> None:
    other = logging.NullHandler()
    logging.getLogger().addHandler(other)
    first, second = io.StringIO(), io.StringIO()
    logs.configure(Log(), first)
    logs.configure(Log(format="json"), second)
    log.info("x", extra={"event": "e"})
    assert first.getvalue() == ""
    assert len(second.getvalue().splitlines()) == 1
    assert other in logging.getLogger().handlers
