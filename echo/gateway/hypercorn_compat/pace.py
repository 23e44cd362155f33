"""Spreads out WebSocket handshakes that arrive together.

Upstream: the applications of all requests that have arrived begin in the same turn of the event loop. When a proxy
restarts, thousands of clients come back at once, and nothing else is served until all handshakes have been answered:
no message on another connection, and no health check. Here only a few begin in each turn, in the order of their
arrival, and everything else goes on in between.
"""

from typing import Final

import trio

HANDSHAKES_PER_TURN: Final = 8
"""Handshakes that begin in one turn of the event loop; each takes some 0.3 ms."""

_slots: Final = trio.lowlevel.RunVar[trio.Semaphore]("handshakes")


async def wait_for_slot() -> None:
    """Wait until a handshake may begin."""
    try:
        slots = _slots.get()
    except LookupError:
        slots = trio.Semaphore(HANDSHAKES_PER_TURN)
        _slots.set(slots)
    async with slots:
        pass  # A slot taken is held until the next turn, and then handed to the one that has waited longest.
