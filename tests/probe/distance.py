"""A line in front of a server that knows nothing of HTTP: every byte arrives later, or only so many a second."""

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import trio

from tests.probe.relays import LOST
from tests.support.serving import LOOPBACK, accepting

PIECE: Final = 65_536


@asynccontextmanager
async def far_away(
    port: int, *, seconds: float = 0.0, rate: float = math.inf, first: bytes = b""
) -> AsyncIterator[int]:
    """A line to the server on this port of the loopback, for the block; gives its own port.

    Args:
        port: The server's.
        seconds: How much later a byte arrives, in each direction.
        rate: Bytes a second, of each connection in each direction.
        first: What the line itself says to the server on each connection, before anything else.
    """

    async def serve(client: trio.SocketStream) -> None:
        await trio.sleep(seconds)
        try:
            async with client, await trio.open_tcp_stream(LOOPBACK, port) as server, trio.open_nursery() as nursery:
                await server.send_all(first)
                nursery.start_soon(_carry, client, server, seconds, rate)
                nursery.start_soon(_carry, server, client, seconds, rate)
        except* LOST:
            pass

    async with accepting(serve) as own:
        yield own


async def _carry(source: trio.SocketStream, sink: trio.SocketStream, seconds: float, rate: float) -> None:
    """Carry bytes one way. However many are under way, more are taken, as a long line with large buffers does."""
    put, got = trio.open_memory_channel[tuple[float, bytes]](math.inf)

    async def arrive() -> None:
        free = 0.0
        async for began, data in got:
            free = max(free, began) + len(data) / rate
            await trio.sleep_until(free + seconds)
            await sink.send_all(data)
        await sink.send_eof()

    async with trio.open_nursery() as nursery, put:
        nursery.start_soon(arrive)
        async for data in source:
            for at in range(0, len(data), PIECE):
                put.send_nowait((trio.current_time(), bytes(data[at : at + PIECE])))
