import base64
import hashlib
import re
from pathlib import Path
from typing import get_args

import pytest

from sidecar import settings as configuration
from sidecar.errors import ConfigError
from sidecar.replies.pages import VARIABLES, Pages, unused
from sidecar.replies.reply import Reply
from sidecar.replies.server_words import Action
from sidecar.settings import IdentitySettings, Settings
from sidecar.settings import Pages as PagesSettings
from sidecar.settings.values import Provider
from tests.fakes.pages import DID, LOGIN, SAMPLES, SLOTS, Outline, every_page, show

TEMPLATES = Path(__file__).parents[3] / "sidecar" / "replies" / "templates"
STYLE = (TEMPLATES / "style.css").read_text()
NAMES = [*SAMPLES, *SLOTS]


def pages(public_url: str = "https://auth.club.net", **own: object) -> Pages:
    return Pages(Settings(public_url=public_url, pages=configuration.Pages(**own)))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def shown() -> dict[str, Reply]:
    return every_page(pages())


def header(reply: Reply, name: str) -> str:
    values = [value.decode() for key, value in reply.headers if key == name.encode()]
    assert len(values) == 1, f"{name}: {values}"
    return values[0]


def directives(reply: Reply) -> dict[str, str]:
    policy = header(reply, "content-security-policy")
    return {name: value for name, _, value in (part.strip().partition(" ") for part in policy.split(";"))}


# markup


@pytest.mark.parametrize("name", NAMES)
def test_a_page_is_sound_html(shown: dict[str, Reply], name: str) -> None:
    outline = Outline(shown[name])
    assert shown[name].body.startswith(b"<!doctype html>")
    assert outline.all("html") == [{"lang": "en"}]
    assert [len(outline.all(tag)) for tag in ("title", "main", "h1", "style")] == [1, 1, 1, 1]
    assert outline.text("title")
    ids = [attributes["id"] for _, attributes in outline.elements if "id" in attributes]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("name", NAMES)
def test_a_page_runs_no_script_and_loads_nothing(shown: dict[str, Reply], name: str) -> None:
    outline = Outline(shown[name])
    assert outline.all("script", "img", "iframe", "object", "base") == []
    assert outline.all("link") == [{"rel": "icon", "href": "data:,"}]
    for _, attributes in outline.elements:
        assert "style" not in attributes, "the policy forbids it"
        assert not [key for key in attributes if key.startswith("on")]
    assert "url(" not in STYLE
    assert "@import" not in STYLE


@pytest.mark.parametrize("name", NAMES)
def test_every_control_has_a_name_and_is_reached_in_reading_order(shown: dict[str, Reply], name: str) -> None:
    outline = Outline(shown[name])
    labels = [attributes["for"] for attributes in outline.all("label")]
    visible = [each for each in outline.all("input") if each["type"] != "hidden"]
    assert [each["id"] for each in visible] == labels
    assert not [attributes for _, attributes in outline.elements if "tabindex" in attributes]
    assert len([each for each in outline.all("button") if each["type"] == "submit"]) == len(
        outline.all("button")
    )


@pytest.mark.parametrize("name", list(SLOTS))
def test_the_checks_pages_have_no_form_and_lead_to_the_sign_in_only(
    shown: dict[str, Reply], name: str
) -> None:
    outline = Outline(shown[name])
    assert outline.all("form", "input", "button") == []
    assert all(link == {"class": "button", "href": LOGIN, "target": "_top"} for link in outline.all("a"))


def test_the_sign_in_page_has_one_field_with_hints_for_keyboards_and_password_managers() -> None:
    fresh = {**SAMPLES["sign_in"], "switch": False, "shortened": False, "identifier": "", "explanation": None}
    outline = Outline(show(pages(), "sign_in", fresh))
    [field] = [each for each in outline.all("input") if each["type"] == "text"]
    assert field["name"] == "identifier"
    assert field["autocomplete"] == "username"
    assert (field["autocapitalize"], field["autocorrect"], field["spellcheck"]) == ("none", "off", "false")
    assert "autofocus" in field
    assert field["aria-describedby"] == "hint"
    assert "aria-invalid" not in field
    assert not [each for each in outline.all("div") if each.get("role") == "alert"]
    assert "switch" not in [each.get("name") for each in outline.all("input")]


