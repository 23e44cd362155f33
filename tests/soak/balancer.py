"""A balancer of TCP connections on a port of its own: each goes to the next of its targets that takes it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import trio

from tests.soak.program import LOOPBACK


class Balancer:
    """Give it the targets; they may be down, or come back, at any time."""

    def __init__(self, port: int, targets: Sequence[int]) -> None:
        self.port = port
        self._targets = targets
        self._next = 0

    async def carry(self, client: trio.SocketStream) -> None:
        """Serve one connection; it is closed at once if no target takes it."""
        async with client:
            server = await self._dial()
            if server is not None:
                async with server, trio.open_nursery() as pumps:
                    pumps.start_soon(_pump, client, server, pumps.cancel_scope)
                    pumps.start_soon(_pump, server, client, pumps.cancel_scope)

    async def _dial(self) -> trio.SocketStream | None:
        self._next += 1
        first = self._next % len(self._targets)
        for target in (*self._targets[first:], *self._targets[:first]):
            try:
                return await trio.open_tcp_stream(LOOPBACK, target)
            except OSError:
                continue
        return None


async def _pump(source: trio.SocketStream, sink: trio.SocketStream, both: trio.CancelScope) -> None:
    try:
        async for data in source:
            await sink.send_all(data)
        await sink.send_eof()
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        both.cancel()


@asynccontextmanager
async def balancing(*targets: int) -> AsyncIterator[Balancer]:
    """A balancer while the block runs."""
    (listener,) = await trio.open_tcp_listeners(0, host=LOOPBACK)
    balancer = Balancer(listener.socket.getsockname()[1], targets)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, balancer.carry, [listener])
        yield balancer
        nursery.cancel_scope.cancel()
