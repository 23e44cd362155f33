"""Counts how often something large is copied. Measuring the time instead would depend on the machine's load."""

import tracemalloc
from collections.abc import Callable, Iterable


def large_allocations(acts: Iterable[Callable[[], object]], size: int) -> int:
    """How many of these functions allocate ``size`` bytes or more, even if only for a moment."""
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
