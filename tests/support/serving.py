"""A server on a free port of the loopback, over real TCP."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import trio
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


@asynccontextmanager
async def accepting(serve: Callable[[trio.SocketStream], Awaitable[object]]) -> AsyncIterator[int]:
    """Serve each connection in a task while the block runs; yields the port. At its end, all tasks are cancelled."""
    (listener,) = await trio.open_tcp_listeners(0, host=LOOPBACK)
    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_listeners, serve, [listener])
        yield listener.socket.getsockname()[1]
        nursery.cancel_scope.cancel()


async def carry(source: trio.SocketStream, sink: trio.SocketStream, line: trio.CancelScope) -> None:
    """Carry bytes one way; the line ends with either end."""
    async for data in source:
        await sink.send_all(data)
    line.cancel()
