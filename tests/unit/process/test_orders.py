"""Orders to a worker: what it answers, and that its death ends the wait."""

import multiprocessing
import os
import threading
from typing import Any

import pytest

from sidecar.config_file.inputs import Contents, Inputs
from sidecar.errors import ConfigError
from sidecar.process.orders import DROP, FIGURES, PREPARE, SWITCH, Orders, Serving
from sidecar.settings import Settings


def inputs(url: str = "https://auth.wiki.net") -> Inputs:
    return Inputs(Settings(public_url=url), Contents("", {}))


class App:
    """Follows any inputs but some."""

    def __init__(self) -> None:
        self.url = ""

    async def __call__(self, *_: Any) -> None: ...

    def prepare(self, given: Inputs) -> str:
        if "faulty" in given.settings.public_url:
            raise ConfigError(["public_url: faulty"])
        if "broken" in given.settings.public_url:
            raise RuntimeError("broken on purpose")
        return given.settings.public_url

    def switch(self, url: str) -> None:
        self.url = url

    def figures(self) -> dict[str, dict[tuple[str, ...], float]]:
        return {"workers": {(): 1.0}}


@pytest.fixture
def app() -> App:
    return App()


@pytest.fixture
def serving(app: App) -> Serving:
    made = Serving(lambda _: app, inputs())
    made.make()
    return made


def test_a_worker_prepares_and_switches_in_two_steps(app: App, serving: Serving) -> None:
    orders = Orders()
    orders.obey(serving)
    orders.give(PREPARE, inputs("https://new.wiki.net"))
    assert (orders.obeyed(), app.url) == ([], "")
    orders.give(SWITCH)
    assert (orders.obeyed(), app.url) == ([], "https://new.wiki.net")
    assert serving.inputs.settings.public_url == "https://new.wiki.net"
    orders.give(FIGURES)
    assert orders.obeyed() == {"workers": {(): 1.0}}


def test_what_was_dropped_is_not_switched_to(app: App, serving: Serving) -> None:
    orders = Orders()
    orders.obey(serving)
    for order, about in ((PREPARE, inputs("https://new.wiki.net")), (DROP, None), (SWITCH, None)):
        orders.give(order, about)
        assert orders.obeyed() == []
    assert app.url == ""


@pytest.mark.parametrize(
    ("url", "said"), [("https://faulty.net", "faulty"), ("https://broken.net", "broken")]
)
def test_what_went_wrong_comes_back_and_the_next_order_is_obeyed(
    app: App, serving: Serving, url: str, said: str
) -> None:
    orders = Orders()
    orders.obey(serving)
    orders.give(PREPARE, inputs(url))
    (fault,) = orders.obeyed()
    assert said in fault
    orders.give(PREPARE, inputs("https://new.wiki.net"))
    assert orders.obeyed() == []


def test_before_there_is_an_app_nothing_can_be_prepared() -> None:
    (fault,) = Serving(lambda _: App(), inputs()).prepare(inputs())
    assert "still starting" in fault


def die(_: Orders) -> None:
    os._exit(1)


def test_the_death_of_a_worker_ends_the_wait() -> None:
    orders = Orders()
    worker = multiprocessing.get_context("spawn").Process(target=die, args=(orders,))
    worker.start()
    orders.begun()
    worker.join()
    answered: list[object] = []

    def ask() -> None:
        try:
            orders.give(SWITCH)
            answered.append(orders.obeyed())
        except OSError:
            answered.append(None)

    asking = threading.Thread(target=ask)
    asking.start()
    asking.join(timeout=20)  # without an end to the wait it is 30 seconds
    assert answered == [None]
