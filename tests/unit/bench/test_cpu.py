"""The kernel's word on what a process used."""

import os
import subprocess
import sys

from bench.cpu import cpu_seconds, resident_megabytes, tree

WORK = "import time\nwhile time.process_time() < 0.05: pass\nprint(time.process_time(), flush=True)\ninput()"


def test_a_child_has_used_what_it_says_itself_and_counts_as_ours() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WORK], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        said = float(child.stdout.readline())
        assert child.pid in tree(os.getpid())
        assert said <= cpu_seconds(child.pid) <= said + 0.5  # what Python says of itself, and its last words
        assert resident_megabytes(child.pid) > 1
        child.communicate(b"\n")


def test_a_process_that_has_ended_costs_nothing() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert cpu_seconds(child.pid) == 0
