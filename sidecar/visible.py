"""Text from outside, made fit to be shown.

Owns: `visible`: no control, invisible or direction-changing characters, and not too long. Escaping is the
template's.
"""

import unicodedata


def visible(text: str, most: int = 300) -> str:
    """The text without characters of the Unicode categories C, cut to `most` characters."""
    kept = "".join(c for c in text[: 8 * most] if unicodedata.category(c)[0] != "C").strip()
    return kept if len(kept) <= most else kept[: most - 1] + "…"
