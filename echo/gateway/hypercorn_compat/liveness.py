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
    """When a connection's peer last showed life.

    Attributes:
        listening: We wait for the peer; else the silence is ours.
    """

    def __init__(self) -> None:
        self.listening = False
        self._heard = math.inf

    def listen(self) -> None:
        """From now on we wait for the peer."""
        self.listening = True
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
            if self.listening and now >= self._heard + patience:
                return True
            if now >= began + interval:
                began = now
                for websocket in found:
                    nursery.start_soon(websocket.ping)
            await trio.sleep_until(min(began + interval, self._heard + patience if self.listening else math.inf))
        return False