def test_what_went_wrong_is_announced_and_what_was_typed_is_kept() -> None:
    sample = SAMPLES["sign_in"]
    retype = sample["explanation"]._replace(action="retype")  # type: ignore[attr-defined] # an Explanation
    outline = Outline(show(pages(), "sign_in", {**sample, "explanation": retype}))
    [field] = [each for each in outline.all("input") if each["type"] == "text"]
    assert field["value"] == "alice.club.net"
    assert field["aria-invalid"] == "true"
    assert field["aria-describedby"] == "problem hint"
    assert {"class": "alert", "role": "alert", "id": "problem"} in outline.all("div")
    assert outline.text("title").startswith("Error: Handle not found")


def test_a_field_is_not_marked_wrong_for_what_is_no_fault_of_it() -> None:
    sample = SAMPLES["sign_in"]
    later = sample["explanation"]._replace(action="try_again")  # type: ignore[attr-defined] # an Explanation
    outline = Outline(show(pages(), "sign_in", {**sample, "explanation": later}))
    [field] = [each for each in outline.all("input") if each["type"] == "text"]
    assert "aria-invalid" not in field
    assert field["aria-describedby"] == "problem hint"


def test_providers_and_the_sign_up_are_forms_of_their_own_that_keep_the_way_back() -> None:
    own = pages(providers=(Provider("Bluesky", "https://bsky.social"), Provider("Ours", "https://pds.net")))
    outline = Outline(show(own, "sign_in", SAMPLES["sign_in"]))
    fields = [(each["name"], each["value"]) for each in outline.all("input") if each["type"] == "hidden"]
    context = [("return_to", "https://wiki.club.net/a?b=1"), ("switch", "1")]
    assert fields == [
        *context,
        *context,
        ("identifier", "https://bsky.social"),
        *context,
        ("identifier", "https://pds.net"),
        *context,
        ("identifier", "https://bsky.social"),
        ("prompt", "create"),
    ]
    assert outline.all("form") == [
        {**each, "method": "post", "action": "https://auth.club.net/auth/login"}
        for each in outline.all("form")
    ]


def test_a_sign_in_page_without_providers_and_sign_up_offers_neither() -> None:
    outline = Outline(show(pages(providers=(), signup=""), "sign_in", SAMPLES["sign_in"]))
    assert len(outline.all("form")) == 1
    assert outline.text("button") == "Continue"


def test_the_profile_of_someone_without_a_handle_or_name_still_says_who_they_are() -> None:
    outline = Outline(show(pages(), "profile", {"did": DID, "handle": None, "display_name": ""}))
    assert outline.text("h1") == "Signed in"
    assert outline.text("code") == f"handle.invalid {DID}"


def test_signing_out_takes_a_form() -> None:
    for name in ("profile", "sign_out"):
        [form] = Outline(show(pages(), name, SAMPLES[name])).all("form")
        assert form == {"method": "post", "action": "https://auth.club.net/auth/logout"}
    assert "aren't signed in" in show(pages(), "sign_out", {"session": None}).body.decode()
    assert "own server" in show(pages(), "signed_out", {"recorded": True}).body.decode()


@pytest.mark.parametrize(
    ("action", "offers"),
    [
        ("try_again", [("Try again", LOGIN)]),
        ("start_again", [("Start again", LOGIN)]),
        ("other_account", [("Start again", LOGIN), ("Use another account", LOGIN + "&switch=1")]),
        ("home", [("Your account", "https://auth.club.net/auth/")]),
        ("none", []),
    ],
)
def test_an_error_page_offers_what_helps(action: str, offers: list[tuple[str, str]]) -> None:
    explanation = SAMPLES["error"]["explanation"]
    context = {**SAMPLES["error"], "explanation": explanation._replace(action=action)}  # type: ignore[attr-defined]
    outline = Outline(show(pages(), "error", context))
    texts = [text for element, text in outline.texts if element == "a"]
    assert list(zip(texts, [link["href"] for link in outline.all("a")], strict=True)) == offers


