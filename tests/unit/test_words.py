"""Plain words: phrases that tired readers stumble over stay out of what people read.

`HABITS` names each phrase and the plain form. A new file is read as soon as it is there.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# "who asks …" without a person before it
_MEANT = "is|are|was|we|they|you|that|may|somebody|someone|signed|brings|can|this|has|gets"
_WHO = rf"(?:^|[.;:(,] )[Ww]ho (?!(?:{_MEANT})\b)[a-z]+s\b"
# phrase → plain form
HABITS = {
    r"\b(is|are|be|was|were|been) told\b": '"… reports …", or "reads"',
    r"\b(is|are) told apart\b": '"… are different …"',
    r"\bNone where\b|\"\" where\b": '"None if"',
    _WHO: '"people who …"',
    r"\bmend(s|ed|ing)?\b": '"fix"',
    r"(?<!here )\b(is|are) no (?!longer|more|one\b)[a-z]+": '"isn\'t a …"',
    r"\bnobody (is|was) told\b": '"nothing reports"',
    r"\bwhat is none\b|\bthat is none\b": '"that isn\'t one"',
    r"\bdon't add up\b": "an idiom that says nothing",
    r"\bin turn\b(?!s)": '"one after the other", or "too"',
    r"\b[Ww]ho(m)?ever\b": '"anyone who …", or name the person',
    r"\b[A-Za-z]*Error where\b|\b(True|False|0|\[\]|Busy|empty) where\b": '"… if"',
    r"\bonly where (it|they|the)\b": '"only if"',
}
# What only the pages and the comments of an operator's files must keep out: code may need the shorter word.
HABITS_OF_PAGES = {
    **HABITS,
    r"\b(anew|afresh)\b": '"again"',
    r"\bheld (to|against)\b": '"must follow", or "is compared with"',
    r"\b(can )?stands? in the\b": '"is in the"',
    r"\bas it stands\b": '"as it is"',
    r"\b(lest|hence|thereby|thereof|likewise)\b": '"so", "so that … not", "too"',
    r"\bchange hands\b": '"can move to another person"',
    r"\bis what [a-z]+ (means|is)\b": "the usual order",
    r"\b(is|are) to be [a-z]+ed\b": '"must be …", or "you must …"',
}
PROSE = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "sidecar").rglob("*.html")),
    *sorted(path for path in (ROOT / "config").iterdir() if path.is_file()),
    ROOT / "Caddyfile.example",
    ROOT / "Makefile",
]
CODE = [*sorted((ROOT / "sidecar").rglob("*.py")), *sorted((ROOT / "bench").rglob("*.py"))]


def spoken(path: Path) -> Iterator[tuple[int, str]]:
    """What a person reads of a Python file, with its line: strings and comments."""
    text = path.read_text("utf-8")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def faults(where: str, text: str, habits: dict[str, str] = HABITS) -> list[str]:
    joined = re.sub(r"\s*\n[ \t#]*", " ", text)
    return [
        f"{where}: {found[0].strip()!r}; write {plain}"
        for habit, plain in habits.items()
        for found in re.finditer(habit, joined)
    ]


@pytest.mark.parametrize("path", PROSE, ids=lambda path: str(path.relative_to(ROOT)))
def test_prose_is_in_plain_words(path: Path) -> None:
    assert faults(path.name, path.read_text("utf-8"), HABITS_OF_PAGES) == []


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_docstrings_comments_and_messages_are_in_plain_words(path: Path) -> None:
    assert [each for line, text in spoken(path) for each in faults(f"{path.name}:{line}", text)] == []


def test_the_habits_are_found() -> None:
    for bad in (
        "The operator is told at once.",
        "None where there is no name.",
        "Who has no session is sent away. Who asks gets one.",
        "mend it",
        "This is no handle.",
    ):
        assert faults("here", bad)
    for bad in (
        "Whoever asks gets it.",
        "The list is read anew.",
        "Every reply is held to it.",
        "The figure stands in the table.",
        "Use it as it stands.",
        "Close it, lest it leak.",
        "It returns 0 where there is none.",
        "Handles change hands.",
        "That is what hosting means.",
        "The grant is to be revoked.",
    ):
        assert faults("here", bad, HABITS_OF_PAGES)


def test_the_readme_has_short_sentences() -> None:
    text = re.sub(r"```.*?```", "", (ROOT / "README.md").read_text("utf-8"), flags=re.DOTALL)
    text = re.sub(r"^[|#!].*$", "", text, flags=re.MULTILINE)
    lengths = [len(each.split()) for each in re.split(r"(?<=[.!?:])\s+", text) if each.strip()]
    assert sum(lengths) / len(lengths) <= 14
