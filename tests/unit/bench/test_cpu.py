"""The kernel's word on what a process used."""

import os
import subprocess
import sys
import time

from bench.cpu import cpu_seconds, resident_megabytes, tree

WORK = "import time\nwhile time.process_time() < 0.05: pass\nprint('done', flush=True)\ninput()"


def test_our_own_cpu_time_is_what_python_says() -> None:
    before = time.process_time()
    found = cpu_seconds(os.getpid())
    assert before <= found <= time.process_time() + 0.01


def test_children_count() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WORK], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert child.pid in tree(os.getpid())
        assert cpu_seconds(child.pid) >= 0.05
        assert resident_megabytes(child.pid) > 1
        child.communicate(b"\n")


def test_a_process_that_has_ended_costs_nothing() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert cpu_seconds(child.pid) == 0
