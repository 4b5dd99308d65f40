"""What keyboards, pastes and links put around a name, and how it is taken away.

Owns: characters that aren't meant, the words of a pasted text, the person that a link is about.
Doesn't belong here: what a name is (syntax.py). No I/O, no clock.
"""

import re
import unicodedata
from urllib.parse import unquote

_MAX_WORDS = 16

# From East Asian keyboards: full-width characters, an ideographic full stop. Word processors change hyphens.
_OTHER_KEYBOARDS: dict[int, int | str] = {
    **{0xFEE0 + code: code for code in range(0x21, 0x7F)},
    **dict.fromkeys(map(ord, "\u3002\uff61"), "."),
    **dict.fromkeys(map(ord, "\u2010\u2011"), "-"),
    ord("\ufe6b"): "@",
}
_BRACKETS_AND_QUOTES = ("Ps", "Pe", "Pi", "Pf")  # Unicode categories
_ASCII_QUOTES = "\"'`<>"
_AROUND_WORDS = ".,;:!?\u2026\u00b7\u2022|*_~"
# Folders in which web clients keep the pages of a person; the last two are those of record browsers.
_PEOPLE = frozenset({"profile", "user", "u", "at:", "at"})


def clean(text: str) -> str:
    """The text without invisible characters and white space around it, and with full width made normal.

    Invisible are Unicode's control and format characters (category C): zero-width ones, direction marks.
    """
    visible = "".join(c for c in text if not unicodedata.category(c).startswith("C"))
    return visible.translate(_OTHER_KEYBOARDS).strip()


def words(text: str) -> list[str]:
    """The words of a text, without the quotes, brackets and punctuation around them; the first 16."""
    spaced = "".join(" " if _separates(character) else character for character in text)
    found = (word.strip(_AROUND_WORDS) for word in spaced.split()[:_MAX_WORDS])
    return [word for word in found if word]


def _separates(character: str) -> bool:
    return character in _ASCII_QUOTES or unicodedata.category(character) in _BRACKETS_AND_QUOTES


def decoded(name: str) -> str:
    """A name as it stands in a link: `did%3Aplc%3A…`, `%40alice.example`. A DID's own `%3A` stays."""
    return name if name.lower().startswith("did:") else unquote(name)


def person_in(path: str) -> str | None:
    """The name of the one person that the path of a web page is about; None if it names nobody, or several.

    Web clients write `/profile/NAME`, `/@NAME`, `/at://NAME`, or a DID anywhere.
    """
    parts = [decoded(part) for part in re.split("[/?#&=]+", path) if part]
    folders = ["", *(part.lower() for part in parts[:-1])]
    named = {
        name
        for folder, name in zip(folders, parts, strict=True)
        if folder in _PEOPLE or name.startswith("@") or name.lower().startswith("did:")
    }
    return named.pop() if len(named) == 1 else None
