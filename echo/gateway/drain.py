"""What the gateway is doing just now, so that a drain can wait for it, and end what is left.

Every request and every WebSocket is worked on in a scope of its own, entered here. A drain is then: say so (`start`),
wait for `finished` as long as the grace period allows, cancel the rest (`cut`), which answers for itself.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import trio


class Drain:
    """The drain of one application, and the work it is about."""

    def __init__(self) -> None:
        self._begun = trio.Event()
        self._others_serve = False
        self._cut = False
        self._scopes: set[trio.CancelScope] = set()
        self._waiting = trio.lowlevel.ParkingLot()

    @property
    def started(self) -> bool:
        """The gateway is going down; it still takes what comes."""
        return self._begun.is_set()

    @property
    def unready(self) -> bool:
        """Nothing new should be sent here: the gateway is going down, and nobody serves in its place."""
        return self.started and not self._others_serve

    @property
    def working(self) -> int:
        """Requests and WebSockets that are being worked on."""
        return len(self._scopes)

    @contextmanager
    def work(self) -> Iterator[trio.CancelScope]:
        """Work on one request or WebSocket; ``cancelled_caught`` of the scope says afterwards that it was cut off."""
        with trio.CancelScope() as scope:
            if self._cut:
                scope.cancel()
            self._scopes.add(scope)
            try:
                yield scope
            finally:
                self._scopes.discard(scope)
                if not self._scopes:
                    self._waiting.unpark_all()

    def start(self, *, others_serve: bool = False) -> None:
        """Say that the gateway is going down; or that this process of several is, and others serve on."""
        self._others_serve = others_serve
        self._begun.set()

    async def begun(self) -> None:
        """Wait until the gateway goes down."""
        await self._begun.wait()

    async def finished(self) -> None:
        """Wait until nothing is being worked on."""
        while self._scopes:
            await self._waiting.park()

    def cut(self) -> None:
        """Cancel the work that is left, and what comes from now on."""
        self._cut = True
        for scope in self._scopes:
            scope.cancel()
