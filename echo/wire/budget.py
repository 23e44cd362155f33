"""How much of what costs us and is of little use a peer may send: a token bucket.

Each frame of the kinds that floods are made of takes a token; tokens come back with time. The burst is far above what
a sound peer sends at once, the rate far below what would hurt.
"""


class Budget:
    """A bucket of ``burst`` tokens that fills up by ``per_second``."""

    __slots__ = ("_burst", "_per_second", "_tokens", "_updated")

    def __init__(self, burst: float, per_second: float) -> None:
        self._burst = burst
        self._per_second = per_second
        self._tokens = burst
        self._updated = 0.0

    def spend(self, now: float) -> bool:
        """Take a token at the time ``now``, in seconds on any clock; False if there is none."""
        self._tokens = min(self._burst, self._tokens + (now - self._updated) * self._per_second)
        self._updated = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
