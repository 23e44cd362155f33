"""Whether the peer of a connection with WebSockets is still there.

Upstream: pings are a task for each WebSocket, which sleeps on after the WebSocket's end; and a read timeout is for
every connection, so one that finds silent WebSockets also cuts off long calls over HTTP. Here one task for each
connection that has had a WebSocket pings them all, and drops a peer that shows no life.
"""

import math
from collections.abc import Callable, Sequence
from typing import Protocol

import trio

from echo.gateway.hypercorn_compat.timing import PATIENCE


class Pinged(Protocol):
    """A WebSocket, as seen from here."""

    @property
    def ping_interval(self) -> float:
        """Seconds between its pings."""
        ...

    async def ping(self) -> None:
        """Ask the client for a sign of life."""
        ...


class Liveness:
    """When a connection's peer last showed life."""

    def __init__(self) -> None:
        self._busy = 1  # How many have something of the peer's to hand on, and may keep it from sending more.
        self._heard = math.inf

    def begin(self) -> None:
        """There is something to hand on: as long as that takes, silence is no sign of anything."""
        self._busy += 1

    def end(self) -> None:
        """It is handed on: from now on we wait for the peer."""
        self._busy -= 1
        self._heard = trio.current_time()

    def note(self) -> None:
        """The peer has taken what it had not taken for a while: it reads, if slowly."""
        self._heard = trio.current_time()

    async def watch(self, websockets: Callable[[], Sequence[Pinged]], nursery: trio.Nursery) -> bool:
        """Ping the open WebSockets, until none is left, or the peer is to be dropped: tells whether it is.

        Args:
            websockets: Those of the connection that are open and to be pinged now.
            nursery: For the pings, each by itself: one may wait for room in its stream of HTTP/2.
        """
        began = trio.current_time()
        while found := websockets():
            interval = min(websocket.ping_interval for websocket in found)
            patience = max(PATIENCE, 2 * interval)
            now = trio.current_time()
            if not self._busy and now >= self._heard + patience:
                return True
            if now >= began + interval:
                began = now
                for websocket in found:
                    nursery.start_soon(websocket.ping)
            await trio.sleep_until(min(began + interval, math.inf if self._busy else self._heard + patience))
        return False
