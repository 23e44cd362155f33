"""Spreads out requests and WebSocket handshakes that arrive together.

Upstream: all requests that have arrived are parsed in one turn of the event loop, and their applications begin in the
next. When a proxy restarts, thousands of clients come back at once, and nothing else is served until all of them have
been answered: no message on another connection, and no health check. Here only some are parsed in each turn, and only
a few handshakes begin, in the order of their arrival, and everything else goes on in between.
"""

from typing import Final

import trio

REQUESTS_PER_TURN: Final = 32
"""Requests that are parsed in one turn of the event loop, and as many that have waited; each takes some 0.15 ms."""

HANDSHAKES_PER_TURN: Final = 4
"""Handshakes that begin in one turn, and as many that have waited; each takes some 0.3 ms. They are much fewer than the
requests, so that a request that is not a handshake need not wait for all handshakes that came before it."""


class Slots:
    """Lets some pass in each turn of the event loop: so many at once, and so many that have waited."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._free = most
        self._waiting = trio.Semaphore(most)

    def take(self) -> bool:
        """Take a slot of this turn; returns whether there was one. Otherwise `wait`."""
        taken = self._free > 0
        self._free -= taken
        return taken

    async def wait(self) -> None:
        """Wait for a slot of a later turn."""
        async with self._waiting:
            pass  # It is held until the next turn, and then handed to the one that has waited longest.

    def renew(self) -> None:
        """A turn begins."""
        self._free = self._most


class Pace(trio.abc.Instrument):
    """The slots of one event loop.

    Attributes:
        requests: For parsing a request.
        handshakes: For beginning the application for a WebSocket.
    """

    def __init__(self) -> None:
        self.requests = Slots(REQUESTS_PER_TURN)
        self.handshakes = Slots(HANDSHAKES_PER_TURN)

    def after_io_wait(self, timeout: float) -> None:  # noqa: ARG002 - trio's signature
        """A turn begins."""
        self.requests.renew()
        self.handshakes.renew()


_pace: Final = trio.lowlevel.RunVar[Pace]("pace")


def pace() -> Pace:
    """The pace of this event loop."""
    try:
        return _pace.get()
    except LookupError:
        found = Pace()
        _pace.set(found)
        trio.lowlevel.add_instrument(found)
        return found
