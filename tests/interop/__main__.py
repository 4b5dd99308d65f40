"""`make interop`: sign in at every server that can be started here, and write docs/interop.md.

With --pds it signs in at a running server instead, and changes that server's line alone. See docs/interop.md.
"""

import argparse
import asyncio
import datetime as dt
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from sidecar import __version__
from tests.interop import by_hand, local, report, servers, trials
from tests.interop.by_hand import Wanted
from tests.interop.report import Report, Row
from tests.interop.trials import Visitor
from tests.lab import demo, node
from tests.lab.browser import chromium
from tests.lab.child import ChildFailedError, program
from tests.lab.ports import taken

ARTIFACTS = node.ROOT / "artifacts" / "interop"


async def here(chosen: Sequence[servers.Server]) -> list[Row]:
    """A row for each server, all of them started on this machine."""
    shutil.rmtree(ARTIFACTS, ignore_errors=True)
    say(f"Starting {len(chosen)} servers …")
    async with local.running(ARTIFACTS, chosen) as lab, chromium(lab.names) as browser:
        visitor = Visitor(browser, lab.site)
        found = []
        for subject in lab.subjects:
            found.append((*await trials.identifiers(visitor, subject), await trials.nonces(visitor, subject)))
            say(f"{subject.url}: {'; '.join(found[-1])}")
        say("Changing the client's key. Servers take up to 10 minutes to see it …")
        keys = await trials.keys(visitor, lab.client, lab.subjects, say=say)
    return [
        Row(servers.NAME, server.version, today(), *results, key.result, trials.in_words(key.taken_after))
        for server, results, key in zip(chosen, found, keys, strict=True)
    ]


async def there(wanted: Wanted) -> Row:
    """The row of a server that runs already."""
    async with (
        by_hand.running(ARTIFACTS / "by-hand", wanted) as found,
        chromium(alone=False, headless=not wanted.show) as browser,
    ):
        results = await by_hand.results(Visitor(browser, found.site), wanted, found.client)
    name, version = wanted.name or wanted.pds.partition("://")[2], await by_hand.version(wanted)
    return Row(name, version, today(), *results)


def programs() -> str:
    """What a run uses, with versions."""
    chrome = subprocess.run(["chromium", "--version"], capture_output=True, text=True, check=False)
    caddy = subprocess.run([program("caddy"), "version"], capture_output=True, text=True, check=True)
    run_by = subprocess.run([node.NODE, "--version"], capture_output=True, text=True, check=True)
    words = [
        f"atproto-sidecar {__version__}",
        f"Caddy {caddy.stdout.split()[0]}",
        f"Node {run_by.stdout.strip()}",
        " ".join(chrome.stdout.split()[:2]) or "Chromium",
    ]
    return ", ".join(words)


def today() -> str:
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%d")


def say(text: str) -> None:
    print(text, flush=True)


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.interop", description=__doc__)
    parser.add_argument("--pds", metavar="URL", help="a running server, as https://pds.example.net")
    parser.add_argument("--handle", help="an account there; its password is in $INTEROP_PASSWORD")
    parser.add_argument(
        "--public-url", default="", metavar="URL", help="our own public name: tries keys, too"
    )
    parser.add_argument("--restart", metavar="COMMAND", help="restarts the server, so that its nonces change")
    parser.add_argument("--name", default="", help="what the table calls the server")
    parser.add_argument("--version", default="", help="what the table says of its version")
    parser.add_argument(
        "--show", action="store_true", help="show the browser, so that you can click yourself"
    )
    parser.add_argument(
        "--only", metavar="VERSION", action="append", help="only these releases; writes no page"
    )
    parser.add_argument("--page", type=Path, default=report.PAGE, metavar="FILE", help="where to write")
    found = parser.parse_args(argv)
    if bool(found.pds) != bool(found.handle):
        parser.error("--pds and --handle belong together")
    if found.pds and not os.environ.get("INTEROP_PASSWORD"):
        parser.error("put the account's password into the environment as INTEROP_PASSWORD")
    return found


def main() -> int:
    chosen = arguments()
    if chosen.pds and (used := [f"{port} ({what})" for port, what in demo.PORTS.items() if taken(port)]):
        print(f"In use, and needed: port {', '.join(used)}. Stop what listens there.", file=sys.stderr)
        return 1
    started = time.monotonic()
    try:
        rows = try_all(chosen)
    except ChildFailedError as failure:
        print(failure, file=sys.stderr)
        return 1
    say(f"Done in {time.monotonic() - started:.0f} s. Logs are in {ARTIFACTS.relative_to(node.ROOT)}/.")
    for row in rows:
        say(f"{row.server} {row.version}: {row}")
    return 1 if any(row.faulty for row in rows) else 0


def try_all(chosen: argparse.Namespace) -> list[Row]:
    """Try what was asked for, and write the page."""
    if chosen.pds:
        wanted = Wanted(
            chosen.pds, chosen.handle, os.environ["INTEROP_PASSWORD"],
            restart=chosen.restart, name=chosen.name, version=chosen.version, show=chosen.show,
            public_url=chosen.public_url,
        )  # fmt: skip
        rows = [asyncio.run(there(wanted))]
        page = report.read(chosen.page.read_text("utf-8"))
        report.write(page.with_row(rows[0]), chosen.page)
        return rows
    servers.install()
    all_of_them = servers.pinned()
    rows = asyncio.run(
        here([each for each in all_of_them if each.version in (chosen.only or [each.version])])
    )
    if not chosen.only:
        old = report.read(chosen.page.read_text("utf-8")).rows if chosen.page.exists() else []
        others = [row for row in old if row.server != servers.NAME]
        report.write(Report(programs(), [*rows, *others]), chosen.page)
    return rows


if __name__ == "__main__":
    sys.exit(main())