# headers


@pytest.mark.parametrize("name", NAMES)
def test_a_page_carries_the_security_headers(shown: dict[str, Reply], name: str) -> None:
    reply = shown[name]
    assert header(reply, "content-type") == "text/html; charset=utf-8"
    assert header(reply, "content-length") == str(len(reply.body))
    assert header(reply, "cache-control") == "no-store"
    assert header(reply, "x-content-type-options") == "nosniff"
    assert header(reply, "referrer-policy") == "same-origin"
    assert header(reply, "cross-origin-opener-policy") == "same-origin"
    assert "camera=()" in header(reply, "permissions-policy")
    policy = directives(reply)
    assert policy["default-src"] == "'none'"
    assert policy["base-uri"] == "'none'"
    assert "unsafe" not in header(reply, "content-security-policy")


@pytest.mark.parametrize("name", NAMES)
def test_the_policy_names_the_very_style_on_the_page(shown: dict[str, Reply], name: str) -> None:
    [style] = re.findall(rb"<style>(.*?)</style>", shown[name].body, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style).digest()).decode()
    assert directives(shown[name])["style-src"] == f"'sha256-{digest}'"


@pytest.mark.parametrize("name", list(SAMPLES))
def test_our_own_pages_are_framed_by_nobody(shown: dict[str, Reply], name: str) -> None:
    assert directives(shown[name])["frame-ancestors"] == "'none'"
    assert header(shown[name], "x-frame-options") == "DENY"


@pytest.mark.parametrize("name", list(SLOTS))
def test_the_checks_pages_show_in_the_apps_own_frames_and_send_no_form(
    shown: dict[str, Reply], name: str
) -> None:
    assert directives(shown[name])["frame-ancestors"] == "'self'"
    assert header(shown[name], "x-frame-options") == "SAMEORIGIN"
    assert directives(shown[name])["form-action"] == "'none'"


def test_forms_lead_to_https_only_and_in_development_to_loopback_too() -> None:
    development = IdentitySettings(development_servers=True)
    cases = [
        (Settings(public_url="https://auth.club.net"), "'self' https:"),
        (
            Settings(public_url="http://127.0.0.1:8080"),
            "'self' https: http://localhost:* http://127.0.0.1:*",
        ),
        (
            Settings(public_url="https://auth.club.test", identity=development),
            "'self' https: http://localhost:* http://127.0.0.1:*",
        ),
    ]
    for settings, forms in cases:
        reply = Pages(settings).page(200, "signed_out", recorded=True)
        assert directives(reply)["form-action"] == forms


def test_a_page_keeps_the_headers_it_is_given() -> None:
    reply = pages().page(429, "signed_out", [(b"retry-after", b"7")], recorded=True)
    assert reply.status == 429
    assert header(reply, "retry-after") == "7"
    prepared = pages().prepared("not_delivered", "host", "login_url")
    assert header(prepared.reply(401, [(b"x-a", b"b")], host="h", login_url="l"), "x-a") == "b"


# slots


def test_a_prepared_page_equals_the_one_rendered_at_once() -> None:
    for name, values in SLOTS.items():
        assert show(pages(), name, values).body == pages().page(200, name, (), **values).body


def test_a_slot_left_empty_is_a_fault_and_a_private_use_character_is_text() -> None:
    prepared = pages(title="\ue000 Club").prepared("not_delivered", "host", "login_url")
    with pytest.raises(KeyError, match="host"):
        prepared.reply(401, login_url=LOGIN)
    assert b"\xee\x80\x80host" in prepared.reply(401, host="\ue000host", login_url=LOGIN).body


# the operator's own templates


def test_the_operators_files_replace_ours_one_by_one(tmp_path: Path) -> None:
    (tmp_path / "style.css").write_bytes(b"h1 { color: red }\r\n")
    (tmp_path / "base.html").write_text(
        '{% extends "ours/base.html" %}{% block footer %}<footer>Our club</footer>{% endblock %}'
    )
    own = pages(templates=tmp_path)
    reply = own.page(200, "signed_out", recorded=True)
    assert b"<footer>Our club</footer>" in reply.body
    assert b"<h1>Signed out</h1>" in reply.body
    # browsers turn CRLF into LF before they hash
    digest = base64.b64encode(hashlib.sha256(b"h1 { color: red }\n").digest()).decode()
    assert directives(reply)["style-src"] == f"'sha256-{digest}'"


