"""Whether messages that were sent one by one also arrived one by one, or in lumps."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

NOTICEABLE: Final = 0.25  # Fraction of the interval: messages with a smaller gap count as arriving together.


def in_lumps(times: Sequence[float], interval: float) -> bool:
    """Whether at least half of the messages arrived together with the one before.

    Args:
        times: When they arrived, in seconds.
        interval: How far apart they were sent, in seconds.
    """
    gaps = [later - earlier for earlier, later in pairwise(times)]
    return 2 * sum(gap < NOTICEABLE * interval for gap in gaps) >= len(gaps) > 0


def longest_wait(times: Sequence[float]) -> float:
    """The longest gap between two messages, in seconds."""
    return max(later - earlier for earlier, later in pairwise(times))


def kib(size: float) -> str:
    """A readable number of bytes."""
    return f"{size / 2**20:.1f} MiB" if size >= 2**20 else f"{size / 1024:.0f} KiB"
