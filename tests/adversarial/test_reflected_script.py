"""Script in every field that any page shows stays text: in every template, and through the whole app."""

from collections.abc import Mapping
from urllib.parse import quote

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar import settings as configuration
from sidecar.replies.pages import Pages
from sidecar.replies.reply import Reply
from sidecar.replies.words import Explanation
from sidecar.settings import Settings
from sidecar.settings.values import Provider
from tests.fakes.browser import NAVIGATION
from tests.fakes.pages import SAMPLES, SLOTS, Outline, show
from tests.fakes.world import BOARD, PUBLIC, WIKI, World

PAGES = Pages(Settings(public_url="https://auth.club.net"))
ATTACKS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' autofocus onfocus='alert(1)",
    "</title></style></textarea><svg/onload=alert(1)>",
    "--><!--<b>]]><?php",
    "{{ 7 * 7 }}{% raw %}",
    "&lt;script&gt;&#60;b&#62;&quot;",
    "`${alert(1)}`\r\n\r\n<b>",
]


def paths(context: Mapping[str, object]) -> list[tuple[str, str]]:
    """Every text of a context: its name, and the name within it."""
    found: list[tuple[str, str]] = []
    for name, value in context.items():
        if isinstance(value, str):
            found.append((name, ""))
        elif isinstance(value, Explanation):
            found += [(name, part) for part in ("code", "title", "message")]
        elif hasattr(value, "handle"):
            found += [(name, "handle"), (name, "did")]
    return found


def planted(context: Mapping[str, object], name: str, part: str, attack: str) -> dict[str, object]:
    """The context with the attack in one place."""
    value = context[name]
    if isinstance(value, Explanation):
        return {**context, name: Explanation(**{**value._asdict(), part: attack})}
    if part:
        return {**context, name: type(value)(**{**vars(value), part: attack})}
    return {**context, name: attack}


FIELDS = [(page, name, part) for page, context in (SAMPLES | SLOTS).items() for name, part in paths(context)]


def test_every_page_has_fields_to_attack() -> None:
    assert len(FIELDS) >= 30
    assert {page for page, _, _ in FIELDS} == (SAMPLES.keys() | SLOTS.keys()) - {"signed_out"}


@pytest.mark.parametrize(("page", "name", "part"), FIELDS)
def test_script_in_a_field_of_a_page_stays_text(page: str, name: str, part: str) -> None:
    context = (SAMPLES | SLOTS)[page]
    calm = Outline(show(PAGES, page, context))
    for attack in ATTACKS:
        assert Outline(show(PAGES, page, planted(context, name, part, attack))).shape == calm.shape


@given(st.sampled_from(FIELDS), st.text(st.characters(codec="utf-8"), max_size=200))
@settings(max_examples=300, deadline=None)
def test_no_text_at_all_in_any_field_changes_the_markup(field: tuple[str, str, str], text: str) -> None:
    page, name, part = field
    context = (SAMPLES | SLOTS)[page]
    # an empty field may leave its element out
    shape = Outline(show(PAGES, page, planted(context, name, part, "x" + text))).shape
    assert shape == Outline(show(PAGES, page, planted(context, name, part, "x"))).shape


def test_the_operators_own_words_are_escaped_too() -> None:
    attack = ATTACKS[1]
    own = configuration.Pages(title=attack, providers=(Provider(attack, "https://a.net"),))
    attacked = Pages(Settings(public_url="https://auth.club.net", pages=own))
    for page, context in (SAMPLES | SLOTS).items():
        assert Outline(show(attacked, page, context)).shape == Outline(show(PAGES, page, context)).shape


# through the app


def clean(answer: httpx.Response) -> None:
    """Markup is ours alone, and so is every address on the page."""
    reply = Reply(answer.status_code, answer.headers.raw, answer.content)
    if not answer.headers.get("content-type", "").startswith("text/html"):
        return
    outline = Outline(reply)
    assert outline.all("script", "img", "svg", "iframe") == []
    for _, attributes in outline.elements:
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("href", "action", "formaction", "src"):
            assert (attributes.get(name) or "https:").startswith(("https:", "data:,"))
    assert "default-src 'none'" in answer.headers["content-security-policy"]


SCRIPTS = [*ATTACKS[:4], "javascript:alert(1)", "data:text/html,<script>alert(1)</script>"]


@pytest.mark.parametrize("attack", SCRIPTS)
async def test_script_in_an_address_or_a_form_of_ours_stays_text(world: World, attack: str) -> None:
    browser = world.browser()
    text = quote(attack, safe="")
    for path in (
        f"login?return_to={text}&switch={text}&shortened={text}",
        f"login?return_to={quote(f'{WIKI}/{attack}', safe='')}",
        f"callback?state={text}&code={text}&iss={text}",
        f"callback?error={text}&error_description={text}&state={text}",
        f"{text}",
        f"logout?{text}={text}",
    ):
        clean(await browser.open(f"{PUBLIC}/auth/{path}"))
    for field in ("identifier", "return_to", "switch", "prompt"):
        answer = await world.depart(browser, **{"identifier": "nobody.pds.net", field: attack})
        assert answer.headers["content-type"].startswith("text/html")
        clean(answer)
    clean(await browser.submit("/login", {attack: attack}))
    clean(await browser.submit("/login", {"identifier": "a"}, origin=attack.replace("\r\n", "")))


@pytest.mark.parametrize("attack", [each for each in SCRIPTS if "\n" not in each])
async def test_script_in_what_the_check_is_told_stays_text(world: World, attack: str) -> None:
    browser = world.browser()
    await world.sign_in(browser, world.bob)
    address = quote(attack, safe="<>\"'=/()")
    refused = await browser.check(f"{BOARD}/{address}", headers=NAVIGATION)
    assert refused.status_code == 403
    clean(refused)
    stranger = await world.browser().check(f"{WIKI}/{address}", "POST", headers=NAVIGATION)
    assert stranger.status_code == 401
    clean(stranger)
    told = {**NAVIGATION, "x-forwarded-host": "wiki.club.net", "x-forwarded-uri": "/"}
    told |= {"x-forwarded-method": "GET", "x-forwarded-proto": "https"}
    for name in told:
        headers = [(key.encode(), value.encode()) for key, value in {**told, name: attack}.items()]
        reply = world.sidecar.gate.check.answer(headers)
        assert reply.status in (302, 400, 401, 403)
        clean(httpx.Response(reply.status, headers=reply.headers, content=reply.body))
