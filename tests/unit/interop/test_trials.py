"""What is tried at a server, with a visitor and a sidecar that only write down what they were asked."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.interop import __main__ as command
from tests.interop import trials
from tests.interop.pages import Hook
from tests.interop.trials import Refused, Subject, Visitor
from tests.lab.network import Account


async def nothing() -> None:
    pass


ALICE = Account("alice.pds.test", "alice-password", "pds.test")
SUBJECT = Subject("https://pds.test", ALICE, "did:plc:alice", nothing)
STUBBORN = Subject("https://stubborn.test", ALICE, "did:plc:alice", nothing)


@dataclass
class FakeClient:
    done: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=lambda: ["old"])

    def kids(self) -> list[str]:
        return list(self.names)

    async def keygen(self, *arguments: str) -> None:
        self.done += arguments
        if arguments == ("--add",):
            self.names.append("new")

    async def restart(self) -> None:
        self.done.append("restart")


class FakeVisitor(Visitor):
    """Refused as often as `refusals` says, then signed in. `asks`: whether the server wants a password."""

    def __init__(
        self, refusals: dict[str, int] | None = None, *, asks: bool = True, did: str = SUBJECT.did
    ) -> None:
        self.refusals = refusals or {}
        self.asks = asks
        self.answer = did
        self.asked: list[str] = []

    async def did(self, subject: Subject, identifier: str, before_password: Hook | None = None) -> str:
        self.asked.append(identifier)
        if self.refusals.get(subject.url, 0):
            self.refusals[subject.url] -= 1
            raise Refused("client_refused: unknown key")
        if self.asks and before_password is not None:
            await before_password()
        return self.answer


async def rotated(visitor: Visitor, client: FakeClient, *subjects: Subject, patience: float) -> list[Any]:
    found = await trials.keys(visitor, client, subjects, patience=patience, pause=0, say=lambda _: None)
    return [(each.result, each.taken_after is not None) for each in found]


async def test_a_server_is_asked_by_handle_by_did_and_by_server() -> None:
    visitor = FakeVisitor()
    assert await trials.identifiers(visitor, SUBJECT) == ("yes", "yes", "yes")
    assert visitor.asked == [ALICE.handle, SUBJECT.did, SUBJECT.url]


async def test_a_sign_in_as_somebody_else_is_a_no() -> None:
    found = await trials.identifiers(FakeVisitor(did="did:plc:mallory"), SUBJECT)
    assert all(result.startswith("no: signed in as did:plc:mallory") for result in found)


async def test_keys_are_added_used_and_removed_with_a_restart_after_each() -> None:
    client, visitor = FakeClient(), FakeVisitor()
    assert await rotated(visitor, client, SUBJECT, patience=60) == [("yes", True)]
    assert client.done == ["--add", "restart", "--use=new", "restart", "--remove=old", "restart"]
    assert len(visitor.asked) == 2  # with the new key first, and with it alone


async def test_a_server_that_keeps_old_keys_for_a_while_is_asked_again() -> None:
    visitor = FakeVisitor({SUBJECT.url: 3})
    assert await rotated(visitor, FakeClient(), SUBJECT, patience=60) == [("yes", True)]


async def test_a_server_that_never_takes_the_new_key_is_a_no_and_holds_up_no_other() -> None:
    visitor = FakeVisitor({STUBBORN.url: 1_000_000})
    found = await rotated(visitor, FakeClient(), STUBBORN, SUBJECT, patience=0.05)
    assert found == [("no: client_refused: unknown key", False), ("yes", True)]


async def test_a_server_that_forgets_its_nonces_is_tried_between_sign_ins_and_within_one() -> None:
    forgotten = []

    async def forget() -> None:
        forgotten.append(len(visitor.asked))

    visitor = FakeVisitor()
    subject = Subject(SUBJECT.url, ALICE, SUBJECT.did, forget)
    assert await trials.nonces(visitor, subject) == "yes"
    assert forgotten == [1, 3]


async def test_a_sign_in_in_which_no_nonce_could_change_is_no_yes() -> None:
    found = await trials.nonces(FakeVisitor(asks=False), SUBJECT)
    assert found.startswith("no: the server asked for no password")


@pytest.mark.parametrize(
    "argv",
    [["--pds", "https://pds.test"], ["--handle", "a.b"], ["--pds", "https://x.test", "--handle", "a.b"]],
)
def test_a_server_by_hand_needs_an_account_and_its_password(
    argv: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("INTEROP_PASSWORD", raising=False)
    with pytest.raises(SystemExit):
        command.arguments(argv)
    said = capsys.readouterr().err
    assert "belong together" in said or "INTEROP_PASSWORD" in said


async def test_a_timeout_is_a_no_with_its_name() -> None:
    async def late() -> None:
        raise TimeoutError

    assert await trials.outcome(late()) == "no: TimeoutError"
