"""A server on a free port of the loopback, over real TCP."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from anyio.abc import SocketAttribute

from echo.rpc import Server, open_tcp_listener

LOOPBACK = "127.0.0.1"


@asynccontextmanager
async def serving(server: Server) -> AsyncIterator[int]:
    """Serve while the block runs; yields the port. When the block ends, all connections end at once."""
    async with anyio.create_task_group() as tasks:
        listener = await open_tcp_listener(LOOPBACK, 0)
        await tasks.start(server.serve, listener)
        yield listener.extra(SocketAttribute.local_port)
        tasks.cancel_scope.cancel()
