"""What people read names only what there is: files, modules, settings, variables, commands, make's targets.

A name is what stands in backticks, in a block of code or in a comment of a configuration file. For codes of
errors and events see test_troubleshooting.py.
"""

import ast
import contextlib
import importlib
import importlib.util
import inspect
import io
import re
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

import sidecar.atproto
from sidecar import routes
from sidecar.atproto import errors
from sidecar.commands import cli, init
from sidecar.commands.doctor import examine
from sidecar.config_file import reader
from sidecar.config_file.names import sections, settings_of, variable
from sidecar.settings import App, Settings

ROOT = Path(__file__).parents[2]
SIDECAR = ROOT / "sidecar"
TRACKED = subprocess.run(
    ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
).stdout.split()
PAGES = [
    name for name in TRACKED if name.endswith(".md") and not name.startswith(("bench/results/", "tests/"))
]
CONFIGS = [
    *(name for name in TRACKED if name.startswith("config/")),
    "Caddyfile.example",
    "Makefile",
]
MODULES = [name for name in TRACKED if name.startswith("sidecar/") and name.endswith(".py")]
SNIPPETS = "Caddyfile.example", "config/Caddyfile.renew-on-any-request"
# On an operator's machine or on a server, not here.
ELSEWHERE = {init.CONFIG, init.KEYS, init.SECRETS, "oauth-client-metadata.json", "did.json"}
ELSEWHERE |= {"family.txt", "wiki-hosts.txt"}  # lists of an operator

SETTINGS = Settings(public_url="https://auth.sidecar.internal")

each_page = pytest.mark.parametrize("page", PAGES)
each_text = pytest.mark.parametrize("name", [*PAGES, *CONFIGS])
each_module = pytest.mark.parametrize("name", MODULES)


@cache
def text_of(name: str) -> str:
    """The file; of the changelog only what isn't released, for the rest may name what is gone."""
    text = (ROOT / name).read_text("utf-8")
    return text.partition("## [Unreleased]")[2].partition("\n## ")[0] if name == "CHANGELOG.md" else text


@cache
def code_of(name: str) -> tuple[str, ...]:
    """Of a page, what is in backticks, and each line of its blocks of code; of another file, each line."""
    text = text_of(name)
    if not name.endswith(".md"):
        return tuple(text.splitlines())
    fenced = re.findall(r"^```[a-z]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    indented = re.findall(r"^    (\S.*)$", prose, re.MULTILINE)
    spans = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]
    return (*spans, *indented, *(line for block in fenced for line in block.splitlines()))


@cache
def strings_of(name: str) -> tuple[str, ...]:
    """Of a module: its strings, docstrings too."""
    nodes = ast.walk(ast.parse((ROOT / name).read_text("utf-8")))
    return tuple(n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str))


@cache
def comments_of(name: str) -> tuple[str, ...]:
    return tuple(re.findall(r"#(.*)$", (ROOT / name).read_text("utf-8"), re.MULTILINE))


# --- files


def paths(text: str) -> Iterator[str]:
    """Paths from the root of the repository."""
    tops = r"sidecar|tests|config|docs|bench|\.ci"
    yield from re.findall(rf"(?<![\w/.:%-])(?:{tops})/[\w.*/-]*[\w*/]", text)


def exists(path: str) -> bool:
    return any(ROOT.glob(path.rstrip("/"))) if "*" in path else (ROOT / path).exists()


@each_text
def test_every_path_of_the_repository_exists(name: str) -> None:
    assert [path for path in paths(text_of(name)) if not exists(path)] == []


@each_module
def test_every_path_that_the_code_names_exists(name: str) -> None:
    texts = (*strings_of(name), *comments_of(name))
    assert [path for text in texts for path in paths(text) if not exists(path)] == []


@each_page
def test_every_file_that_a_page_names_without_its_folder_exists(page: str) -> None:
    served = {route.path.rpartition("/")[2] for route in every_route()}
    known = {Path(each).name for each in TRACKED} | ELSEWHERE | served
    named = re.findall(
        r"(?<![\w./*%{<-])[\w.-]+\.(?:py|md|toml|json|html|css|service|mjs|txt|db)\b", joined(page)
    )
    assert {each for each in named if each not in known and Path(each).suffix != ".db"} == set()


