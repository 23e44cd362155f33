"""How quiet the machine was: the CPU time that others used while we measured."""

import os
import resource
from pathlib import Path
from time import monotonic
from typing import Final, Self

QUIET: Final = 0.1  # Cores that others may use, on average, before a run says so.

_STAT: Final = Path("/proc/stat")
_USED: Final = (0, 1, 2, 5, 6, 7)  # user, nice, system, irq, softirq, steal: proc_stat(5).


class Others:
    """Entered before and left after a measurement whose processes have all been waited for.

    Attributes:
        cores: How many cores others kept busy meanwhile, on average. Known when the block is left; never below 0.
    """

    cores: float = 0.0

    def __enter__(self) -> Self:
        self._before = monotonic(), machine(), ours()
        return self

    def __exit__(self, *exc: object) -> None:
        elapsed, all_used, our_own = (
            now - before for now, before in zip((monotonic(), machine(), ours()), self._before, strict=True)
        )
        self.cores = max((all_used - our_own) / elapsed, 0.0) if elapsed else 0.0


def machine() -> float:
    """CPU time of everything on this machine so far, in seconds; what a hypervisor gave to others counts."""
    fields = [int(field) for field in _STAT.read_text().split("\n", 1)[0].split()[1:]]
    return sum(fields[place] for place in _USED) / os.sysconf("SC_CLK_TCK")


def ours() -> float:
    """CPU time of this process and of its children that have ended, in seconds."""
    found = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in found)
