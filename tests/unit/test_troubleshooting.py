"""docs/troubleshooting.md names every code that a page, a JSON answer or the log can carry, and no other."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.settings import Settings

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/troubleshooting.md").read_text("utf-8")
TREES = [ast.parse(path.read_text("utf-8")) for path in sorted((ROOT / "sidecar").rglob("*.py"))]
SAID_IN_DICTS = {"event", "error", "reason"}
# of a call, which argument is a code
ARGUMENTS = {"refused": 1, "_error": 2, "_explanation": 0, "Unreadable": 0}


def code(node: ast.AST) -> str | None:
    """A constant; of a code that is put together, its beginning and an ellipsis."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value or None
    if isinstance(node, ast.BinOp) and (start := code(node.left)):
        return start + "…"
    return None


def of_class(each: ast.ClassDef) -> Iterator[ast.AST]:
    """The value of its attribute `code`."""
    for line in each.body:
        match line:
            case ast.Assign(targets=[ast.Name(id="code")], value=value):
                yield value
            case ast.AnnAssign(target=ast.Name(id="code"), value=ast.Constant() as value):
                yield value


def of_call(name: str, call: ast.Call) -> Iterator[ast.AST]:
    keywords = {each.arg: each.value for each in call.keywords}
    if name in ARGUMENTS and len(call.args) > ARGUMENTS[name]:
        yield call.args[ARGUMENTS[name]]
    if name == "Nobody" and len(call.args) > 1:  # whose session is over
        yield call.args[0]
    if name == "Decision" and ast.unparse(keywords["allowed"]) == "False":
        yield keywords["reason"]


def codes_of(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.ClassDef():
            yield from of_class(node)
        case ast.Dict():
            pairs = zip(node.keys, node.values, strict=True)
            yield from (value for key, value in pairs if key is not None and code(key) in SAID_IN_DICTS)
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
            yield from of_call(name, node)
        case ast.Assign(
            targets=[ast.Name(id="_STATUSES" | "totals")],
            value=ast.Dict(values=pairs) | ast.List(elts=pairs),
        ):
            yield from (pair.elts[0] for pair in pairs if isinstance(pair, ast.Tuple))


def said() -> set[str]:
    nodes = (node for tree in TREES for node in ast.walk(tree))
    caddys = re.findall(r'"error":"(\w+)"', (ROOT / "Caddyfile.example").read_text("utf-8"))
    return {found for node in nodes for each in codes_of(node) if (found := code(each))} | {*caddys}


def listed() -> set[str]:
    rows = re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE)
    return {each for row in rows for each in re.findall(r"`([^`]+)`", row)}


def covers(pattern: str, name: str) -> bool:
    return name == pattern or (pattern.endswith("…") and name.startswith(pattern[:-1]))


def test_every_code_that_can_be_said_has_a_row() -> None:
    assert len(said()) > 60
    assert {each for each in said() if not any(covers(each, row) for row in listed())} == set()


def test_every_row_is_a_code_that_can_be_said() -> None:
    assert {row for row in listed() if not any(covers(each, row) for each in said())} == set()


def test_every_event_and_reason_that_another_page_or_a_message_names_can_be_said() -> None:
    texts = [path.read_text("utf-8") for path in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]]
    texts += [path.read_text("utf-8") for path in (ROOT / "sidecar").rglob("*.py")]
    named = {each for text in texts for each in re.findall(r"\b(?:event|reason)=([a-z]\w*_\w+)", text)}
    assert len(named) > 1
    assert named <= said()


def test_every_row_says_what_it_means_and_what_to_do() -> None:
    for line in PAGE.splitlines():
        if line.startswith("| `"):
            assert all(cell.strip().endswith(".") for cell in line.strip("|").split("|")[1:]), line


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`([a-z]+)\.[a-z_]+`", PAGE))))
def test_every_setting_it_names_is_one(name: str) -> None:
    section = getattr(Settings(public_url="https://a.example"), name)
    for key in re.findall(rf"`{name}\.([a-z_]+)`", PAGE):
        assert hasattr(section, key), f"{name}.{key}"
