"""One address for several servers, as workers have: each connection goes to the server with the fewest."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from echo.probe.target import Target
from tests.support.serving import LOOPBACK, accepting, carry


@asynccontextmanager
async def sharing_an_address(*ports: int) -> AsyncIterator[Target]:
    """An address for the servers on these ports, for the block."""
    taken = dict.fromkeys(ports, 0)

    async def serve(client: trio.SocketStream) -> None:
        port = min(taken, key=taken.__getitem__)
        taken[port] += 1
        try:
            async with client, await trio.open_tcp_stream(LOOPBACK, port) as server, trio.open_nursery() as both:
                both.start_soon(carry, client, server, both.cancel_scope)
                both.start_soon(carry, server, client, both.cancel_scope)
        except* (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            taken[port] -= 1

    async with accepting(serve) as own:
        yield Target(LOOPBACK, own)
