"""Serving the gateway with Hypercorn's trio worker, in the caller's own event loop, and draining it in good order."""

import logging
import socket
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from functools import partial

import trio
from hypercorn.config import Config, Sockets
from hypercorn.trio.run import worker_serve
from hypercorn.utils import wrap_app

from echo.gateway.application import create_app
from echo.gateway.drain import Drain
from echo.gateway.websocket import CLOSE_TIMEOUT, LAST_WORDS
from echo.settings import Settings

BACKLOG = 1024


async def serve_gateway(
    settings: Settings,
    *,
    shutdown: Callable[[], Awaitable[None]],
    task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve the gateway until ``shutdown()`` returns and it has drained.

    The drain: ``/readyz`` says 503 at once, everything else goes on as before, for at most ``shutdown_grace`` seconds.
    It ends sooner if nothing is being worked on. Then WebSockets that are left are closed with 1001, calls over HTTP
    answered with 503, and nothing more is accepted.

    Args:
        settings: Where to listen, whom to call.
        shutdown: Returns when the gateway shall stop.
        task_status: ``started`` gives the addresses it listens on, such as ``http://127.0.0.1:8080``, once connections
            are accepted.

    Raises:
        OSError: The address can't be had; nothing has been started.
        SettingsError: A certificate or key for calling the gRPC server can't be used.

    Cancelling it closes everything at once; clients of WebSockets are still told, if they take it.
    """
    app = create_app(settings)
    with ExitStack() as stack:
        sockets = [stack.enter_context(found) for found in await _listen(settings.http_bind, settings.http_port)]
        async with trio.open_nursery() as nursery:
            addresses: list[str] = await nursery.start(
                partial(
                    worker_serve,
                    wrap_app(app, 0, "asgi"),
                    _config(settings),
                    sockets=Sockets([], sockets, []),
                    shutdown_trigger=partial(_drained, app.drain, shutdown, settings.shutdown_grace),
                )
            )
            task_status.started(addresses)


async def _drained(drain: Drain, shutdown: Callable[[], Awaitable[None]], grace: float) -> None:
    """Wait for the shutdown, then until the application has drained. Hypercorn accepts until this returns."""
    await shutdown()
    drain.start()
    with trio.move_on_after(grace):
        await drain.finished()
    drain.cut()
    with trio.move_on_after(CLOSE_TIMEOUT):
        await drain.finished()


async def _listen(host: str, port: int) -> list[socket.socket]:
    """Sockets that listen on every address of ``host``, on the same port."""
    listeners = await trio.open_tcp_listeners(port, host=host, backlog=BACKLOG)
    return [_plain(listener) for listener in listeners]


def _plain(listener: trio.SocketListener) -> socket.socket:
    """Hypercorn wants the standard library's sockets, and makes trio's of them itself."""
    plain = socket.socket(fileno=listener.socket.detach())
    plain.setblocking(False)
    return plain


def _config(settings: Settings) -> Config:
    """Hypercorn's configuration. Pings and dead peers are `echo.gateway.connection`'s, so its own are off."""
    config = Config()
    config.graceful_timeout = LAST_WORDS  # The grace period has passed before.
    config.websocket_max_message_size = settings.grpc_max_message_size
    config.include_server_header = False
    # Loggers, not names, so that Hypercorn adds no handlers of its own. A line for each request costs more than it.
    config.errorlog = logging.getLogger("hypercorn.error")
    if settings.log_level == "debug":
        config.accesslog = logging.getLogger("hypercorn.access")
    else:
        # Below a warning, Hypercorn says what our caller announces.
        config.errorlog = config.errorlog.getChild("gateway")
        config.errorlog.setLevel(logging.WARNING)
    return config