def test_the_operators_templates_escape_too(tmp_path: Path) -> None:
    (tmp_path / "profile.html").write_text("<p>{{ display_name }}</p>")
    context = {**SAMPLES["profile"], "display_name": "<b>"}
    assert show(pages(templates=tmp_path), "profile", context).body == b"<p>&lt;b&gt;</p>"


def test_all_faults_of_the_operators_templates_are_reported_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "error.html").write_text("{{ reqest_id }}{{ explanation.title }}{{ base_url }}")
    (tmp_path / "loop.html").write_text("{% if %}")
    (tmp_path / "profile.html").write_bytes(b"\xff")
    with pytest.raises(ConfigError) as raised:
        pages(templates=tmp_path)
    faults = raised.value.faults
    assert [fault.split(":")[1].split()[0] for fault in faults] == ["profile.html", "error.html", "loop.html"]
    assert "given no reqest_id" in faults[1]
    assert "or delete it to get ours back" in faults[2]


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("error.html", "{{ explanation.title }}\n{{ explanation.tittle }}"),
        ("error.html", '{% if explanation.action == "home" %}\n{{ 1 / 0 }}{% endif %}'),
        ("error.html", "{% if not request_id %}\n{{ base_url.at_all }}{% endif %}"),
        ("sign_in.html", "{% if not host and switch %}\n{{ explanation.title }}{% endif %}"),
        (
            "sign_in.html",
            '{% if explanation and explanation.action == "retype" %}\n{{ explanation.tittle }}{% endif %}',
        ),
        ("sign_out.html", "\n{{ session.handle }}"),
        ("forbidden.html", "\n{{ reason + 1 }}"),
        ("base.html", "\n{{ providers[99].name }}"),
    ],
)
def test_what_would_fail_once_a_page_is_shown_stops_the_start(tmp_path: Path, name: str, source: str) -> None:
    (tmp_path / name).write_text(source)
    with pytest.raises(ConfigError) as raised:
        pages(templates=tmp_path)
    [fault] = raised.value.faults
    assert fault.startswith(f"pages.templates: {name} line 2: ")
    assert fault.endswith("; fix it, or delete it to get ours back")


def test_a_fault_without_a_line_names_the_page(tmp_path: Path) -> None:
    (tmp_path / "loop.html").write_text("{{ host | nofilter }}")
    (tmp_path / "profile.html").write_text('{% include "none.html" %}')
    with pytest.raises(ConfigError) as raised:
        pages(templates=tmp_path)
    assert sorted(fault.split()[1] for fault in raised.value.faults) == ["loop.html", "profile.html"]


def test_a_style_that_is_no_text_is_one_fault_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "style.css").write_bytes(b"\xff")
    (tmp_path / "error.html").write_text("{% if %}")
    with pytest.raises(ConfigError) as raised:
        pages(templates=tmp_path)
    assert [fault.split()[1] for fault in raised.value.faults] == ["style.css", "error.html"]


def test_what_the_folder_has_and_no_page_shows_is_told(tmp_path: Path) -> None:
    for name in ("sign-in.html", "base.html", "used.html", "parts/also.html", ".git/config", "style.css"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "picture.png").write_bytes(b"\xff")
    (tmp_path / "loop.html").write_text("{% if %}")
    (tmp_path / "error.html").mkdir()
    (tmp_path / "sign_out.html").write_text('{% include "used.html" %}')
    (tmp_path / "used.html").write_text('{% import "parts/also.html" as also %}')
    assert unused(tmp_path) == ["error.html/", "picture.png", "sign-in.html"]
    (tmp_path / "signed_out.html").write_text("{% include title %}")
    assert unused(tmp_path) == []


