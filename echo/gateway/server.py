"""Serves the gateway with Hypercorn's protocols in the caller's event loop, and drains it gracefully."""

import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING

import trio
from anyio.abc import SocketAttribute
from hypercorn.config import Config
from hypercorn.utils import wrap_app

from echo.gateway.application import create_app
from echo.gateway.arrivals import Arrivals, HandedOver, Handler, Listening
from echo.gateway.drain import Drain
from echo.gateway.hypercorn_compat import CLOSE_GRACE
from echo.gateway.runtime import Runtime
from echo.gateway.tracing import GatewayTracing, traced
from echo.rpc import Limits
from echo.settings import Settings
from echo.targets import join
from echo.tls_files import following, web_files
from echo.transport import ConnectionSource, open_tcp_listener

if TYPE_CHECKING:
    from echo.telemetry.meters import Meters

TLS_TIMEOUT = Limits().handshake_timeout  # Seconds for a client's TLS handshake; Hypercorn's default is 60.


async def serve_gateway(
    settings: Settings,
    *,
    shutdown: Callable[[], Awaitable[None]],
    hangup: Callable[[], Awaitable[None]] = trio.sleep_forever,
    source: ConnectionSource | None = None,
    others_serve: Callable[[], bool] = lambda: False,
    tracing: GatewayTracing | None = None,
    meters: "Meters | None" = None,
    task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve the gateway until ``shutdown()`` returns and it has drained.

    During the drain, ``/readyz`` returns 503 and everything else continues, new connections included, until no work is
    in progress, but for at most ``shutdown_grace`` seconds. Then nothing more is accepted. Work left over when the
    grace period ends is cut off: WebSockets are closed with 1001, calls over HTTP answered with 503. That takes at most
    two seconds, whatever the clients do.

    Args:
        settings: Where to listen, and which server to call.
        shutdown: Returns when the gateway should stop.
        hangup: Returns when the gateway should look at its TLS files, besides every few seconds.
        tracing: Records requests as traces; None for no traces.
        meters: Counts what it does; None for no metrics.
        source: Where connections come from, if the gateway should not listen itself.
        others_serve: Called at the start of the drain: whether other processes continue to serve, so that this one
            stays ready.
        task_status: ``started`` gets the addresses it listens on, such as ``https://127.0.0.1:8080``, once connections
            are accepted.

    Raises:
        OSError: It cannot listen on the address; nothing has been started.
        SettingsError: A certificate or key can't be used, the gateway's own or that for calling the gRPC server.

    Cancelling it closes everything at once; WebSocket clients still get a close frame if they read it.
    """
    # Imported only now, because `create_app` checks the versions first.
    app = create_app(settings, meters, traced(tracing), hangup)
    from echo.gateway.hypercorn_compat.serve import serve_connections  # noqa: PLC0415

    config, tls, grace = _config(settings), web_files(settings), settings.shutdown_grace
    drain = app.runtime.drain
    if meters is not None:
        meters.watch_certificate(tls)
    async with following(tls, hangup=hangup), AsyncExitStack() as stack:
        bound: list[str] = []
        arrivals: Arrivals
        if source is None:
            host = settings.http_bind
            listener = await stack.enter_async_context(await open_tcp_listener(host, settings.http_port))
            arrivals = Listening(listener, tls)
            scheme, port = "http" if tls is None else "https", listener.extra(SocketAttribute.local_port)
            bound.append(f"{scheme}://{join(host, port)}")
        else:
            arrivals = HandedOver(source, tls)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_cut_off, drain, grace)
            await serve_connections(
                wrap_app(app, 0, "asgi"),
                config,
                partial(_accept, arrivals, partial(_stop, app.runtime, shutdown, grace, arrivals, others_serve)),
                started=partial(task_status.started, bound),
                drain_begun=drain.begun,
            )
            nursery.cancel_scope.cancel()


async def _accept(
    arrivals: Arrivals, stop: Callable[[], Awaitable[float]], handler: Handler, nursery: trio.Nursery
) -> float:
    """Accept connections until ``stop()`` returns; returns its result."""
    async with trio.open_nursery() as accepting:
        accepting.start_soon(arrivals.accept, handler, nursery)
        patience = await stop()
        accepting.cancel_scope.cancel()
    return patience


async def _stop(
    runtime: Runtime,
    shutdown: Callable[[], Awaitable[None]],
    grace: float,
    arrivals: Arrivals,
    others_serve: Callable[[], bool],
) -> float:
    """Wait for the shutdown and the drain; returns the seconds that open connections have left."""
    await shutdown()
    deadline = trio.current_time() + grace
    runtime.drain.start(others_serve=others_serve())
    if runtime.tracing is not None:
        runtime.tracing.draining()
    with trio.CancelScope(deadline=deadline):
        await runtime.drain.finished()
        await arrivals.finish()
    return max(0.0, deadline - trio.current_time()) + CLOSE_GRACE  # A connection adds `CLOSE_GRACE` of its own.


async def _cut_off(drain: Drain, grace: float) -> None:
    """Cut off the work that is left when the grace period ends."""
    await drain.begun()
    await trio.sleep(grace)
    drain.cut()


def _config(settings: Settings) -> Config:
    """Hypercorn's configuration. `echo.gateway.hypercorn_compat` handles pings and dead peers, so its own are off."""
    config = Config()
    config.websocket_max_message_size = settings.grpc_max_message_size
    config.include_server_header = False
    config.keep_alive_timeout = settings.http_max_connection_idle
    config.ssl_handshake_timeout = TLS_TIMEOUT
    # Loggers instead of names, so that Hypercorn adds no handlers. Logging a request costs more than serving it.
    config.errorlog = logging.getLogger("hypercorn.error")
    if settings.log_level == "debug":
        config.accesslog = logging.getLogger("hypercorn.access")
    else:
        # Hypercorn's messages below warnings repeat what our caller announces.
        config.errorlog = config.errorlog.getChild("gateway")
        config.errorlog.setLevel(logging.WARNING)
    return config
