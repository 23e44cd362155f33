"""Ends connections that are idle, or that the server is closing.

Upstream: Quart-Trio cancels a handler at the end of its response. In that cancelled task, Hypercorn should close the
connection, or wait five seconds for the next request, so it does neither. And a stopping Hypercorn closes idle
connections at once, even those it has just accepted, whose request is still arriving. One timeout bounds the time
between requests, which a load balancer in front decides, and the time in which a request arrives, which is short.
"""

import math
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import trio
from hypercorn.config import Config
from hypercorn.trio.worker_context import WorkerContext

from echo.gateway.hypercorn_compat.timing import CLOSE_GRACE, REQUEST_TIMEOUT, was_stopped


class Idleness:
    """Closes a connection that has been idle for Hypercorn's ``keep_alive_timeout``, or for `REQUEST_TIMEOUT`."""

    def __init__(
        self, nursery: trio.Nursery, config: Config, context: WorkerContext, close: Callable[[], Awaitable[None]]
    ) -> None:
        self._nursery = nursery
        self._config = config
        self._context = context
        self._close = close
        self._waiting: trio.CancelScope | None = None
        self._patience = trio.CancelScope()

    def begin(self, *, served: bool) -> None:
        """The connection is idle from now on; ``served`` says whether it has had a request."""
        self.end()
        self._waiting = trio.CancelScope()
        self._patience = trio.CancelScope(deadline=trio.current_time() + self._config.keep_alive_timeout)
        if not served:
            self.hurry()
        self._nursery.start_soon(self._wait, self._waiting, self._patience)

    @property
    def waiting(self) -> bool:
        """Whether the connection is idle."""
        return self._waiting is not None

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """Do not close it in the block, which waits for something other than the peer."""
        patience = self._patience
        deadline, patience.deadline = patience.deadline, math.inf
        try:
            yield
        finally:
            patience.deadline = deadline

    def hurry(self) -> None:
        """A request is due."""
        self._patience.deadline = min(self._patience.deadline, trio.current_time() + REQUEST_TIMEOUT)

    def end(self) -> None:
        """The connection is busy again, or over."""
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    async def _wait(self, scope: trio.CancelScope, patience: trio.CancelScope) -> None:
        with scope:
            with patience:
                await self._context.terminated.wait()
                # A request may be arriving (on a new connection it surely is), which would end this wait.
                await trio.sleep(CLOSE_GRACE)
            if patience.cancelled_caught and was_stopped(patience.deadline):
                await trio.sleep(CLOSE_GRACE)  # A request may have arrived.
            with trio.CancelScope(shield=True):  # Nothing in here waits.
                await self._close()


async def with_close_grace(function: Callable[[], Awaitable[object]]) -> None:
    """Run the function; if it is cancelled, run it again for `CLOSE_GRACE`, so that close frames are exchanged."""
    try:
        await function()
    except trio.Cancelled:
        with trio.move_on_after(CLOSE_GRACE, shield=True):  # Bounded.
            await function()
        raise
