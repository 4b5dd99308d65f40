"""All that a service is given: the settings, and what is in the files that they name.

Owns: reading it in one go, so that every worker gets the same, and so that none reads a file by itself.
Doesn't belong here: the parts of it (reader.py for settings and secrets, atproto/oauth/keys.py,
replies/pages.py).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from sidecar.config_file import reader
from sidecar.errors import ConfigError
from sidecar.settings import Settings


class Contents(NamedTuple):
    """`keys`: the text of `client.keys_file`, "" on loopback. `templates`: from `read_templates`."""

    keys: str
    templates: Mapping[str, tuple[str, str]]


class Inputs(NamedTuple):
    """One set. It goes to the workers as it is."""

    settings: Settings
    contents: Contents


def read(path: Path | None, environ: Mapping[str, str], *, made_up: tuple[str, ...] = ()) -> Inputs:
    """Everything, from the file and the environment. Raises ConfigError with every fault.

    `made_up`: the cookie secrets of this run, if the configuration names none.
    """
    settings = reader.load(path, environ, made_up=made_up)
    return Inputs(settings, contents(settings))


def contents(settings: Settings) -> Contents:
    """Raises ConfigError for a file that can't be read."""
    from sidecar.atproto.oauth import read_keys  # noqa: PLC0415 - only needed with what it reads
    from sidecar.replies.sources import read_templates  # noqa: PLC0415

    try:
        keys = "" if settings.loopback else read_keys(settings.client.keys_file)
        return Contents(keys, read_templates(settings.pages.templates))
    except (OSError, ValueError) as error:
        raise ConfigError([str(error)]) from error
