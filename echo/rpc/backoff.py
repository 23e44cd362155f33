"""Exponential backoff with jitter between attempts to reach a server."""

import math
import random
from typing import Final

# Seconds between attempts. The pause grows so that clients do not overrun a recovering server, varies so that they do
# not all arrive at once, and stays short because calls fail meanwhile.
MIN_BACKOFF: Final = 0.05
MAX_BACKOFF: Final = 2.0
BACKOFF_FACTOR: Final = 1.6
JITTER: Final = 0.2


def jittered(pause: float) -> float:
    """The pause, made up to a fifth shorter or longer at random."""
    return pause * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - not for secrets


class Backoff:
    """The pause after consecutive failures: a point in time to compare with, not a timer.

    Attributes:
        failures: All failures so far.
        not_before: The time on the event loop's clock before which there should be no further attempt.
    """

    def __init__(self) -> None:
        self.failures: int = 0
        self.not_before: float = -math.inf
        self._pause = MIN_BACKOFF

    def fail(self, now: float) -> None:
        """Note a failure at time ``now``, and lengthen the pause."""
        self.failures += 1
        self.not_before = now + jittered(self._pause)
        self._pause = min(self._pause * BACKOFF_FACTOR, MAX_BACKOFF)

    def succeed(self) -> None:
        """Note a success, which resets the pause."""
        self.not_before = -math.inf
        self._pause = MIN_BACKOFF
