"""What stands in two places: the code decides, and the snippets, the unit and the pages agree with it.

Elsewhere: the list of foreign headers (access/test_foreign_headers.py), the unit and `init`
(test_unit_file.py), settings and their reference (config_file/test_reader.py), variables of templates
(replies/test_pages.py), codes (test_troubleshooting.py), routes (test_names_in_docs.py).
"""

import ast
import inspect
import re
from datetime import timedelta
from pathlib import Path

import pytest

from sidecar.access.identity_headers import MARK, NAMES, SIGNED_IN
from sidecar.atproto import fetch
from sidecar.atproto.oauth import client, clock, dpop, keys, refusals
from sidecar.check import renewals
from sidecar.check.tally import Tally
from sidecar.commands import caddy, client_keys, init
from sidecar.config_file import advice
from sidecar.sessions import cookie_line, reverify
from sidecar.sessions.cookie import cookie_name
from sidecar.settings import IdentitySettings, Limits, Server, Session, Settings
from sidecar.signin import login, pending, redirect_loops

ROOT = Path(__file__).parents[2]
EXAMPLE = (ROOT / "Caddyfile.example").read_text("utf-8")
RENEWING = (ROOT / "config" / "Caddyfile.renew-on-any-request").read_text("utf-8")
NUMBERS = {3: "three", 4: "four", 5: "five", 15: "fifteen"}


def page(name: str) -> str:
    """With single spaces: a phrase may go over the end of a line."""
    return " ".join((ROOT / name).read_text("utf-8").split())


def snippet(name: str, text: str = EXAMPLE) -> str:
    return re.search(rf"^\({name}\) \{{\n(.*?)^\}}", text, re.MULTILINE | re.DOTALL)[1]  # type: ignore[index]


# --- identity headers and the mark


def test_caddy_copies_every_identity_header_and_the_mark() -> None:
    assert f"copy_headers {' '.join([MARK, *NAMES, 'Cookie'])}\n" in snippet("atproto-check")


def test_the_renewing_form_sets_every_identity_header_and_the_mark_in_gos_spelling() -> None:
    lines = [f"request_header {name} {{rp.header.{name.title()}}}" for name in (MARK, *NAMES)]
    assert re.findall(r"request_header X-\S+ \S+", snippet("atproto-renewing", RENEWING)) == lines


def test_the_mark_is_deleted_before_the_check_and_wanted_after_it() -> None:
    value = SIGNED_IN[1].decode()
    assert SIGNED_IN[0].decode() == MARK.lower()
    assert snippet("atproto-clean").startswith(f"\trequest_header -{MARK}\n")
    assert f"\t\theader {MARK} {value}\n\t\theader {NAMES[0]} did:*\n" in snippet("atproto-confirm")
    assert f" header {MARK} {value}\n" in snippet("atproto-private")


def test_no_identity_header_of_a_client_reaches_an_open_path() -> None:
    assert re.findall(r"request_header -(X-User-\S+)", snippet("atproto-open")) == list(NAMES)
    assert "import atproto-clean" in snippet("atproto-open")


def test_the_guide_says_which_headers_the_app_gets() -> None:
    table = (ROOT / "docs/deployment.md").read_text("utf-8").partition("## What the app gets\n")[2]
    rows = re.findall(r"^\| `([^`]+)` \| (.*) \|$", table.partition("\n## ")[0], re.MULTILINE)
    assert [name for name, _ in rows] == [*NAMES, MARK, "Cookie"]
    assert f"`{SIGNED_IN[1].decode()}`" in dict(rows)[MARK]
    assert "The first three are on every checked request" in page("docs/deployment.md")


@pytest.mark.parametrize("name", [path.name for path in (ROOT / "docs").glob("*.md")] + ["../README.md"])
def test_no_page_names_an_identity_header_that_is_not_sent(name: str) -> None:
    assert set(re.findall(r"X-User-[A-Za-z]+", page(f"docs/{name}"))) <= {MARK, *NAMES}


# --- cookies


def bases() -> set[str]:
    """What the code calls `cookie_name` with."""
    calls = (
        node
        for path in (ROOT / "sidecar").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "cookie_name"
    )
    return {ast.literal_eval(call.args[0]) for call in calls}


def spellings() -> list[str]:
    return [
        cookie_name(base, secure=secure, domain=domain)
        for base in sorted(bases())
        for secure, domain in ((False, ""), (True, ""), (True, "example.com"))
    ]


