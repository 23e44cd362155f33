"""Deadlines on the event loop's clock, in the shape of grpclib's ``Deadline``.

grpclib measures on ``time.monotonic``. The clock of the event loop is the same in production, and is the one that
tests can turn forward.
"""

import math

import anyio
from grpclib.metadata import Deadline as GrpclibDeadline


class Deadline(GrpclibDeadline):
    """A point in time by which a call must be over."""

    @classmethod
    def at(cls, time: float) -> "Deadline":
        """The deadline at ``time`` on the event loop's clock, in seconds."""
        return cls(_timestamp=time)

    @classmethod
    def from_timeout(cls, timeout: float) -> "Deadline":
        """The deadline ``timeout`` seconds from now."""
        return cls.at(anyio.current_time() + timeout)

    def time_remaining(self) -> float:
        """Seconds from now, at least zero."""
        return max(0.0, self._timestamp - anyio.current_time())


def earliest(timeout: float | None, deadline: GrpclibDeadline | None) -> float:
    """The earlier of both on the event loop's clock; infinity for neither."""
    now = anyio.current_time()
    return min(
        math.inf if timeout is None else now + timeout,
        math.inf if deadline is None else now + deadline.time_remaining(),
    )
