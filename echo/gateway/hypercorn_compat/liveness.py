"""Detects dead peers on connections with WebSockets.

Upstream: each WebSocket has its own ping task, which continues after the WebSocket's end; and the read timeout applies
to every connection, so a value that detects silent WebSockets also cuts off long HTTP calls. Here each connection that
has had a WebSocket has one task, which pings all of them and drops a peer that shows no sign of life.
"""

import math
from collections.abc import Callable, Sequence
from typing import Protocol

import trio

from echo.gateway.hypercorn_compat.timing import PATIENCE, was_stopped


class Pinged(Protocol):
    """A WebSocket that is pinged."""

    @property
    def ping_interval(self) -> float:
        """Seconds between its pings."""
        ...

    async def ping(self) -> None:
        """Send a ping."""
        ...


class Liveness:
    """When a connection's peer last showed a sign of life.

    Attributes:
        silence: Seconds of silence for which the peer was found dead; 0 until then.
    """

    def __init__(self) -> None:
        self.silence = 0.0
        self._paused = 1  # How many are delivering data of the peer's, which may keep it from sending more.
        self._last_seen = math.inf

    def pause(self) -> None:
        """Stop counting silence while received data is being delivered."""
        self._paused += 1

    def resume(self) -> None:
        """Count silence again, from now on."""
        self._paused -= 1
        self._last_seen = trio.current_time()

    def note_progress(self) -> None:
        """The peer has read data after a pause, so it is alive."""
        self._last_seen = trio.current_time()

    async def watch(self, websockets: Callable[[], Sequence[Pinged]], nursery: trio.Nursery) -> bool:
        """Ping the open WebSockets until none is left, or the peer is dead. Returns whether it is dead.

        Args:
            websockets: Returns the connection's open WebSockets that need pings.
            nursery: Runs each ping as a task, since one may wait for its HTTP/2 stream's window.
        """
        began = trio.current_time()
        while found := websockets():
            interval = min(websocket.ping_interval for websocket in found)
            patience = max(PATIENCE, 2 * interval)
            now = trio.current_time()
            if not self._paused and now >= self._last_seen + patience:
                self.silence = patience
                return True
            if now >= began + interval:
                began = now
                for websocket in found:
                    nursery.start_soon(websocket.ping)
            due = min(began + interval, math.inf if self._paused else self._last_seen + patience)
            await trio.sleep_until(due)
            if was_stopped(due):  # The peer was neither pinged nor heard.
                self._last_seen = trio.current_time()
        return False
