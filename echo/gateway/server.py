"""Serving the gateway with Hypercorn's trio worker, in the caller's own event loop, and draining it in good order."""

import logging
import select
import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

import trio
from hypercorn.config import Config, Sockets
from hypercorn.trio.run import worker_serve
from hypercorn.utils import wrap_app

from echo.gateway.application import create_app
from echo.gateway.drain import Drain
from echo.gateway.hypercorn_compat import LAST_WORDS
from echo.gateway.runtime import Runtime
from echo.gateway.tracing import GatewayTracing, traced
from echo.settings import Settings
from echo.tls import web_context

if TYPE_CHECKING:
    from echo.telemetry.meters import Meters

BACKLOG = 1024
TLS_TIMEOUT = 20.0  # Seconds that a client has for its TLS handshake; Hypercorn would give it 60.


async def serve_gateway(
    settings: Settings,
    *,
    shutdown: Callable[[], Awaitable[None]],
    tracing: GatewayTracing | None = None,
    meters: "Meters | None" = None,
    task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve the gateway until ``shutdown()`` returns and it has drained.

    The drain: ``/readyz`` says 503 at once, everything else goes on as before, new connections included, until nothing
    is being worked on, or for ``shutdown_grace`` seconds at most. Then nothing more is accepted. What is left when the
    grace period ends is cut off: WebSockets are closed with 1001, calls over HTTP answered with 503. That takes two
    seconds at most, whatever the clients do.

    Args:
        settings: Where to listen, whom to call.
        shutdown: Returns when the gateway shall stop.
        tracing: Records requests as traces; None for no traces.
        meters: What it does is counted there; None for nowhere.
        task_status: ``started`` gives the addresses it listens on, such as ``https://127.0.0.1:8080``, once connections
            are accepted.

    Raises:
        OSError: The address can't be had; nothing has been started.
        SettingsError: A certificate or key can't be used, its own or that for calling the gRPC server.

    Cancelling it closes everything at once; clients of WebSockets are still told, if they take it.
    """
    app = create_app(settings, meters, traced(tracing))
    config, grace = _config(settings), settings.shutdown_grace
    drain = app.runtime.drain
    with ExitStack() as stack:
        sockets = [stack.enter_context(found) for found in await _listen(settings.http_bind, settings.http_port)]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_cut_off, drain, grace)
            await worker_serve(
                wrap_app(app, 0, "asgi"),
                config,
                sockets=Sockets(sockets, [], []) if config.ssl_enabled else Sockets([], sockets, []),
                shutdown_trigger=partial(_stop_accepting, app.runtime, shutdown, grace, sockets, config),
                task_status=task_status,
            )
            nursery.cancel_scope.cancel()


async def _stop_accepting(
    runtime: Runtime,
    shutdown: Callable[[], Awaitable[None]],
    grace: float,
    sockets: list[socket.socket],
    config: Config,
) -> None:
    """Return when Hypercorn shall accept nothing more; it then waits for the connections that are open."""
    await shutdown()
    deadline = trio.current_time() + grace
    runtime.drain.start()
    if runtime.tracing is not None:
        runtime.tracing.draining()
    with trio.CancelScope(deadline=deadline):
        await runtime.drain.finished()
        await _taken(sockets)
    left = max(0.0, deadline - trio.current_time())
    config.graceful_timeout = left + LAST_WORDS  # Read by Hypercorn next. A connection adds `LAST_WORDS` of its own.


async def _cut_off(drain: Drain, grace: float) -> None:
    """End what is still going on when the grace period is over."""
    await drain.begun()
    await trio.sleep(grace)
    drain.cut()


async def _taken(sockets: list[socket.socket]) -> None:
    """Wait until every connection that the kernel has made for us is accepted: closing the socket would reset them."""
    waiting = select.poll()
    for listener in sockets:
        waiting.register(listener, select.POLLIN)
    while waiting.poll(0):
        await trio.lowlevel.checkpoint()


async def _listen(host: str, port: int) -> list[socket.socket]:
    """Sockets that listen on every address of ``host``; port 0 is another free one for each."""
    listeners = await trio.open_tcp_listeners(port, host=host, backlog=BACKLOG)
    return [_plain(listener) for listener in listeners]


def _plain(listener: trio.SocketListener) -> socket.socket:
    """Hypercorn wants the standard library's sockets, and makes trio's of them itself."""
    plain = socket.socket(fileno=listener.socket.detach())
    plain.setblocking(False)
    return plain


class _Config(Config):
    """Hypercorn's configuration, with a TLS context of ours instead of files."""

    tls: ssl.SSLContext | None = None

    @property
    def ssl_enabled(self) -> bool:
        """Whether the gateway speaks TLS."""
        return self.tls is not None

    def create_ssl_context(self) -> ssl.SSLContext | None:
        """What it speaks TLS with."""
        return self.tls


def _config(settings: Settings) -> Config:
    """Hypercorn's configuration. Pings and dead peers are `echo.gateway.hypercorn_compat`'s, so its own are off."""
    config = _Config()
    config.tls = web_context(settings)
    config.websocket_max_message_size = settings.grpc_max_message_size
    config.include_server_header = False
    config.ssl_handshake_timeout = TLS_TIMEOUT
    # Loggers, not names, so that Hypercorn adds no handlers of its own. A line for each request costs more than it.
    config.errorlog = logging.getLogger("hypercorn.error")
    if settings.log_level == "debug":
        config.accesslog = logging.getLogger("hypercorn.access")
    else:
        # Below a warning, Hypercorn says what our caller announces.
        config.errorlog = config.errorlog.getChild("gateway")
        config.errorlog.setLevel(logging.WARNING)
    return config
