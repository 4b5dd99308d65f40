"""`python -m bench [--quick | --end-to-end] [--only PART …]`: measure, print progress, write bench/results/.

Exit codes: 0 measured, whatever the verdicts; 1 something could not be measured, or an answer was wrong; 2
a tool is missing."""

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from bench import machine, peers, report, tools
from bench.plan import END_TO_END, FULL, QUICK, Bench, Plan
from bench.results import Section
from bench.scenarios import growth, neighbours, one_check, process, sign_in, through_caddy

_RESULTS = Path(__file__).with_name("results")
_GRACE = 15.0  # seconds over the plan's limit before a run is broken off

# Each part, and its share of the time.
_PARTS: dict[str, tuple[Callable[[Bench], Section], float]] = {
    "one-check": (one_check.measure, 0.31),
    "through-caddy": (through_caddy.measure, 0.16),
    "growth": (growth.measure, 0.24),
    "neighbours": (neighbours.measure, 0.16),
    "process": (process.measure, 0.10),
    "sign-in": (sign_in.measure, 0.03),
}


def main(argv: Sequence[str] | None = None) -> int:
    """One run; the exit code."""
    arguments = _arguments(argv)
    plan = END_TO_END if arguments.end_to_end else QUICK if arguments.quick else FULL
    parts = arguments.only or (["through-caddy"] if arguments.end_to_end else list(_PARTS))
    try:
        tools.provide(_tell)
        tools.install_sidecar(_tell)
    except tools.MissingToolError as error:
        _tell(str(error))
        return 2
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGALRM, _too_late)
    signal.alarm(int(plan.limit + _GRACE))
    begun = time.monotonic()
    sections, faults = _measure(plan, parts)
    seconds = time.monotonic() - begun
    taken = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    found = report.Report(plan.name, taken, seconds, machine.describe(), sections, faults)
    for path in report.write(found, _RESULTS):
        _tell(f"wrote {path}")
    _tell("\n" + report.bars_table(sections))
    for fault in faults:
        _tell(f"FAILED {fault}")
    return 1 if faults else 0


def _measure(plan: Plan, parts: Sequence[str]) -> tuple[list[Section], list[str]]:
    """The sections, and what went wrong; a part that fails takes no other with it, unless time is up."""
    sections: list[Section] = []
    faults: list[str] = []
    begun, shares = time.monotonic(), 0.0
    total = sum(_PARTS[name][1] for name in parts)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        for name in parts:
            measure, share = _PARTS[name]
            shares += share / total
            bench = Bench(plan, peers.load(), Path(folder), _teller(name), begun + shares * plan.limit)
            bench.tell("begins")
            try:
                sections.append(measure(bench))
            except _TooLateError:
                faults.append(f"{name}: broken off, the time was up")
                break
            except Exception as error:  # noqa: BLE001 # reported, and the exit code says so
                faults.append(f"{name}: {type(error).__name__}: {error}")
    return sections, faults


class _TooLateError(Exception):
    pass


def _too_late(_signal: int, _frame: FrameType | None) -> None:
    raise _TooLateError


def _end(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(1)


def _teller(part: str) -> Callable[[str], None]:
    return lambda text: _tell(f"{part}: {text}")


def _tell(text: str) -> None:
    print(text, flush=True)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="What a check costs, side by side.")
    how_much = parser.add_mutually_exclusive_group()
    how_much.add_argument("--quick", action="store_true", help="under two minutes, to see that it works")
    how_much.add_argument(
        "--end-to-end", action="store_true", help="the way through Caddy alone, in many rounds: 40 minutes"
    )
    parser.add_argument("--only", nargs="+", choices=list(_PARTS), help="these parts only")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
