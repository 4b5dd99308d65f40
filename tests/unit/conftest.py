"""Unit tests ask nothing outside this machine."""

import pytest

from sidecar.commands import people


@pytest.fixture(autouse=True)
def nobody_is_looked_up(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """`sidecar init` looks up the handles it is given; the tests of that bring a network of their own."""
    if "world" not in request.fixturenames:
        monkeypatch.setattr(people, "look_up", lambda *_: {})
