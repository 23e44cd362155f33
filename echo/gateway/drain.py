"""Tracks the gateway's current work, so that a drain can wait for it and cancel what is left.

Every request and every WebSocket runs in its own scope, entered here. A drain announces itself (`start`), waits for
`finished` within the grace period, and cancels the rest (`cut`), which then sends its own answers.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import trio


class Drain:
    """The drain of one application, and the work it waits for."""

    def __init__(self) -> None:
        self._begun = trio.Event()
        self._others_serve = False
        self._cut = False
        self._scopes: set[trio.CancelScope] = set()
        self._waiting = trio.lowlevel.ParkingLot()

    @property
    def started(self) -> bool:
        """Whether the gateway is draining; it still accepts requests."""
        return self._begun.is_set()

    @property
    def unready(self) -> bool:
        """Whether new requests should go elsewhere: the gateway is draining and no other process serves for it."""
        return self.started and not self._others_serve

    @property
    def working(self) -> int:
        """Requests and WebSockets in progress."""
        return len(self._scopes)

    @contextmanager
    def work(self) -> Iterator[trio.CancelScope]:
        """Track one request or WebSocket; the scope's ``cancelled_caught`` says afterwards whether it was cancelled."""
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
        """Announce the drain; with ``others_serve``, only this process drains and others continue to serve."""
        self._others_serve = others_serve
        self._begun.set()

    async def begun(self) -> None:
        """Wait until the drain starts."""
        await self._begun.wait()

    async def finished(self) -> None:
        """Wait until nothing is in progress."""
        while self._scopes:
            await self._waiting.park()

    def cut(self) -> None:
        """Cancel the remaining work and all later work."""
        self._cut = True
        for scope in self._scopes:
            scope.cancel()
