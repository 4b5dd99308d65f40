"""The examination: every check in its order, and the report.

Owns: the list of the checks, what the report says of a check that can't go on, and the last line.
Doesn't belong here: the checks (machine.py, public_host.py, apps.py, services.py), how the world is asked
(probes.py).
"""

import json
from collections.abc import Callable, Sequence
from typing import NamedTuple

from sidecar.commands.doctor import apps, caddy_sites, machine, public_host, services
from sidecar.commands.doctor.findings import Finding, Findings, Remedy, Trouble
from sidecar.commands.doctor.no_answer import NoAnswer
from sidecar.commands.doctor.probes import Outside
from sidecar.errors import SidecarError
from sidecar.settings import Settings


class Check(NamedTuple):
    """`subject`: what a check looks at. `remedy`: for a failure that no other words explain."""

    subject: str
    findings: Callable[[Settings, Outside], Findings]
    remedy: Remedy


_RUN_AS = Remedy(
    "the user that runs the doctor may not read or write there",
    "run the doctor as root, or as the user that runs the sidecar",
)
_NOT_OURS = Remedy(
    "not the sidecar answers there",
    "start Caddy and the sidecar, and import atproto-pages at the public host",
)

CHECKS = (
    Check("configuration", machine.configuration, Remedy("a setting", "run sidecar check-config")),
    Check("files", machine.private_files, _RUN_AS),
    Check(
        "store",
        machine.store,
        Remedy(
            "the file isn't a database of ours, or is damaged, or may not be opened",
            "run the doctor as root, or as the user that runs the sidecar; if that fails too, move the file "
            "away: the next start makes a new one, and everybody signs in again",
        ),
    ),
    Check("Caddy", machine.caddy_version, Remedy("the command hangs or is broken", "run: caddy version")),
    Check(
        "Caddy's sites",
        caddy_sites.sites,
        Remedy("what answers at Caddy's admin address isn't Caddy", "see what listens on port 2019"),
    ),
    Check("trust store", machine.trust_store, _RUN_AS),
    Check("public address", public_host.address, _NOT_OURS),
    Check("client metadata", public_host.client_metadata, _NOT_OURS),
    Check("sign-in gate", public_host.gate, _NOT_OURS),
    Check("apps", apps.doors, _NOT_OURS),
    Check("clock", services.clocks, Remedy("a clock is wrong", "see: timedatectl")),
    Check(
        "PLC directory",
        services.plc,
        Remedy("identity.plc_url doesn't name a PLC directory", "correct identity.plc_url"),
    ),
    Check(
        "own server",
        services.private_servers,
        Remedy("identity.private_servers names no PDS", "correct identity.private_servers"),
    ),
    Check(
        "DNS",
        services.dns,
        Remedy(
            "the DNS servers don't answer this machine",
            "set identity.nameservers to servers that do, or set identity.handle_resolver",
        ),
    ),
)


def examine(
    settings: Settings,
    say: Callable[[str], object],
    outside: Outside | None = None,
    *,
    as_json: bool = False,
) -> bool:
    """Run every check, report line by line or as one JSON document, and return whether nothing failed."""
    world = outside or Outside()
    found: list[Finding] = []
    for check in CHECKS:
        for finding in _findings(check, settings, world):
            found.append(finding)
            for line in () if as_json else finding.lines():
                say(line)
    if as_json:
        say(json.dumps({"findings": [each.document() for each in found], "next": _first(found)}, indent=2))
    else:
        say(f"Next: {_first(found)}")
    return not any(each.verdict == "FAIL" for each in found)


def _first(found: Sequence[Finding]) -> str:
    """What to do first: about a failure before a warning, and in the order of the checks."""
    for verdict, rest in (
        ("FAIL", "failure(s); then run sidecar doctor again"),
        ("warn", "warning(s); nothing has failed"),
    ):
        wrong = [each for each in found if each.verdict == verdict]
        if wrong and wrong[0].remedy is not None:
            return f"{wrong[0].remedy.fix}. In all {len(wrong)} {rest}"
    return "nothing, it works"


def _findings(check: Check, settings: Settings, world: Outside) -> Findings:
    try:
        yield from check.findings(settings, world)
    except Trouble as error:
        yield Finding("FAIL", check.subject, error.seen, error.remedy)
    except NoAnswer as error:
        ours = error.url.startswith(settings.public_url)
        yield Finding("FAIL", f"{check.subject}, {error.url}", str(error), error.remedy(ours=ours))
    except (OSError, ValueError, TypeError, SidecarError) as error:
        yield Finding("FAIL", check.subject, str(error), check.remedy)
