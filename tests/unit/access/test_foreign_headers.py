"""The list of headers that no client may send: what it matches, and that the docs publish it as it is."""

import re
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.access.foreign_headers import IDENTITY, ROUTING, STRIPPED, is_stripped
from sidecar.access.identity_headers import MARK, NAMES

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    "name",
    [
        *("Remote-User", "Remote-Groups", "X-Remote-User", "X-WEBAUTH-USER", "X-Forwarded-User"),
        *("X-Auth-Request-Groups", "X-Otterwiki-Permissions", "X-Authentik-Username", "X-Token-Subject"),
        *("X-Original-URL", "X-Rewrite-URL", "X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method"),
    ],
)
def test_what_apps_are_known_to_believe_is_stripped(name: str) -> None:
    assert is_stripped(name.lower().encode())


@pytest.mark.parametrize(
    "name",
    [
        *(MARK, *NAMES, "Cookie", "Authorization", "Host", "User-Agent", "X-Requested-With", "X-CSRF-Token"),
        *(
            "X-Forwarded-For",
            "X-Forwarded-Host",
            "X-Forwarded-Proto",
            "X-Forwarded-Uri",
            "X-Forwarded-Method",
        ),
        *(
            "X-User-Agent",
            "X-User-Id",
            "X-Auth-Token",
            "X-Api-Key",
            "Sec-Fetch-Mode",
            "X-HTTP-Methods",
            "Origin",
        ),
    ],
)
def test_what_apps_and_caddy_need_of_clients_is_not(name: str) -> None:
    assert not is_stripped(name.lower().encode())


@given(st.sampled_from(STRIPPED), st.from_regex(r"[a-z0-9-]{0,8}", fullmatch=True), st.booleans())
def test_a_name_is_stripped_if_caddy_would_strip_it(pattern: str, more: str, inside: bool) -> None:
    name = pattern.replace("*", more).lower() if inside else f"{more}{pattern.strip('*')}{more}".lower()
    assert is_stripped(name.encode()) == any(fnmatchcase(name, each.lower()) for each in STRIPPED)


def test_the_docs_publish_the_list_with_its_reasons() -> None:
    text = (ROOT / "docs" / "deployment.md").read_text("utf-8")
    table = text.partition("## What no client can send to the app")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([^`]+)` \| (.*) \|$", table, re.MULTILINE)
    assert dict(rows) == {**IDENTITY, **ROUTING}
