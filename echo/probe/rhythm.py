"""Whether messages that were sent one by one also came one by one, or in lumps."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

NOTICEABLE: Final = 0.25  # Of the interval: what comes within that of the one before has come with it.


def in_lumps(times: Sequence[float], interval: float) -> bool:
    """Whether at least half of the messages came together with the one before them.

    Args:
        times: When they came, in seconds.
        interval: How far apart they were sent, in seconds.
    """
    gaps = [later - earlier for earlier, later in pairwise(times)]
    return 2 * sum(gap < NOTICEABLE * interval for gap in gaps) >= len(gaps) > 0


def longest_wait(times: Sequence[float]) -> float:
    """The most seconds between a message and the one before it."""
    return max(later - earlier for earlier, later in pairwise(times))


def kib(size: float) -> str:
    """A number of bytes, for people."""
    return f"{size / 2**20:.1f} MiB" if size >= 2**20 else f"{size / 1024:.0f} KiB"
