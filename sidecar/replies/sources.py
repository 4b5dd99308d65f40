"""The texts of the templates: ours, and an operator's, which come first.

Owns: reading them, so that no page needs a file later.
Doesn't belong here: what pages are made of them (pages.py).
"""

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path

from jinja2 import (
    BaseLoader,
    ChoiceLoader,
    DictLoader,
    Environment,
    FileSystemLoader,
    FunctionLoader,
    PackageLoader,
    PrefixLoader,
)

Templates = Mapping[str, tuple[str, str]]  # name → text and file; or what is wrong and ""

_READING = Environment(autoescape=True)  # loaders want one, and make no use of it


def loader_of(templates: Templates) -> BaseLoader:
    """The operator's, then ours; ours also under "ours/"."""
    return ChoiceLoader([FunctionLoader(_source_of(templates)), _ours(), PrefixLoader({"ours": _ours()})])


def read_templates(folder: Path | None) -> Templates:
    """The operator's. A file that can't be read is a fault once a page needs it."""
    return {} if folder is None else dict(_sources(FileSystemLoader(folder)))


@cache
def _ours() -> BaseLoader:
    loader = PackageLoader("sidecar.replies", "templates")
    return DictLoader({name: text for name, (text, _) in _sources(loader)})


def _sources(loader: BaseLoader) -> Iterator[tuple[str, tuple[str, str]]]:
    """Name, and text and file, or what is wrong and ""."""
    for name in loader.list_templates():
        try:
            text, file, _ = loader.get_source(_READING, name)
        except (OSError, UnicodeDecodeError) as error:
            yield name, (str(error), "")
        else:
            yield name, (text, file or name)


def _source_of(templates: Templates) -> Callable[[str], tuple[str, str, None] | None]:
    def source(name: str) -> tuple[str, str, None] | None:
        text, file = templates.get(name, ("", None))
        if file == "":
            raise OSError(text)
        return None if file is None else (text, file, None)

    return source
