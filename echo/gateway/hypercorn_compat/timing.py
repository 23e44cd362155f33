"""The timeouts of the gateway's connections, and how to tell that one passed while the process was stopped.

A process is stopped by SIGSTOP, `docker pause` or a virtual machine's migration. Then all timeouts have passed when it
wakes, before anything that has arrived meanwhile is read: trio's first look at the sockets may even find nothing, since
Python's `epoll.poll` returns no events if it is interrupted and its time is up.
"""

from typing import Final

import trio

REQUEST_TIMEOUT: Final = 5.0
"""Seconds for the first request of a connection to arrive, and for the rest of a later one that has begun to."""

HALF_CLOSED_PATIENCE: Final = 1.0
"""Seconds for the responses to a client that has ended its side of an HTTP/1.1 connection; it may also have left."""

CLOSE_TIMEOUT: Final = 5.0
"""Seconds for a client to answer our close frame, and for an application to notice that its client has gone."""

CLOSE_GRACE: Final = 1.0
"""Seconds for close frames and their answers once the server closes the connection."""

PATIENCE: Final = 60.0
"""Seconds without a sign of life after which a peer is dropped: one with WebSockets that answers no ping, or any that
reads nothing of what is sent. On HTTP/2, a stream whose window stays closed for so long is ended."""

_LATE: Final = 1.0  # Seconds. A busy process is rarely so late.


def was_stopped(deadline: float) -> bool:
    """Whether the process was stopped, or too busy, when the deadline passed: what peers have sent may be unread."""
    return trio.current_time() > deadline + _LATE