def joined(page: str) -> str:
    return "\n".join(code_of(page))


# --- Python


def modules_called(stem: str) -> list[Path]:
    found = [path for path in SIDECAR.rglob(f"{stem}.py") if path.name != "__init__.py"]
    return [*found, *SIDECAR.rglob(f"{stem}/__init__.py")]


@cache
def names_in(module: Path) -> frozenset[str]:
    names: set[str] = set()
    for node in ast.parse(module.read_text("utf-8")).body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
            case ast.Assign(targets=targets):
                names |= {each.id for each in targets if isinstance(each, ast.Name)}
            case ast.AnnAssign(target=ast.Name(id=name)):
                names.add(name)
            case ast.Import(names=found) | ast.ImportFrom(names=found):
                names |= {each.asname or each.name for each in found}
            case _:
                pass
    if module.name == "__init__.py":
        names |= {path.stem for path in module.parent.iterdir()}
    return frozenset(names)


def is_setting(section: str, key: str) -> bool:
    if section == "apps":
        return True  # `apps.NAME`
    return section in sections() and key in settings_of(sections()[section])


@each_module
def test_every_module_dot_name_of_a_docstring_is_defined(name: str) -> None:
    for text in strings_of(name):
        for dotted in re.findall(r"`([a-z_]+(?:\.[A-Za-z_]+)+)(?:\(\))?`", text):
            module, _, last = dotted.rpartition(".")
            found = modules_called(module.rpartition(".")[2])
            if found and not is_setting(module, last) and last not in {"py", "toml", "com"}:
                assert any(last in names_in(each) for each in found), dotted


@each_page
def test_every_module_of_ours_that_a_page_names_can_be_imported(page: str) -> None:
    for dotted in re.findall(r"(?<![\w./-])(?:sidecar|tests|bench)(?:\.[a-zA-Z_]+)+\b", joined(page)):
        if dotted.rpartition(".")[2] in {
            "toml",
            "service",
            "socket",
            "db",
            "sock",
            "internal",
            "test",
            "net",
        }:
            continue
        module, _, last = dotted.rpartition(".")
        if importlib.util.find_spec(dotted) is None:
            assert hasattr(importlib.import_module(module), last), dotted


@each_text
def test_every_module_that_a_command_runs_exists(name: str) -> None:
    for module in re.findall(r"python -m ([a-z_][\w.]*\w)", "\n".join(code_of(name))):
        if module.split(".")[0] in {"sidecar", "tests", "bench"}:
            path = ROOT / module.replace(".", "/")
            assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module


def test_the_librarys_page_names_what_the_library_has() -> None:
    ours = {name: getattr(sidecar.atproto, name) for name in sidecar.atproto.__all__} | vars(errors)
    for span in code_of("docs/library.md"):
        for name, attribute in re.findall(r"\b([A-Z]\w*[a-z])\b(?:\.([a-z_]+))?", span):
            if name in {"None", "Lax", "Strict", "SameSite", "Path", "My", "ValueError"}:
                continue
            assert name in ours, span
            assert not attribute or hasattr(ours[name], attribute), span


def test_the_librarys_page_names_every_error() -> None:
    classes = [
        each
        for each in vars(errors).values()
        if isinstance(each, type) and each.__module__ == errors.__name__
    ]
    roots = {base for each in classes for base in each.__bases__}
    named = set(re.findall(r"`(\w+)`", text_of("docs/library.md")))
    assert {
        each.__name__
        for each in classes
        if each not in roots and not {c.__name__ for c in each.__mro__} & named
    } == set()


def test_the_librarys_examples_use_what_there_is() -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", text_of("docs/library.md"), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    for node in (
        each for block in blocks for each in ast.walk(ast.parse(block, mode="exec", feature_version=11))
    ):
        if isinstance(node, ast.ImportFrom):
            assert {each.name for each in node.names} <= {*sidecar.atproto.__all__}
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            called = getattr(sidecar.atproto, node.func.id, None)
            if called is not None:
                given = {each.arg for each in node.keywords}
                assert given <= set(inspect.signature(called).parameters), node.func.id


