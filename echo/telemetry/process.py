"""Metrics of the process, named as in Prometheus's client libraries. Most come from Linux's ``/proc``; those that the
system does not provide are left out.
"""

import os
import time
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Final

from echo.telemetry import names
from echo.telemetry.snapshot import Metric

__all__ = ["process_metrics", "start_time"]

_PROC: Final = Path("/proc")
_SELF: Final = _PROC / "self"
_LOADED: Final = time.time()


def process_metrics() -> Iterable[Metric]:
    """CPU time, memory, file descriptors, and start time."""
    times = os.times()
    yield names.PROCESS_CPU.alone(times.user + times.system)
    fields = _stat()
    if fields:
        yield names.PROCESS_RESIDENT.alone(int(fields[21]) * os.sysconf("SC_PAGE_SIZE"))
        yield names.PROCESS_VIRTUAL.alone(int(fields[20]))
        yield names.PROCESS_FDS.alone(sum(1 for _ in (_SELF / "fd").iterdir()) - 1)  # Without the listing's own.
    try:
        import resource  # noqa: PLC0415 - Not every system has it.
    except ImportError:
        pass
    else:
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if limit != resource.RLIM_INFINITY:
            yield names.PROCESS_MAX_FDS.alone(limit)
    yield names.PROCESS_START.alone(start_time())


@cache  # It stays the same when the clock is set, or when there is no descriptor to read it again.
def start_time() -> float:
    """When the process started, in seconds since 1970."""
    fields = _stat()
    try:
        boot = next(line for line in (_PROC / "stat").read_text().splitlines() if line.startswith("btime "))
    except (OSError, StopIteration):
        return _LOADED
    return int(boot.split()[1]) + int(fields[19]) / os.sysconf("SC_CLK_TCK") if fields else _LOADED


def _stat() -> list[str]:
    """The fields after the process's name in ``/proc/self/stat`` (proc(5)); empty if the file does not exist."""
    try:
        return (_SELF / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
