"""The doctor and Caddy's own configuration, as the real `caddy adapt` makes it."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from sidecar.commands import init
from sidecar.commands.doctor import caddy_sites
from sidecar.commands.doctor.findings import Finding
from sidecar.settings import App, Settings
from tests.lab.child import program

pytestmark = pytest.mark.e2e  # for the real Caddy

HOST = "wiki.sidecar.internal"
SETTINGS = Settings(
    public_url="https://auth.sidecar.internal",
    apps={"wiki": App(hosts=(HOST,), allow=("*",)), "tools": App(hosts=("*.tools.sidecar.internal",))},
)
SNIPPETS = init.caddyfile(SETTINGS).partition("https://auth")[0]
SITE = f"https://{HOST} {{\n\timport atproto 127.0.0.1:3000\n}}\n"
TOOLS = "https://*.tools.sidecar.internal {\n\timport atproto 127.0.0.1:4000\n}\n"


class World:
    def __init__(self, config: dict[str, Any] | None) -> None:
        self._config = config

    def caddy_config(self) -> dict[str, Any] | None:
        return self._config


def found(caddyfile: str, folder: Path) -> list[Finding]:
    file = folder / "Caddyfile"
    file.write_text(caddyfile)
    command = [str(program("caddy")), "adapt", "--adapter", "caddyfile", "--config", str(file)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    return list(caddy_sites.sites(SETTINGS, World(json.loads(ran.stdout))))  # type: ignore[arg-type] # enough of one


def test_sites_with_the_snippets_of_this_version_are_fine(tmp_path: Path) -> None:
    assert [each.verdict for each in found(SNIPPETS + SITE + TOOLS, tmp_path)] == ["ok", "ok"]


def test_the_sites_that_init_prints_are_fine(tmp_path: Path) -> None:
    assert [each.verdict for each in found(init.caddyfile(SETTINGS), tmp_path)] == ["ok", "ok"]


def test_a_site_that_caddy_does_not_have_is_a_warning(tmp_path: Path) -> None:
    assert [each.verdict for each in found(SNIPPETS + SITE, tmp_path)] == ["ok", "warn"]


@pytest.mark.parametrize(
    ("snippets", "site", "said"),
    [
        (SNIPPETS, SITE.replace("import atproto", "reverse_proxy"), "doesn't ask the sidecar's check"),
        (SNIPPETS, SITE.replace("\timport", "\trewrite * /x{uri}\n\timport"), "rewritten before the check"),
        (SNIPPETS, SITE.replace("\timport", "\turi strip_prefix /x\n\timport"), "rewritten before the check"),
        (SNIPPETS.replace("request_header -X-WEBAUTH-*", ""), SITE, "reach the app: X-WEBAUTH-*"),
        (SNIPPETS.replace("\timport atproto-strip\n", ""), SITE, "and 30 more"),
        (SNIPPETS.replace("request_header -X-User-Auth", ""), SITE, "own X-User-Auth isn't deleted"),
        (SNIPPETS.replace("\timport atproto-confirm\n", ""), SITE, "any answer with 2xx opens the app"),
        (SNIPPETS.replace("X-User-Handle Cookie", "X-User-Handle"), SITE, "gets the session cookie"),
        (SNIPPETS.replace("lb_try_duration 5s", ""), SITE, "a restart of the sidecar fails requests"),
    ],
)
def test_a_difference_is_named_with_what_to_do(tmp_path: Path, snippets: str, site: str, said: str) -> None:
    findings = found(snippets + site + TOOLS, tmp_path)
    wrong = [each for each in findings if each.verdict != "ok" and HOST in each.tried]
    assert [each for each in wrong if said in each.seen and each.remedy]


def test_without_an_admin_address_nothing_has_failed() -> None:
    (only,) = caddy_sites.sites(SETTINGS, World(None))  # type: ignore[arg-type]
    assert (only.verdict, "not looked at" in only.seen) == ("ok", True)
