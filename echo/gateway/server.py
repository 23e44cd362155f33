"""Hypercorn with the project's configuration, in a nursery of the caller's: what `echo.cli` runs."""

import logging
from collections.abc import Awaitable, Callable

import trio
from hypercorn.config import Config
from hypercorn.trio import serve

from echo.gateway.app import create_app
from echo.settings import Settings

PING_INTERVAL = 27.0  # Seconds between PINGs on a WebSocket: below the 30 s that proxies like to allow.
IDLE_TIMEOUT = 60.0  # Seconds without a byte from a client after which it counts as gone.


def hypercorn_config(settings: Settings) -> Config:
    """The configuration of Hypercorn that follows from the settings."""
    config = Config()
    host = f"[{settings.http_bind}]" if ":" in settings.http_bind else settings.http_bind
    config.bind = [f"{host}:{settings.http_port}"]
    config.worker_class = "trio"
    config.websocket_ping_interval = PING_INTERVAL
    config.read_timeout = int(IDLE_TIMEOUT)
    config.websocket_max_message_size = settings.grpc_max_message_size
    config.graceful_timeout = settings.shutdown_grace
    config.errorlog = logging.getLogger("hypercorn.error")
    config.loglevel = "WARNING"  # Where it listens is announced by whoever started it.
    config.include_server_header = False
    return config


async def serve_gateway(
    settings: Settings,
    *,
    shutdown: Callable[[], Awaitable[None]],
    task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve the gateway until ``shutdown()`` returns, then drain it and return.

    Draining: not ready any more, nothing new accepted, ``shutdown_grace`` seconds for what runs; WebSockets that are
    open then are closed with 1001. Cancelling it closes everything at once.

    Args:
        settings: Where to listen, whom to call.
        shutdown: Returns when the gateway shall stop.
        task_status: Started, once it listens, with its addresses, like ``http://0.0.0.0:8080``.

    Raises:
        OSError: The address cannot be had; perhaps inside an exception group.
        SettingsError: A certificate or key cannot be used; likewise.
    """
    app = create_app(settings)

    async def drain() -> None:
        await shutdown()
        app.draining = True

    await serve(app, hypercorn_config(settings), shutdown_trigger=drain, task_status=task_status)
