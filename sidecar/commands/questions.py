"""What `sidecar init` asks somebody at a terminal.

Owns: the questions, and asking again until an answer can be read.
Doesn't belong here: what is written (init.py).
"""

import argparse
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from sidecar.commands import init
from sidecar.commands.terminal import say
from sidecar.settings import addresses

Ask = Callable[[str], str]


def complete(arguments: argparse.Namespace, ask: Ask) -> None:
    """Fill in what the command line doesn't say."""
    if not arguments.public_url:
        question = "Where will people sign in? An address of your own, as https://auth.example.net: "
        arguments.public_url = _answer(ask, question, addresses.http_origin)
    if not (arguments.app or arguments.app_host):
        arguments.app = _apps(ask, urlsplit(arguments.public_url).netloc)
    if not arguments.allow:
        question = "Who may come in? Your handle, as alice.example.org (more by spaces): "
        arguments.allow = list(_answer(ask, question, lambda text: addresses.rules(text.split())))


def _apps(ask: Ask, public_host: str) -> list[str]:
    found: list[str] = []
    while True:
        default = public_host if not found else ""
        shown = f"[{default}]" if default else "(empty: no more)"
        host = ask(f"The host of an app {shown}: ").strip() or default
        if not host:
            return found
        address = _answer(ask, f"Where does Caddy find the app of {host}? [127.0.0.1:3000]: ", init.upstream)
        found.append(f"{host}={address}")


def _answer(ask: Ask, question: str, parse: Callable[[str], Any]) -> Any:
    while True:
        try:
            return parse(ask(question).strip())
        except ValueError as error:
            say(f"  {error}")
