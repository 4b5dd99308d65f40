"""The doctor at the apps' doors: what each answer to a stranger means."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sidecar.access.identity_headers import NAMES
from sidecar.commands import init
from sidecar.commands.doctor import apps
from sidecar.commands.doctor.findings import Finding
from sidecar.commands.doctor.no_answer import CERTIFICATE, Kind, NoAnswer
from sidecar.commands.doctor.probes import Answer
from sidecar.settings import App, Settings
from tests.fakes.outside import BASE, World

WIKI = "https://wiki.sidecar.internal"
CHECK = f"{WIKI}/auth/check"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return init.init(tmp_path, init.Plan("https://auth.sidecar.internal", ["wiki.sidecar.internal"], ["*"]))


class Doors(World):
    """Every door is shut, until a test opens one. `spoilt` stands in for the answer to all that it names."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.by_headers: Answer | None = None
        self.unreached: dict[str, NoAnswer] = {}

    def usual(self, url: str) -> Answer:
        return self.refusal() if url.endswith("/check") else super().usual(url)

    def get(self, url: str, headers: Any = (), *, at: str = "", unverified: bool = False) -> Answer:
        answer = super().get(url, dict(headers), at=at, unverified=unverified)
        failure = self.unreached.get(at)
        if failure is not None and not (unverified and failure.kind in CERTIFICATE):
            raise failure
        return self.by_headers if self.by_headers is not None and headers else answer


@pytest.fixture
def world(settings: Settings) -> Doors:
    return Doors(settings)


def found(settings: Settings, world: Doors) -> list[Finding]:
    return list(apps.doors(settings, world))


def only(settings: Settings, world: Doors) -> Finding:
    (finding,) = found(settings, world)
    return finding


def test_a_door_is_tried_three_times_and_a_shut_one_is_one_line(settings: Settings, world: Doors) -> None:
    tried = f"{WIKI} without a cookie, with forged identity headers, at /auth/check"
    assert only(settings, world).lines() == [f"ok    {tried}: refused by the sign-in gate"]
    asked = [(url, headers) for url, headers, *_ in world.asked[1:]]
    assert [url for url, _ in asked] == [f"{WIKI}/", f"{WIKI}/", CHECK]
    assert {*NAMES, "X-User-Auth", "Remote-User"} <= set(asked[1][1])
    assert all("cookie" not in name.lower() for _, headers in asked for name in headers)


def test_a_redirect_to_our_sign_in_page_is_a_refusal(settings: Settings, world: Doors) -> None:
    for url in (f"{WIKI}/", CHECK):
        world.answers[url] = world.answer(302, b"", location=f"{BASE}/login?return_to=x")
    assert only(settings, world).verdict == "ok"


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        ({"status": 200, "body": b"<html>the wiki"}, "doesn't import atproto"),
        ({"status": 200, "body": b""}, "Caddy has no site for this host"),
        ({"status": 200, "body": b"", "via": "1.1 Caddy"}, "doesn't import atproto"),
        ({"status": 204, "body": b""}, "doesn't import atproto"),
        ({"status": 404, "body": b"<html>not in the wiki"}, "doesn't import atproto"),
        ({"status": 302, "location": "/login"}, "doesn't import atproto"),
        ({"status": 302, "location": f"{BASE}/login.evil"}, "doesn't import atproto"),
        ({"status": 302, "location": f"{BASE}/"}, "doesn't import atproto"),
        ({"status": 200, "location": f"{BASE}/login"}, "doesn't import atproto"),
        ({"status": 401, "body": b"password, please"}, "doesn't import atproto"),
        ({"status": 401, "body": b"[" * 100_000}, "doesn't import atproto"),
        ({"status": 401, "body": b'["sign_in_required"]'}, "doesn't import atproto"),
        ({"status": 403, "body": b'{"error": "forbidden_by_the_app"}'}, "doesn't import atproto"),
        ({"status": 500, "body": b"a traceback of the app"}, "doesn't import atproto"),
        ({"status": 502, "body": b""}, "Caddy can't reach the sidecar"),
        ({"status": 401, "body": b'{"error": "sign_in_required"}'}, "another sidecar answers"),
        (
            {
                "status": 401,
                "body": b'{"error": "sign_in_required", "login_url": "https://evil.net/auth/login"}',
            },
            "another sidecar answers",
        ),
        ({"status": 400, "body": b'{"error": "missing_x_forwarded_uri"}'}, "visitors can ask the check"),
    ],
)
def test_anything_but_our_own_refusal_is_a_failure_with_its_cause(
    settings: Settings, world: Doors, answer: dict[str, Any], cause: str
) -> None:
    world.answers[f"{WIKI}/"] = world.answer(**answer)
    opened, shut = found(settings, world)
    assert opened.verdict == "FAIL"
    assert opened.tried == f"{WIKI} without a cookie, with forged identity headers"
    assert f"answers {answer['status']}" in opened.seen
    assert opened.remedy is not None
    assert cause in opened.remedy.cause
    assert shut.verdict == "ok"


