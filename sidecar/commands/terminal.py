"""What all commands share: the configuration that they mean, exit codes, how they speak.

Owns: which file is read, what is printed where. stdout has only what other programs may read.
Doesn't belong here: the commands.
"""

import argparse
import os
import sys
from pathlib import Path

from sidecar.errors import ConfigError
from sidecar.settings import Settings

OK, FAILED, FAULTY_CONFIG = 0, 1, 78  # 2 is argparse's; 78 is EX_CONFIG of sysexits.h

CANDIDATES = (Path("sidecar.toml"), Path("/etc/sidecar/sidecar.toml"))


def config_path(named: Path | None) -> Path | None:
    """The file to read: the named one, else $SIDECAR_CONFIG, else a usual one that exists, or None."""
    if named is None and os.environ.get("SIDECAR_CONFIG"):
        named = Path(os.environ["SIDECAR_CONFIG"])
    return named or next((path for path in CANDIDATES if path.exists()), None)


def load(arguments: argparse.Namespace) -> tuple[Path | None, Settings]:
    from sidecar.config_file import names, reader  # noqa: PLC0415 - only when needed

    path = config_path(arguments.config)
    try:
        return path, reader.load(path, os.environ)
    except ConfigError as error:
        if path is None and names.variable("", "public_url") not in os.environ:
            looked = " and ".join(str(each.absolute()) for each in CANDIDATES)
            text = f"no configuration file: {looked} don't exist; name one with --config, or write one with"
            raise ConfigError([f"{text} `sidecar init`", *error.faults]) from error
        raise


def advice(settings: Settings) -> list[str]:
    from sidecar.config_file import reader  # noqa: PLC0415 - only when needed

    warnings = [f"warning: {line}" for line in reader.warnings(settings)]
    return [*warnings, *(f"note: {line}" for line in reader.notes(settings))]


def say(*lines: str) -> None:
    """Print for people, on stderr. stdout has only what other programs read."""
    for line in lines:
        print(line, file=sys.stderr)


def complain(*lines: str) -> None:
    say(*(f"sidecar: {line}" for line in lines))
