"""What a setting has beside its type and its default.

Owns: the shape of the annotations in settings/__init__.py.
Doesn't belong here: the settings.
"""

from collections.abc import Callable
from typing import Any, NamedTuple


class Setting(NamedTuple):
    """What a field's annotation says beside its type.

    `parse` turns the TOML value or the environment's text into the type, or raises ValueError; `why` is the
    field's line in the example; a `secret` may also come from a file, which its twin `…_file` names.
    """

    parse: Callable[[Any], Any]
    why: str
    secret: bool = False
