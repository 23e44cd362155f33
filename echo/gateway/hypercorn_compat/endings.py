"""How a connection ends that has nothing to do, or no time left.

Upstream: the end of a response cancels its handler (Quart-Trio does so), in whose cancelled task Hypercorn is then to
close the connection, or to give it five seconds for the next request; so neither happens. And when Hypercorn stops, it
closes connections that are idle at once, also those it has just accepted, whose request is on its way.
"""

from collections.abc import Awaitable, Callable

import trio
from hypercorn.config import Config
from hypercorn.trio.worker_context import WorkerContext

from echo.gateway.hypercorn_compat.timing import LAST_WORDS


class Idleness:
    """Whether a connection has nothing to do; it is closed when that lasts for Hypercorn's ``keep_alive_timeout``."""

    def __init__(
        self, nursery: trio.Nursery, config: Config, context: WorkerContext, close: Callable[[], Awaitable[None]]
    ) -> None:
        self._nursery = nursery
        self._config = config
        self._context = context
        self._close = close
        self._waiting: trio.CancelScope | None = None

    def begin(self) -> None:
        """There is nothing to do, as of now."""
        self.end()
        self._waiting = trio.CancelScope()
        self._nursery.start_soon(self._wait, self._waiting)

    def end(self) -> None:
        """There is something to do, or nothing ever again."""
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    async def _wait(self, scope: trio.CancelScope) -> None:
        with scope:
            with trio.move_on_after(self._config.keep_alive_timeout):
                await self._context.terminated.wait()
                # A request may be under way (on a new connection it surely is), which would end this wait.
                await trio.sleep(LAST_WORDS)
            with trio.CancelScope(shield=True):  # Nothing in it waits.
                await self._close()


async def with_last_words(function: Callable[[], Awaitable[object]]) -> None:
    """Run the function; if it is cancelled, run it again for a moment: close frames and their answers are to pass."""
    try:
        await function()
    except trio.Cancelled:
        with trio.move_on_after(LAST_WORDS, shield=True):  # The last words; bounded.
            await function()
        raise