# --- settings and variables


@each_text
def test_every_setting_exists(name: str) -> None:
    listed = "|".join(sections())
    for section, key in re.findall(rf"(?<![\w./-])({listed})\.([a-z_]+)\b(?![/(])", "\n".join(code_of(name))):
        if key not in FILE_ENDINGS and (name.endswith(".md") or "_" in key):
            assert is_setting(section, key) or (section, key) in ATTRIBUTES, f"{section}.{key}"


FILE_ENDINGS = {"py", "toml", "json", "log", "db", "html"}
# `store.put` and the like: no setting is meant
ATTRIBUTES = {
    ("identity", "handle"),
    ("identity", "did"),
    ("client", "start"),
    ("client", "finish"),
    ("client", "revoke"),
}


@each_module
def test_every_setting_that_a_message_names_exists(name: str) -> None:
    """As in "…; set it to "sqlite", or server.workers to 1". Keys of one word could be anything."""
    listed = "|".join(sections())
    for text in strings_of(name):
        for section, key in re.findall(rf"(?<![\w./{{-])({listed})\.([a-z]+_[a-z_]+)\b(?!\()", text):
            known = any(key in names_in(each) for each in modules_called(section))
            assert is_setting(section, key) or known, f"{section}.{key}"


@each_page
def test_every_key_of_a_toml_block_exists(page: str) -> None:
    for block in re.findall(r"^```toml\n(.*?)^```", text_of(page), re.MULTILINE | re.DOTALL):
        for key, value in tomllib.loads(block).items():
            known = {name: set(settings_of(cls)) for name, cls in sections().items()}
            if key == "apps":
                assert all(set(app) <= set(settings_of(App)) for app in value.values())
            elif key != "groups":
                assert key in known or key in settings_of(Settings), key
                assert not isinstance(value, dict) or set(value) <= known[key], value


def variables() -> set[str]:
    """Those that the sidecar reads, and those that Caddy reads."""
    ours = {variable(name, key) for name, cls in sections().items() for key in settings_of(cls)}
    caddys = {each for name in SNIPPETS for each in re.findall(r"\{\$(\w+)", text_of(name))}
    return ours | caddys | {variable("", key) for key in settings_of(Settings)} | {"SIDECAR_CONFIG"}


@pytest.mark.parametrize("name", [*PAGES, *CONFIGS, *MODULES])
def test_every_variable_exists(name: str) -> None:
    assert set(re.findall(r"\bSIDECAR_[A-Z][A-Z_]*[A-Z]\b", text_of(name))) <= variables()


def test_the_sidecar_accepts_every_variable_that_caddy_reads_from_the_same_environment() -> None:
    for name in sorted(
        {each for file in SNIPPETS for each in re.findall(r"\{\$(SIDECAR_\w+)", text_of(file))}
    ):
        value = "/oauth-client-metadata.json" if name == "SIDECAR_CLIENT_ID_PATH" else "x"
        environ = {"SIDECAR_PUBLIC_URL": "http://127.0.0.1:8080", "SIDECAR_STORE_KIND": "memory", name: value}
        reader.load(None, environ)


# --- commands