def test_every_cookie_of_ours_is_taken_out_by_the_check_and_on_open_paths() -> None:
    [(pattern, kept)] = re.findall(r'request_header Cookie "(.*)" "(.*)"', snippet("atproto-open"))
    assert len(bases()) > 4
    for name in spellings():
        line = f"a=1; {name}=secret; b=2"
        assert cookie_line.for_app([line.encode()]) == b"a=1; b=2"
        assert re.sub(pattern, kept.replace("$", "\\"), line) == "a=1; b=2"


def test_the_pages_name_the_beginning_of_our_cookies_as_it_is() -> None:
    assert all(base.startswith("sidecar_") for base in bases())
    assert "names that begin with `sidecar_`: those are ours" in page("docs/deployment.md")
    one, shared = (
        cookie_name("sidecar_x", secure=True),
        cookie_name("sidecar_x", secure=True, domain="a.example"),
    )
    text = page("docs/deployment.md")
    assert f"| one app | `{one.removesuffix('sidecar_x')}`: on that host only |" in text
    assert f"| `{shared.removesuffix('sidecar_x')}`: on all subdomains |" in text


# --- the prefix, the address, the socket


@pytest.mark.parametrize("text", [EXAMPLE, RENEWING], ids=["example", "renewing"])
def test_the_snippets_have_the_default_prefix_and_address(text: str) -> None:
    assert {*re.findall(r"\{\$SIDECAR_UPSTREAM:(.*?)\}", text)} == {Server().listen}
    asked = re.findall(r"^\t+(?:rewrite|uri) (\S+)\?", text, re.MULTILINE)
    assert asked == [Settings(public_url="https://a.example").prefix + "/check"]


def test_the_pages_of_the_sidecar_are_all_under_the_prefix_but_the_client_metadata() -> None:
    settings = Settings(public_url="https://a.example")
    matchers = dict(re.findall(r"^\t(@\S+) path (.*)$", snippet("atproto-pages"), re.MULTILINE))
    prefix, metadata = settings.prefix, settings.client_id_path
    assert matchers == {
        "@atproto-check": f"{prefix}/check {prefix}/check/*",
        "@atproto-pages": f"{prefix} {prefix}/* {{$SIDECAR_CLIENT_ID_PATH:{metadata}}}",
    }


def test_nothing_is_left_to_the_environment_in_the_snippets_that_init_prints(tmp_path: Path) -> None:
    for systemd in (False, True):
        plan = init.Plan("https://auth.sidecar.internal", systemd=systemd)
        settings = init.init(tmp_path / str(systemd), plan)
        printed = init.caddyfile(settings)
        assert "{$" not in printed
        assert Server().listen not in printed or not systemd


@pytest.mark.parametrize("name", ["docs/deployment.md", "config/Caddyfile.renew-on-any-request"])
def test_caddys_name_for_the_units_socket_is_the_units(tmp_path: Path, name: str) -> None:
    listen = init.init(tmp_path, init.Plan("https://auth.sidecar.internal", systemd=True)).server.listen
    assert set(re.findall(r"SIDECAR_UPSTREAM=([\w/.]+)", page(name))) == {listen.replace("unix:", "unix/")}


def test_the_pages_say_the_default_address_where_they_say_one() -> None:
    for name in ("docs/deployment.md", "README.md", "docs/configuration.md"):
        assert set(re.findall(r"127\.0\.0\.1:91\d\d", page(name))) <= {Server().listen}


# --- Caddy


def test_the_security_page_has_the_holes_that_the_doctor_names() -> None:
    rows = re.findall(r"^\| below (\S+) \| (.*) \|$", (ROOT / "SECURITY.md").read_text("utf-8"), re.MULTILINE)
    closed = {version: holes_closed_by(tuple(map(int, version.split(".")))) for version, _ in rows}
    assert all(len(found) == 1 for found in closed.values())
    assert len(rows) == len(caddy.holes((2, 0, 0)))
    for version, text in rows:
        assert re.findall(r"GHSA-[\w-]+", text) == re.findall(r"GHSA-[\w-]+", closed[version][0])


def holes_closed_by(version: tuple[int, ...]) -> list[str]:
    before = (*version[:-1], version[-1] - 1)
    return [each for each in caddy.holes(before) if each not in caddy.holes(version)]


