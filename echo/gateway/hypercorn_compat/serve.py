"""Serves an application on connections from anywhere: Hypercorn's trio worker without its sockets.

Hypercorn's worker accepts connections itself, and cannot take over connections that another process has accepted. So
`serve_gateway` uses this worker; plain ``hypercorn`` uses its own, changed by `install`.
"""

from collections.abc import Awaitable, Callable

import trio
from hypercorn.config import Config
from hypercorn.trio.lifespan import Lifespan
from hypercorn.typing import AppWrapper, ConnectionState, LifespanState

from echo.gateway.hypercorn_compat.connection import Connection
from echo.gateway.hypercorn_compat.connection_context import DrainingContext
from echo.gateway.hypercorn_compat.outlet import Stream

Handler = Callable[[Stream], Awaitable[None]]
Accept = Callable[[Handler, trio.Nursery], Awaitable[float]]
"""Runs the handler in the nursery for each new connection, until it accepts no more."""


async def serve_connections(
    app: AppWrapper,
    config: Config,
    accept: Accept,
    *,
    started: Callable[[], None],
    drain_begun: Callable[[], Awaitable[None]],
) -> None:
    """Start the application, serve it on the connections of ``accept``, and shut it down when they have ended.

    Args:
        app: The application.
        config: Hypercorn's configuration.
        accept: Accepts the connections. It returns how many seconds the open ones then have before they are cancelled.
        started: Called as soon as the application has started.
        drain_begun: Returns when clients should send further requests elsewhere.
    """
    state: LifespanState = {}
    lifespan = Lifespan(app, config, state)
    context = DrainingContext(drain_begun)
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
