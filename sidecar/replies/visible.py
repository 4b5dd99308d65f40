"""Text from outside, made fit to be shown.

Owns: `visible`: no control, invisible or direction-changing characters, and not too long. Escaping is the
template's.
"""

import unicodedata

_JOINERS = "\u200c\u200d"  # hold emoji together, and letters in Persian and Indic scripts apart


def visible(text: str, most: int = 300) -> str:
    """The text without characters of the Unicode categories C but joiners inside it, cut to `most`
    characters.
    """
    kept = "".join(c for c in text[: 8 * most] if unicodedata.category(c)[0] != "C" or c in _JOINERS)
    kept = kept.strip(_JOINERS + " ").strip()
    return kept if len(kept) <= most else kept[: most - 1] + "…"
