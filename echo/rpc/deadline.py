"""Deadlines on the event loop's clock, in the shape of grpclib's ``Deadline``.

grpclib uses ``time.monotonic``. The event loop's clock is the same in production, and tests can advance it.
"""

import math
from functools import total_ordering

import anyio
from grpclib.metadata import Deadline as GrpclibDeadline


@total_ordering
class Deadline(GrpclibDeadline):
    """A point in time by which a call must be over.

    Compares with other instances by that time, and with grpclib's own deadlines by the time remaining.

    Attributes:
        time: The deadline on the event loop's clock, in seconds.
    """

    def __init__(self, time: float) -> None:
        # Does not call grpclib's __init__, which stores a time of another clock.
        self.time = time

    @classmethod
    def at(cls, time: float) -> "Deadline":
        """The deadline at ``time`` on the event loop's clock, in seconds."""
        return cls(time)

    @classmethod
    def from_timeout(cls, timeout: float) -> "Deadline":
        """The deadline ``timeout`` seconds from now."""
        return cls(anyio.current_time() + timeout)

    def time_remaining(self) -> float:
        """Seconds left, at least zero."""
        return max(0.0, self.time - anyio.current_time())

    def __lt__(self, other: object) -> bool:
        if isinstance(other, Deadline):
            return self.time < other.time
        if isinstance(other, GrpclibDeadline):
            return self.time_remaining() < other.time_remaining()
        return NotImplemented

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Deadline) and self.time == other.time

    def __hash__(self) -> int:
        return hash(self.time)


def earliest(timeout: float | None, deadline: GrpclibDeadline | None) -> float:
    """The earlier of the two on the event loop's clock; infinity if both are None.

    Raises:
        TypeError: The timeout is not a number, or the deadline not a `Deadline`.
        ValueError: The timeout is NaN.
    """
    if timeout is None and deadline is None:
        return math.inf
    now, due = anyio.current_time(), math.inf
    if timeout is not None:
        try:
            due = now + timeout
        except TypeError:
            raise TypeError(f"timeout must be a number of seconds, not {timeout!r}") from None
        if math.isnan(due):
            raise ValueError(f"timeout must be a number of seconds, not {timeout!r}")
    if deadline is not None:
        if not isinstance(deadline, GrpclibDeadline):
            raise TypeError(f"deadline must be a Deadline, such as Deadline.from_timeout(5), not {deadline!r}")
        due = min(due, now + deadline.time_remaining())
    return due
