"""The gateway's channels to the gRPC server: one that all requests share, and more when needed.

A server limits the calls on one connection (ours to 100, the least that RFC 9113 §6.5.2 recommends), and further calls
wait for their turn. That is right for calls that end soon, but WebSockets do not: a hundred idle ones would keep all
other requests from the server, the readiness probe included. So when a channel has its hundred calls, another one is
opened, and closed again when it is no longer needed.

``GRPC_MAX_CONCURRENT_STREAMS`` applies to both ends: if you change it for the server, change it for the gateway too.
"""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Final

import trio

from echo.rpc import Channel

log = logging.getLogger(__name__)

CALLS_PER_CHANNEL: Final = 100


@dataclass(eq=False, slots=True)
class _PooledChannel:
    """A channel, and how many requests use it, counted from before they open their calls."""

    channel: Channel
    scope: trio.CancelScope
    users: int = 0


class Backend:
    """The channels to one server; created by `open_backend`."""

    def __init__(
        self, open_one: Callable[[], AbstractAsyncContextManager[Channel]], nursery: trio.Nursery, most: int
    ) -> None:
        self._open_one = open_one
        self._most = most
        self._nursery = nursery
        self._pool: list[_PooledChannel] = []
        self._growing = trio.Lock()
        self._request_channel, self._requests = trio.open_memory_channel[trio.Event](0)

    @asynccontextmanager
    async def channel(self) -> AsyncIterator[Channel]:
        """A channel with room for one call, which is to be made in the block."""
        pooled = self._reserve() or await self._grow()
        try:
            yield pooled.channel
        finally:
            pooled.users -= 1
            if len(self._pool) > 1:
                self._shrink()

    def _reserve(self) -> _PooledChannel | None:
        """Reserve a call on a channel that has room; None if all are full."""
        for pooled in self._pool:
            if pooled.users < self._most:
                pooled.users += 1
                return pooled
        return None

    async def _grow(self) -> _PooledChannel:
        async with self._growing:
            # Another request may have opened a channel or ended while this one waited, and while a channel opens.
            while (found := self._reserve()) is None:
                opened = trio.Event()
                await self._request_channel.send(opened)
                await opened.wait()
            return found

    async def open_requested(self) -> None:
        """Open channels on request; in a task of its own, so that no channel depends on the request that needs it."""
        async for opened in self._requests:
            await self._nursery.start(self._run_channel)
            opened.set()

    def _shrink(self) -> None:
        """Close an unused channel, unless the remaining ones would have little room. The first one stays."""
        room = sum(self._most - pooled.users for pooled in self._pool)
        for pooled in self._pool[1:]:
            if pooled.users == 0 and room - self._most >= self._most / 2:
                self._pool.remove(pooled)
                pooled.scope.cancel()
                return

    async def _run_channel(self, task_status: trio.TaskStatus[None]) -> None:
        """Add a channel to the pool and keep it open until it is cancelled."""
        pooled: _PooledChannel | None = None
        try:
            with trio.CancelScope() as scope:
                async with self._open_one() as channel:
                    pooled = _PooledChannel(channel, scope)
                    self._pool.append(pooled)
                    task_status.started()
                    await trio.sleep_forever()
        except Exception:
            if pooled is None:
                raise
            # A fault in the channel. Its calls have failed; the next one opens another, and the gateway goes on.
            log.exception("a channel failed")
        finally:
            if pooled in self._pool:
                self._pool.remove(pooled)


@asynccontextmanager
async def open_backend(
    open_one: Callable[[], AbstractAsyncContextManager[Channel]], calls_per_channel: int = CALLS_PER_CHANNEL
) -> AsyncIterator[Backend]:
    """Channels to a server, for the duration of the block; leaving it ends the calls that are still open.

    Args:
        open_one: Opens a channel.
        calls_per_channel: How many calls the server allows on one connection.
    """
    async with trio.open_nursery() as nursery:
        backend = Backend(open_one, nursery, calls_per_channel)
        nursery.start_soon(backend.open_requested)
        yield backend
        nursery.cancel_scope.cancel()
