"""Who used the machine's CPU: our parts, or others beside them (proc(5))."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_IDLE: Final = slice(3, 5)  # idle and iowait
_COUNTED_ELSEWHERE: Final = 8  # guest time is user time, too


def spent_by(pid: int) -> float:
    """Seconds of CPU that a process has used; 0 for one that has just ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS


def spent_by_us(pids: Iterable[int]) -> float:
    """Seconds of this process, of its children that ended, and of those that live."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime + sum(map(spent_by, pids))


def spent_by_all() -> float:
    """Seconds in which any core was busy, with us, others, or another machine on the same host."""
    line = Path("/proc/stat").read_text().split("\n", 1)[0]
    ticks = [int(field) for field in line.split()[1 : 1 + _COUNTED_ELSEWHERE]]
    return (sum(ticks) - sum(ticks[_IDLE])) / _TICKS
