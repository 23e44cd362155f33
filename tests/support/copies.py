"""How often something large is copied: counted, because how long that takes depends on what else the machine does."""

import tracemalloc
from collections.abc import Callable, Iterable


def large_allocations(acts: Iterable[Callable[[], object]], size: int) -> int:
    """How many of these acts allocate ``size`` bytes or more, be it only for a moment, beyond what they had before."""
    large = 0
    tracemalloc.start()
    try:
        for act in acts:
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            act()
            large += tracemalloc.get_traced_memory()[1] - before >= size
    finally:
        tracemalloc.stop()
    return large