def test_a_door_that_opens_to_forged_headers_only_is_a_failure(settings: Settings, world: Doors) -> None:
    world.by_headers = world.answer(200, b"hello, admin")
    shut, opened = found(settings, world)
    assert (shut.verdict, shut.tried) == ("ok", f"{WIKI} without a cookie, at /auth/check")
    assert (opened.verdict, opened.tried) == ("FAIL", f"{WIKI} with forged identity headers")


@pytest.mark.parametrize(
    ("status", "body", "verdict"),
    [
        (404, b"", "ok"),
        (404, b"<html>not in the wiki", "FAIL"),
        (200, b"", "FAIL"),
        (400, b'{"error": "missing_x_forwarded_uri"}', "FAIL"),
    ],
)
def test_the_check_itself_must_not_answer_on_an_apps_host(
    settings: Settings, world: Doors, status: int, body: bytes, verdict: str
) -> None:
    world.answers[CHECK] = world.answer(status, body)
    findings = found(settings, world)
    assert [each.verdict for each in findings if each.tried == f"{WIKI} at /auth/check"] == [verdict]


@pytest.mark.parametrize(
    ("code", "says"), [("unknown_host", "run sidecar reload"), ("untrusted_peer", "Caddy's address")]
)
def test_a_refusal_of_ours_that_keeps_everybody_out_is_a_warning(
    settings: Settings, world: Doors, code: str, says: str
) -> None:
    said = json.dumps({"error": code, "message": "…"}).encode()
    world.answers |= {f"{WIKI}/": world.answer(403, said), CHECK: world.answer(403, said)}
    finding = only(settings, world)
    assert finding.verdict == "warn"
    assert says in " ".join(finding.lines())


def test_the_app_of_the_public_host_is_knocked_at_too(tmp_path: Path) -> None:
    settings = init.init(tmp_path / "alone", init.Plan("https://auth.sidecar.internal", allow=["*"]))
    world = Doors(settings)
    assert only(settings, world).tried.startswith("https://auth.sidecar.internal without a cookie")
    world.answers["https://auth.sidecar.internal/"] = world.answer(200, b"the wiki")
    assert [each.verdict for each in found(settings, world)] == ["FAIL"]


def test_every_host_of_every_app_is_tried_and_any_name_under_a_domain(
    settings: Settings, world: Doors
) -> None:
    hosts = ("wiki.sidecar.internal", "x.sidecar.internal:8443", "*.tools.sidecar.internal")
    settings = replace(settings, apps={"a": App(hosts=hosts[:2]), "b": App(hosts=hosts[2:])})
    world.answers["https://x.sidecar.internal:8443/"] = world.answer(200, b"open")
    first, second, _, third = found(settings, world)
    assert [first.verdict, second.verdict, third.verdict] == ["ok", "FAIL", "ok"]
    assert second.tried.startswith("https://x.sidecar.internal:8443 ")
    label, _, rest = third.tried.removeprefix("https://").partition(".")
    assert rest.startswith("tools.sidecar.internal ")
    assert len(label) >= 8
    again = found(settings, world)[-1]
    assert again.tried != third.tried


# What can't be reached


