"""A token bucket that limits frames which cost us work and carry nothing useful.

Each frame of a kind used in floods takes a token; tokens come back over time. The burst is far above what a
well-behaved peer sends at once, and the rate is far below what would hurt.
"""


class Budget:
    """A bucket of ``burst`` tokens, refilled at ``per_second``."""

    __slots__ = ("_burst", "_per_second", "_tokens", "_updated")

    def __init__(self, burst: float, per_second: float) -> None:
        self._burst = burst
        self._per_second = per_second
        self._tokens = burst
        self._updated = 0.0

    def spend(self, now: float) -> bool:
        """Take a token at time ``now``, in seconds on any clock; False if none is left."""
        self._tokens = min(self._burst, self._tokens + (now - self._updated) * self._per_second)
        self._updated = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
