"""A line in front of a server that serves only so many connections at a time, whatever is said on them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from tests.probe.relays import LOST
from tests.support.serving import LOOPBACK, accepting, carry


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
                    nursery.start_soon(carry, client, server, nursery.cancel_scope)
                    nursery.start_soon(carry, server, client, nursery.cancel_scope)
            except* LOST:
                pass

    async with accepting(serve) as own:
        yield own