@pytest.mark.parametrize("kind", [Kind.NO_ADDRESS, Kind.REFUSED, Kind.TIMEOUT, Kind.NO_CERTIFICATE])
def test_what_its_name_does_not_reach_is_asked_on_this_machine_by_the_same_name(
    settings: Settings, world: Doors, kind: Kind
) -> None:
    world.unreached[""] = NoAnswer(f"{WIKI}/", kind, "it isn't there")
    unreached, shut = found(settings, world)
    assert (unreached.verdict, unreached.seen) == ("warn", "it isn't there")
    assert unreached.remedy == world.unreached[""].remedy(ours=True)
    assert shut.tried.startswith(f"{WIKI} at 127.0.0.1 without a cookie, ")
    assert {(url, at) for url, _, at, _ in world.asked[1:]} == {
        (f"{WIKI}/", "127.0.0.1"),
        (CHECK, "127.0.0.1"),
    }


def test_a_door_open_on_this_machine_is_a_failure_though_its_name_leads_nowhere(
    settings: Settings, world: Doors
) -> None:
    world.unreached[""] = NoAnswer(f"{WIKI}/", Kind.NO_ADDRESS, "it isn't there")
    world.answers[f"{WIKI}/"] = world.answer(200, b"open")
    assert [each.verdict for each in found(settings, world)] == ["warn", "FAIL", "ok"]


def test_what_nothing_reaches_is_a_warning_for_each_way(settings: Settings, world: Doors) -> None:
    world.unreached[""] = NoAnswer(f"{WIKI}/", Kind.NO_ADDRESS, "it isn't there")
    world.unreached["127.0.0.1"] = NoAnswer(f"{WIKI}/", Kind.REFUSED, "the connection was refused")
    by_name, here = found(settings, world)
    assert (by_name.verdict, by_name.tried, by_name.seen) == ("warn", WIKI, "it isn't there")
    assert (here.verdict, here.tried, here.seen) == (
        "warn",
        f"{WIKI} at 127.0.0.1",
        "the connection was refused",
    )


def test_a_made_up_name_that_dns_does_not_have_is_nothing_to_warn_of(
    settings: Settings, world: Doors
) -> None:
    settings = replace(settings, apps={"a": App(hosts=("*.sidecar.internal",))})
    world.unreached[""] = NoAnswer("https://x/", Kind.NO_ADDRESS, "it isn't there")
    assert [each.verdict for each in found(settings, world)] == ["ok"]
    world.unreached["127.0.0.1"] = NoAnswer("https://x/", Kind.REFUSED, "refused")
    assert [each.verdict for each in found(settings, world)] == ["warn"]


@pytest.mark.parametrize("kind", sorted(CERTIFICATE, key=str))
def test_a_bad_certificate_is_a_warning_and_hides_no_open_door(
    settings: Settings, world: Doors, kind: Kind
) -> None:
    world.unreached[""] = NoAnswer(f"{WIKI}/", kind, "the certificate isn't accepted")
    warning, shut = found(settings, world)
    assert (warning.verdict, warning.seen, shut.verdict) == ("warn", "the certificate isn't accepted", "ok")
    world.answers[f"{WIKI}/"] = world.answer(200, b"open")
    assert [each.verdict for each in found(settings, world)] == ["warn", "FAIL", "ok"]


def test_a_door_that_stops_answering_is_a_warning(settings: Settings, world: Doors) -> None:
    world.answers[CHECK] = NoAnswer(CHECK, Kind.TIMEOUT, "no answer in 10 seconds")
    assert [each.verdict for each in found(settings, world)] == ["ok", "warn"]


def test_a_loopback_deployment_is_not_asked_twice(settings: Settings, world: Doors) -> None:
    settings = replace(
        settings, public_url="http://127.0.0.1:8080", apps={"a": App(hosts=("127.0.0.1:8080",))}
    )
    world.base = "http://127.0.0.1:8080/auth"
    world.unreached = {at: NoAnswer("x", Kind.REFUSED, "refused") for at in ("", "127.0.0.1")}
    assert only(settings, world).seen == "refused"
