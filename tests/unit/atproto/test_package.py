"""The library's front door: everything it promises is there, and nothing is paid for that isn't used."""

import subprocess
import sys

import pytest

from sidecar import atproto


def modules_after(statement: str) -> set[str]:
    """What a fresh interpreter has loaded."""
    script = f"import sys; {statement}; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


@pytest.mark.parametrize("name", atproto.__all__)
def test_every_name_the_library_promises_is_there(name: str) -> None:
    assert getattr(atproto, name) is not None


def test_a_name_it_does_not_promise_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        atproto.nonsense  # noqa: B018 - looking is the test


def test_the_syntax_of_names_costs_no_network_stack() -> None:
    heavy = {"httpx", "httpcore", "dns", "idna", "ssl", "asyncio", "cryptography"}
    assert not heavy & modules_after("import sidecar.atproto.syntax")


def test_the_library_loads_nothing_of_the_sidecar_or_its_web_server() -> None:
    loaded = modules_after("from sidecar.atproto import *")
    assert not {"starlette", "uvicorn", "itsdangerous", "jinja2"} & loaded
    ours = {name for name in loaded if name.startswith("sidecar.")}
    assert {name for name in ours if not name.startswith("sidecar.atproto")} == set()


def test_dns_is_loaded_with_the_first_name_to_ask_for() -> None:
    assert not [name for name in modules_after("import sidecar.app") if name.split(".")[0] == "dns"]