def test_names_that_a_template_makes_itself_are_no_fault(tmp_path: Path) -> None:
    (tmp_path / "club.html").write_text(
        "{% macro one() %}one{% endmacro %}{% macro two() %}two{% endmacro %}"
    )
    (tmp_path / "signed_out.html").write_text(
        '{% extends "base.html" %}{% import "club.html" as club %}'
        '{% from "club.html" import one, two as second %}'
        "{% set three = 3 %}{% macro four() %}4{% endmacro %}"
        "{% block main %}{{ club.one() }}{{ one() }}{{ second() }}{{ three }}{{ four() }}"
        "{% for each in [5] %}{{ each }}{% endfor %}{% endblock %}"
    )
    reply = pages(templates=tmp_path).page(200, "signed_out", recorded=True)
    assert b"oneonetwo345" in reply.body


def test_no_page_needs_a_file_once_they_are_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "signed_out.html").write_text('{% extends "ours/signed_out.html" %}')
    made = Pages(Settings(public_url="https://auth.wiki.net", pages=PagesSettings(templates=tmp_path)))
    plain = Pages(Settings(public_url="https://auth.wiki.net"))

    def out_of_descriptors(*_: object, **__: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("io.open", out_of_descriptors)
    monkeypatch.setattr("builtins.open", out_of_descriptors)
    monkeypatch.setattr("os.open", out_of_descriptors)
    for pages in (made, plain):
        assert pages.page(200, "signed_out", recorded=True).status == 200
        assert pages.prepared("not_delivered", "host", "login_url").reply(502, host="a", login_url="b").body


def test_a_template_that_changes_a_slot_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "not_delivered.html").write_text("{{ host | upper }} {{ login_url }}")
    with pytest.raises(ConfigError, match=r"not_delivered\.html changes a slot"):
        pages(templates=tmp_path).prepared("not_delivered", "host", "login_url")


def test_a_variable_that_a_page_lacks_is_a_fault_not_a_blank() -> None:
    with pytest.raises(Exception, match="'recorded' is undefined"):
        pages().page(200, "signed_out")


def test_the_table_of_variables_is_what_the_templates_use(tmp_path: Path) -> None:
    for file in TEMPLATES.glob("*.html"):
        (tmp_path / file.name).write_text(file.read_text())
    pages(templates=tmp_path)  # ours pass the check that theirs must pass
    assert {file.stem for file in TEMPLATES.glob("*.html")} == set(VARIABLES)
    assert {name: set(context) for name, context in (SAMPLES | SLOTS).items()} == {
        name: set(given) for name, given in VARIABLES.items() if name != "base"
    }


def test_the_documentation_names_every_template_and_variable() -> None:
    text = (TEMPLATES.parents[2] / "docs" / "pages.md").read_text()
    for name, given in VARIABLES.items():
        [row] = [line for line in text.splitlines() if line.startswith(f"| `{name}.html` |")]
        assert set(re.findall(r"`(\w+)`", row)) >= given, name
    assert set(re.findall(r"`(\w+)`", text)) >= set(get_args(Action))


# the look


def test_the_style_is_small() -> None:
    assert len(STYLE) < 6_000


def luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.2."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_contrast_is_measured_as_wcag_says() -> None:
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_edges_stand_out_as_wcag_aa_asks(scheme: str) -> None:
    light, dark = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", light if scheme == "light" else dark))
    text = """text/card text/ground text/press text/alert-ground quiet/card quiet/ground quiet/alert-ground
        accent/card hover/card on-accent/accent on-accent/hover alert/alert-ground"""
    edges = "line/card accent/card accent/ground alert/card"
    for pairs, least in ((text, 4.5), (edges, 3.0)):
        for pair in pairs.split():
            over, under = pair.split("/")
            ratio = contrast(colours[over], colours[under])
            assert ratio >= least, f"{pair} in {scheme}: {ratio:.2f}"


def test_the_style_minds_motion_forced_colours_and_focus() -> None:
    for words in (
        "prefers-reduced-motion: reduce",
        "forced-colors: active",
        ":focus-visible",
        "color-scheme: light dark",
    ):
        assert words in STYLE
    assert "outline: none" not in STYLE
