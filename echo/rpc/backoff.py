"""How long to leave a server alone that could not be reached: exponential, with jitter."""

import math
import random
from typing import Final

# Seconds between attempts: growing, lest a server that comes back is overrun; varied, lest all its clients come at
# once; and never long, since calls fail meanwhile.
MIN_BACKOFF: Final = 0.05
MAX_BACKOFF: Final = 2.0
BACKOFF_FACTOR: Final = 1.6
JITTER: Final = 0.2


class Backoff:
    """The pause after each failure in a row. It is a time to compare with, not a timer: nothing runs meanwhile.

    Attributes:
        failures: How often it failed, ever.
        not_before: The time on the event loop's clock until which nothing is to be tried.
    """

    def __init__(self) -> None:
        self.failures = 0
        self.not_before = -math.inf
        self._pause = MIN_BACKOFF

    def fail(self, now: float) -> None:
        """It failed now."""
        self.failures += 1
        self.not_before = now + self._pause * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - not for secrets
        self._pause = min(self._pause * BACKOFF_FACTOR, MAX_BACKOFF)

    def succeed(self) -> None:
        """It succeeded: what was before is forgiven."""
        self.not_before = -math.inf
        self._pause = MIN_BACKOFF