def test_the_guide_says_when_a_stream_ends_as_the_snippet_has_it() -> None:
    hours = re.search(r"stream_timeout (\d+)h", snippet("atproto-app"))[1]  # type: ignore[index]
    assert f"end each WebSocket after {hours} hours (`stream_timeout` in `atproto-app`)" in page(
        "docs/deployment.md"
    )
    assert f"ends after `stream_timeout`, {hours} hours in the snippets" in page("docs/threat-model.md")
    assert f"WebSockets end after {hours} hours." in page("CHANGELOG.md")
    assert f"write {hours}h" in page("docs/deployment.md")


@pytest.mark.parametrize("text", [EXAMPLE, RENEWING], ids=["example", "renewing"])
def test_the_page_about_performance_names_the_connections_that_the_snippets_keep(text: str) -> None:
    [kept] = re.findall(r"keepalive_idle_conns_per_host \d+", text)
    assert f"`{kept}`" in page("docs/performance.md")


# --- limits and times


def minutes(seconds: float) -> int:
    assert seconds % 60 == 0
    return int(seconds) // 60


def days(seconds: float) -> int:
    return timedelta(seconds=seconds).days


IDENTITY, SESSION, WAIT = IdentitySettings(), Session(), client_keys.SEEN_AFTER
FOUND = minutes(pending.LIFETIME)
LIMITS = [
    ("docs/protocol.md", f"within {NUMBERS[FOUND]} minutes"),
    ("docs/library.md", f"Let it expire after {FOUND} minutes"),
    ("docs/library.md", f"for {FOUND} more minutes, for sign-ins that are under way"),
    ("docs/troubleshooting.md", f"longer than {FOUND} minutes"),
    ("sidecar/replies/words.py", f"within {NUMBERS[FOUND]} minutes"),
    ("docs/configuration.md", f"3. Wait {FOUND} minutes, until all sign-ins"),
    ("docs/configuration.md", f"2. Wait {WAIT['uri']}."),
    ("docs/configuration.md", f"wait {WAIT['inline'].replace('1 hour', 'an hour')} in step 2"),
    ("docs/deployment.md", f"first place after {WAIT['uri']} or more"),
    (
        "docs/protocol.md",
        f"are back-dated by {NUMBERS[clock.BACKDATED]} seconds and valid for less than a minute",
    ),
    ("docs/troubleshooting.md", f"differ by more than {NUMBERS[clock.BACKDATED]} seconds"),
    ("docs/protocol.md", f"back-date proofs by {NUMBERS[clock.BACKDATED]} seconds"),
    ("docs/protocol.md", f"forget nonces after {dpop.NONCE_LIFETIME:.0f} seconds"),
    ("docs/protocol.md", f"one visible line of {refusals.MAX_WORDS} characters"),
    ("docs/threat-model.md", f"one visible line of {refusals.MAX_WORDS} characters"),
    ("docs/library.md", f"gives up after {NUMBERS[int(client.REVOCATION_DEADLINE)]} seconds"),
    ("docs/threat-model.md", f"The third return within {redirect_loops.WINDOW} seconds"),
    ("docs/protocol.md", f"{days(SESSION.idle)} and {days(SESSION.absolute)} days by default"),
    ("docs/protocol.md", f"for {NUMBERS[reverify.AT_ONCE]} accounts at a time"),
    ("docs/protocol.md", f"documents of up to {fetch.LIMIT // 1024} kB"),
    ("docs/performance.md", f"for a cache of {Limits().cached_cookies:,}"),
    ("docs/performance.md", f"above Caddy's {minutes(advice.CADDY_IDLE)} minutes"),
    ("docs/configuration.md", f"above Caddy's {minutes(advice.CADDY_IDLE)} minutes"),
    ("docs/configuration.md", f"sign-in attempts in {minutes(login.WINDOW)} minutes per address"),
    ("docs/configuration.md", f"sign-in attempts in {minutes(login.WINDOW)} minutes per identifier"),
]


@pytest.mark.parametrize(("name", "phrase"), LIMITS)
def test_a_limit_is_said_as_it_is(name: str, phrase: str) -> None:
    assert phrase in page(name)


def test_what_the_pages_call_once_a_day_or_a_minute_is() -> None:
    """A day and a minute in words: "once a day", "within the last day", "one line a minute"."""
    assert days(SESSION.renew_after) == days(IDENTITY.handle_max_age) == days(IDENTITY.standing_max_age) == 1
    assert renewals.PAUSE == inspect.signature(Tally).parameters["interval"].default == 60
    assert clock.BACKDATED < keys.ASSERTION_LIFETIME <= 60
    assert redirect_loops.MOST == 3
