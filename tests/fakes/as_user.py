"""Something done as another user of this machine. Only root can."""

import io
import os
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

NOBODY_ELSE = 64321  # a user and a group that no machine has


def run_as(user: int, work: Callable[[], int]) -> tuple[int, str]:
    """Exit code and output of the work, done in a fork as that user and the group of the same number."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        said = io.StringIO()
        code = 99
        try:
            os.setgroups([])
            os.setgid(user)
            os.setuid(user)
            with redirect_stdout(said), redirect_stderr(said):
                code = work()
        except BaseException as error:  # noqa: BLE001 # it must not go on as a second pytest
            said.write(f"{error!r}")
        os.write(writer, said.getvalue().encode()[:60_000])
        os._exit(code)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        text = stream.read().decode()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), text


def make_reachable(folder: Path) -> None:
    """Others may pass through all folders above: pytest keeps its own to itself."""
    for each in (folder, *folder.parents):
        if not each.stat().st_mode & 0o001:
            each.chmod(each.stat().st_mode | 0o011)
