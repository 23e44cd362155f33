"""Serving an application on connections from anywhere: what Hypercorn's trio worker does, without its sockets.

Hypercorn's worker accepts by itself, on sockets that it is given: it cannot be handed connections that another process
has accepted. So `serve_gateway` serves by this; plain ``hypercorn`` serves by its own worker and `install`.
"""

from collections.abc import Awaitable, Callable

import trio
from hypercorn.config import Config
from hypercorn.trio.lifespan import Lifespan
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import AppWrapper, ConnectionState, LifespanState

from echo.gateway.hypercorn_compat.connection import Connection
from echo.gateway.hypercorn_compat.outlet import Stream

Handler = Callable[[Stream], Awaitable[None]]
Accept = Callable[[Handler, trio.Nursery], Awaitable[float]]
"""Runs the handler in the nursery for each connection that comes, until there are no more."""


async def serve_connections(
    app: AppWrapper,
    config: Config,
    accept: Accept,
    *,
    started: Callable[[], None],
) -> None:
    """Start the application, serve it on what ``accept`` brings, and shut it down when the connections have ended.

    Args:
        app: The application.
        config: Hypercorn's configuration.
        accept: Brings the connections. When it returns, those that are open have so many seconds to come to their end
            as it gives; then they are cancelled.
        started: Called as soon as the application has started.
    """
    state: LifespanState = {}
    lifespan = Lifespan(app, config, state)
    context = WorkerContext(None)
    async with trio.open_nursery() as background:
        await background.start(lifespan.handle_lifespan)
        await lifespan.wait_for_startup()

        async def serve(stream: Stream) -> None:
            await Connection(app, config, context, ConnectionState(state.copy()), stream).run()

        async with trio.open_nursery() as connections:
            started()
            try:
                patience = await accept(serve, connections)
            finally:
                await context.terminated.set()
            connections.cancel_scope.deadline = trio.current_time() + patience

        await lifespan.wait_for_shutdown()
        background.cancel_scope.cancel()
