"""How many CPUs this process may use: by its affinity, and by the quota of its control group (cgroups(7), v2)."""

import math
import os
from pathlib import Path
from typing import Final

__all__ = ["usable_cpus"]

QUOTA: Final = Path("/sys/fs/cgroup/cpu.max")


def usable_cpus(quota: Path = QUOTA) -> int:
    """The number, at least 1. A fractional quota is rounded up: part of a CPU is worth a worker."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        most, period = quota.read_text().split()
        return max(1, min(allowed, math.ceil(int(most) / int(period))))
    except (OSError, ValueError, ZeroDivisionError):  # No quota: the file is missing or says "max".
        return allowed
