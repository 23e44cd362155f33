"""Spreads out requests and WebSocket handshakes that arrive together.

Upstream: all requests that have arrived are parsed in one turn of the event loop, and their applications begin in the
next. When a proxy restarts, thousands of clients come back at once, and nothing else is served until all of them have
been answered: no message on another connection, and no health check. Here only some are parsed in each turn, and only
a few handshakes begin, in the order of their arrival, and everything else goes on in between.
"""

from time import thread_time
from typing import Final

import trio

HANDSHAKES_PER_TURN: Final = 8
"""Handshakes that begin in one turn of the event loop; each takes some 0.3 ms."""

REQUESTS_PER_TURN: Final = 32
"""Requests that are parsed in one turn while many wait; each takes some 0.15 ms."""

SHARE: Final = 0.01
"""Seconds of work after which requests wait for their turn. A lone request then waits once in 20, for 10 µs."""


class Pace:
    """The slots of one event loop."""

    def __init__(self) -> None:
        self._handshakes = trio.Semaphore(HANDSHAKES_PER_TURN)
        self._requests = trio.Semaphore(REQUESTS_PER_TURN)
        self._since = 0.0  # When a request last had to wait, as the thread's time of work.

    def crowded(self) -> bool:
        """Whether a request must `wait_to_parse`; one that need not goes on without a turn of the event loop."""
        return thread_time() - self._since > SHARE

    async def wait_to_parse(self) -> None:
        """Wait until a request may be parsed. Shielded, since its bytes have been read; the wait is bounded."""
        with trio.CancelScope(shield=True):
            await _turn(self._requests)
        self._since = thread_time()

    async def wait_for_handshake(self) -> None:
        """Wait until a handshake may begin."""
        await _turn(self._handshakes)


async def _turn(slots: trio.Semaphore) -> None:
    async with slots:
        pass  # A slot taken is held until the next turn, and then handed to the one that has waited longest.


_pace: Final = trio.lowlevel.RunVar[Pace]("pace")


def pace() -> Pace:
    """The pace of this event loop."""
    try:
        return _pace.get()
    except LookupError:
        found = Pace()
        _pace.set(found)
        return found
