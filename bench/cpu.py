"""What the operating system says a server used: CPU time and memory of its whole process tree.

Doesn't belong here: starting and stopping (programs.py), what is made of the numbers (figures.py).

CPU time is the kernel's own clock of each process, user and system time with its ended threads, in
nanoseconds (clock_getcpuclockid(3)); /proc/PID/stat counts the same in ticks of 10 ms."""

import time
from pathlib import Path

_PROC = Path("/proc")
_SCHED = 2  # CPUCLOCK_SCHED in the kernel's include/linux/posix-timers.h


def tree(pid: int) -> list[int]:
    """The process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            children.setdefault(_parent(entry), []).append(int(entry.name))
    found = [pid]
    for each in found:  # grows while it is walked
        found += children.get(each, ())
    return found


def cpu_seconds(pid: int) -> float:
    """CPU time that the process tree has used so far."""
    return sum(_clock(each) for each in tree(pid)) / 1e9


def resident_megabytes(pid: int) -> float:
    """Resident memory (VmRSS) of one process alone, in units of 10^6 bytes."""
    for line in (_PROC / str(pid) / "status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def _clock(pid: int) -> int:
    try:
        return time.clock_gettime_ns((~pid << 3) | _SCHED)
    except OSError:  # ended since it was listed
        return 0


def _parent(entry: Path) -> int:
    """Parent of a process in /proc, 0 if it has just ended."""
    try:
        stat = (entry / "stat").read_text()
    except OSError:
        return 0
    return int(stat.rpartition(")")[2].split()[1])  # the name before it may hold anything