@cache
def options_of(*command: str) -> frozenset[str]:
    """What `sidecar … --help` lists. Raises for a command that isn't there."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), pytest.raises(SystemExit, match=r"^0$"):
        cli.main([*command, "--help"])
    return frozenset(re.findall(r"--[a-z-]+", printed.getvalue()))


@cache
def subcommands() -> frozenset[str]:
    return frozenset(cli.COMMANDS)


def commands(line: str) -> Iterator[tuple[str, list[str]]]:
    """Every `sidecar COMMAND --option …` of a line of code."""
    for found in re.finditer(
        r"(?:^|[/\s(`=])sidecar ([a-z][a-z-]*(?: \| [a-z-]+)*)((?:(?!&&|[`#;]| sidecar ).)*)", line
    ):
        for command in found[1].split(" | "):
            yield command, re.findall(r"(?<!\S)--[a-z-]+", found[2])


@each_page
def test_every_command_and_its_options_exist(page: str) -> None:
    for line in code_of(page):
        for command, options in commands(line):
            assert command in subcommands(), line
            assert set(options) <= options_of(command), line


@pytest.mark.parametrize("name", [*CONFIGS, *MODULES])
def test_every_command_that_a_comment_or_a_message_names_exists(name: str) -> None:
    texts = text_of(name).splitlines() if name in CONFIGS else (*strings_of(name), *comments_of(name))
    for text in texts:
        for command, options in commands(text):
            if command in subcommands():
                assert set(options) <= options_of(command), text
        for command in re.findall(r"(?:`|[Rr]un:? |[Nn]ext: )sidecar ([a-z-]+)", text):
            assert command in subcommands(), text


@pytest.mark.parametrize(
    "page", ["README.md", "docs/configuration.md", "docs/deployment.md", "docs/troubleshooting.md"]
)
def test_every_option_that_stands_alone_is_one_of_the_sidecars(page: str) -> None:
    known = {option for command in subcommands() for option in options_of(command)}
    named = {span.split()[0].partition("=")[0] for span in code_of(page) if span.startswith("--")}
    assert named <= known


def test_every_command_is_on_a_page() -> None:
    assert subcommands() <= {
        command for page in PAGES for line in code_of(page) for command, _ in commands(line)
    }


@pytest.mark.parametrize("name", [*PAGES, *CONFIGS, *MODULES])
def test_every_target_of_make_exists(name: str) -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", text_of("Makefile"), re.MULTILINE))
    named = (
        [each for line in code_of(name) for each in re.findall(r"^make ([a-z-]+)", line)]
        if name in PAGES
        else []
    )
    assert set(named) | set(re.findall(r"`make ([a-z-]+)`", text_of(name))) <= targets


# --- Caddy


@pytest.mark.parametrize("name", [*PAGES, *CONFIGS, *MODULES])
def test_every_snippet_of_caddy_exists(name: str) -> None:
    there = {
        each
        for file in SNIPPETS
        for each in re.findall(r"^\((atproto[a-z-]*)\)", text_of(file), re.MULTILINE)
    }
    text = "\n".join([*code_of(name)]) if name in PAGES else text_of(name)
    assert set(re.findall(r"(?<=import )atproto[a-z-]*|(?<=`)atproto-[a-z-]+(?=`)", text)) <= there


# --- lists that two places have


def every_route() -> list[Any]:
    return list(routes.router(SETTINGS, *[Mock() for _ in range(5)]).routes)


def test_the_page_of_addresses_has_the_routers_and_no_other() -> None:
    page = text_of("docs/endpoints.md")
    listed = set(re.findall(r"^\| `(/.*?)`", page, re.MULTILINE)) - {"/metrics"}
    assert listed == {route.path for route in every_route()} - {SETTINGS.prefix}
    assert f"`GET {SETTINGS.prefix}/check`" in page


@pytest.mark.parametrize("name", [*PAGES, *CONFIGS])
def test_every_address_under_the_prefix_exists(name: str) -> None:
    """As the snippets and the pages have it: the default prefix, and a route or all of them."""
    prefix = SETTINGS.prefix
    there = {route.path for route in every_route()} | {prefix + "/check", prefix + "/check/*", prefix + "/*"}
    named = re.findall(rf"(?<![\w@-]){prefix}(?:/[\w.*-]+)*/?(?![\w-])", "\n".join(code_of(name)))
    assert {each for each in named if each not in there} == set()


def test_the_page_about_dependencies_names_every_package() -> None:
    project = tomllib.loads(text_of("pyproject.toml"))
    wanted = [*project["project"]["dependencies"], *project["dependency-groups"]["fast"]]
    text = text_of("docs/dependencies.md")
    for requirement in [*wanted, *project["dependency-groups"]["e2e"]]:
        package = re.split(r"[\[<>=;]", requirement)[0]
        assert re.search(rf"(?<![\w-]){re.escape(package)}(?![\w-])", text), package


def test_the_page_about_deployment_says_what_the_doctor_looks_at() -> None:
    subjects = ", ".join(check.subject for check in examine.CHECKS)
    assert f"in this order: {subjects}." in " ".join(text_of("docs/deployment.md").split())
