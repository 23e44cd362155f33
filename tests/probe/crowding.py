"""A line in front of a server that serves only so many connections at a time, whatever is said on them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from tests.probe.relays import LOST
from tests.support.serving import LOOPBACK


@asynccontextmanager
async def crowded(port: int, most: int, *, closing: bool) -> AsyncIterator[int]:
    """A line to the server on this port of the loopback, for the block; gives its own port.

    Args:
        port: The server's.
        most: How many connections are served at a time.
        closing: Whether further ones are closed at once. Else they wait for a place, and nothing is said on them.
    """
    places = trio.CapacityLimiter(most)

    async def serve(client: trio.SocketStream) -> None:
        async with client:
            if closing and not places.available_tokens:
                return
            try:
                async with places, await trio.open_tcp_stream(LOOPBACK, port) as server, trio.open_nursery() as nursery:
                    nursery.start_soon(_carry, client, server, nursery.cancel_scope)
                    nursery.start_soon(_carry, server, client, nursery.cancel_scope)
            except* LOST:
                pass

    (listener,) = await trio.open_tcp_listeners(0, host=LOOPBACK)
    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_listeners, serve, [listener])
        yield listener.socket.getsockname()[1]
        nursery.cancel_scope.cancel()


async def _carry(source: trio.SocketStream, sink: trio.SocketStream, line: trio.CancelScope) -> None:
    """Carry bytes one way; the line ends with either end."""
    async for data in source:
        await sink.send_all(data)
    line.cancel()
