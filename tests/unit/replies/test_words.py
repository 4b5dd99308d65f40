import inspect
import json
import re
from types import ModuleType

import pytest
from starlette.exceptions import HTTPException

from sidecar import errors
from sidecar.atproto import errors as atproto
from sidecar.replies.reply import html, json_reply, redirect, text
from sidecar.replies.words import Explanation, explain


def leaves(module: ModuleType) -> list[type[Exception]]:
    """The errors of a tree that are raised as they are."""
    found = [each for _, each in inspect.getmembers(module, inspect.isclass) if issubclass(each, Exception)]
    return [each for each in found if each.__module__ == module.__name__ and not each.__subclasses__()]


def made(kind: type[Exception]) -> Exception:
    if kind is errors.ConfigError:
        return errors.ConfigError(["a"])
    if issubclass(kind, errors.TooManyRequests):
        return kind("SECRET", retry_after=5)
    return kind("SECRET")


PUBLIC_ERRORS = [each for each in leaves(errors) + leaves(atproto) if each is not errors.ConfigError]
PUBLIC_ERRORS.append(errors.TooManyRequests)


@pytest.mark.parametrize("kind", PUBLIC_ERRORS, ids=lambda kind: kind.__name__)
def test_every_error_has_public_words_that_quote_nothing(kind: type[Exception]) -> None:
    told = explain(made(kind))
    assert told.code == kind.code  # type: ignore[attr-defined] # of both trees
    assert told.code not in ("internal_error", "sidecar_error", "atproto_error")
    assert 400 <= told.status <= 599
    assert told.title
    assert told.message.endswith(".")
    assert "SECRET" not in "".join(map(str, told))


# What people meet: each has words of its own
OWN_WORDS = [
    atproto.InvalidIdentifier,
    atproto.CertificateRefused,
    atproto.CertificateExpired,
    atproto.CertificateForAnotherName,
    atproto.CertificateFromUnknownIssuer,
    atproto.HandleNotFound,
    atproto.HandleMismatch,
    atproto.DidNotFound,
    atproto.HostNotFound,
    atproto.ServerUnreachable,
    atproto.RequestRefused,
    atproto.ClientRefused,
    atproto.AccessDenied,
    atproto.WrongAccount,
    atproto.IssuerMismatch,
    errors.SignInExpired,
    errors.OtherBrowser,
    errors.CookiesOff,
    errors.TooManyRequests,
    errors.Busy,
    errors.CrossSiteRequest,
    errors.RequestTooLarge,
    errors.StoreUnavailable,
    errors.StoreFull,
    errors.DuplicateCookies,
    errors.LoopDetected,
]


def test_the_failures_that_people_meet_have_words_of_their_own() -> None:
    told = [explain(made(kind)) for kind in OWN_WORDS]
    told += [explain(HTTPException(status)) for status in (404, 405, 421)] + [explain(ZeroDivisionError())]
    assert len({each.title for each in told}) == len(told)
    assert len({each.message for each in told}) == len(told)
    assert len({each.code for each in told}) == len(told)


@pytest.mark.parametrize("kind", PUBLIC_ERRORS, ids=lambda kind: kind.__name__)
def test_what_may_pass_by_itself_says_try_again(kind: type[Exception]) -> None:
    told = explain(made(kind))
    if kind.transient:  # type: ignore[attr-defined] # of both trees
        assert told.status in (429, 503)
        assert told.action == "try_again"
        assert "gain" in told.title + told.message
    else:
        assert told.status not in (429, 503)


def test_an_outage_is_never_told_as_an_account_that_does_not_exist() -> None:
    for kind in (atproto.ServerUnreachable, atproto.HostNotFound, atproto.RequestRefused):
        words = explain(kind("x"))
        assert words.status == 503
        assert "account not found" not in (words.title + words.message).lower()
        assert "no account" not in words.message.lower()


@pytest.mark.parametrize("kind", [atproto.AccessDenied, atproto.WrongAccount])
def test_the_wrong_account_offers_another(kind: type[Exception]) -> None:
    assert explain(kind()).action == "other_account"


def test_a_new_kind_of_error_takes_the_words_of_the_one_above_it() -> None:
    class HandleForSale(atproto.HandleNotFound):
        code = "handle_for_sale"

    told = explain(HandleForSale("x"))
    assert told == explain(atproto.HandleNotFound())._replace(code="handle_for_sale")


@pytest.mark.parametrize("error", [ValueError("SECRET"), KeyboardInterrupt(), errors.ConfigError(["SECRET"])])
def test_anything_else_is_our_fault_and_says_no_more(error: BaseException) -> None:
    told = explain(error)
    assert (told.status, told.code) == (500, "internal_error")
    assert "SECRET" not in told.title + told.message


@pytest.mark.parametrize(
    ("status", "code", "action"),
    [(404, "not_found", "home"), (405, "method_not_allowed", "home"), (421, "misdirected", "start_again")],
)
def test_what_the_router_refuses(status: int, code: str, action: str) -> None:
    told = explain(HTTPException(status))
    assert isinstance(told, Explanation)
    assert (told.status, told.code, told.action) == (status, code, action)


def test_another_status_of_the_router_is_a_fault() -> None:
    assert explain(HTTPException(418)).code == "internal_error"


def test_replies_carry_their_length_and_may_not_be_stored_or_sniffed() -> None:
    kinds = {
        "text/html; charset=utf-8": html(200, "é".encode(), [(b"x-a", b"b")]),
        "text/plain; charset=utf-8": text(200, "é", [(b"x-a", b"b")]),
        "application/json": json_reply(200, {"a": "é"}, [(b"x-a", b"b")]),
    }
    for kind, reply in kinds.items():
        assert len(dict(reply.headers)) == len(reply.headers)
        assert dict(reply.headers) == {
            b"content-type": kind.encode(),
            b"content-length": str(len(reply.body)).encode(),
            b"cache-control": b"no-store",
            b"x-content-type-options": b"nosniff",
            b"x-a": b"b",
        }
    assert kinds["text/plain; charset=utf-8"].body == "é\n".encode()
    assert json.loads(kinds["application/json"].body) == {"a": "é"}


def test_a_redirect_has_no_body_and_an_ascii_address() -> None:
    reply = redirect(303, "https://club.net/a", [(b"set-cookie", b"a=b"), (b"set-cookie", b"c=d")])
    assert (reply.status, reply.body) == (303, b"")
    assert reply.headers == [
        (b"location", b"https://club.net/a"),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        (b"content-length", b"0"),
        (b"set-cookie", b"a=b"),
        (b"set-cookie", b"c=d"),
    ]
    with pytest.raises(UnicodeEncodeError):
        redirect(303, "https://club.net/é")


EVERY = [explain(made(kind)) for kind in PUBLIC_ERRORS]
EVERY += [explain(HTTPException(status)) for status in (400, 404, 405, 421)] + [explain(ZeroDivisionError())]


@pytest.mark.parametrize("words", EVERY, ids=lambda words: words.code)
def test_a_page_says_what_happened_whose_fault_it_is_and_what_to_do_now(words: Explanation) -> None:
    sentences = re.findall(r"[^.!?:]+[.!?:](?:\s|$)", words.message)
    assert len(sentences) >= 3
    assert re.search(r"\b(you|your|this site)\b", words.message, re.IGNORECASE)
    assert words.message.count(" ") < 60
