"""The three programs: the gRPC server, the gateway, and both in one process.

Each is one function: it opens what it needs, says that it has started, announces its addresses, waits until it is asked
to stop, and drains. All its tasks live in nurseries it opens itself, so cancelling it closes everything. A failure
before it listens is raised as `StartError` or `SettingsError`, whose text is for the person who started it.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import trio
from anyio.abc import ByteStream, Listener, SocketAttribute

from echo.cli.announce import announce_console, announce_gateway, announce_metrics, announce_server
from echo.cli.errors import StartError, first, unavailable
from echo.cli.hosts import listening_host
from echo.cli.lifecycle import Hangup, Stop, receiving_hangups
from echo.cli.listeners import open_grpc_listener, open_health_listener
from echo.cli.metrics import open_metrics
from echo.configuration.values import format_duration
from echo.limits import PERMITTED_PINGS, server_keepalive, server_limits
from echo.logs import open_access_log
from echo.rpc import Server
from echo.rpc.health import Health
from echo.rpc.tracing import ServerTracing
from echo.services import echo_services
from echo.settings import Settings
from echo.targets import join, read_targets
from echo.telemetry.tracing import open_tracing
from echo.tls_files import following, server_files
from echo.transport import SourceListener
from echo.urls import loopback_of
from echo.workers import ParentLink

if TYPE_CHECKING:
    from echo.telemetry.meters import Meters
    from echo.telemetry.tracing.program import Tracing  # Which loads OpenTelemetry.

__all__ = ["gateway", "open_backend", "refuse_port_zero", "serve", "start_gateway", "up"]


@dataclass(frozen=True, slots=True)
class Backend:
    """The running gRPC server.

    Attributes:
        server: The server itself.
        health: Its health service.
        health_server: A second server that has only the health service, in plain text, on a port of its own.
        port: The port it listens on; None for a Unix socket.
        health_port: The port of ``health_server``; None if it does not listen.
    """

    server: Server
    health: Health
    health_server: Server
    port: int | None
    health_port: int | None

    async def drain(self, grace: float, *, others_serve: bool = False) -> None:
        """Report NOT_SERVING, accept nothing new, and give running calls ``grace`` seconds; returns when all is closed.

        The health port answers until then. With ``others_serve``, other processes take over on the same address, so
        health stays SERVING.
        """
        if others_serve:
            self.health.leave()
        else:
            self.health.drain()
        await self.server.drain(grace)
        await self.health_server.drain(0)


@asynccontextmanager
async def open_backend(
    settings: Settings,
    meters: "Meters | None" = None,
    tracing: ServerTracing | None = None,
    parent: ParentLink | None = None,
    hangup: Hangup = trio.sleep_forever,
) -> AsyncIterator[Backend]:
    """Run the gRPC server while the block runs; ``meters`` count its calls and ``tracing`` records them.

    The block must drain it before it ends; an exception or cancelling closes everything at once. A worker gets its
    connections from its parent, and has no ports of its own. ``hangup()`` makes it look at its TLS files.

    Raises:
        StartError: An address can't be listened on.
        SettingsError: A certificate or key can't be used.
    """
    echo = echo_services(
        scripting=settings.echo_scripting,
        interop=settings.echo_interop,
        max_message_size=settings.grpc_max_message_size,
    )
    access_log = open_access_log(wanted=settings.access_log, log_format=settings.log_format)
    tls = server_files(settings)
    meter = None if meters is None else meters.for_server()
    server = Server(
        echo.services,
        limits=server_limits(settings),
        keepalive=server_keepalive(settings),
        access_log=access_log,
        notes=[] if meter is None else [meter],
        tracing=tracing,
    )
    if meters is not None and meter is not None:
        meters.watch_log(access_log)
        meter.watch(server)
        meters.watch_certificate(tls)
    health_server = Server([echo.health], limits=server_limits(settings))
    async with following(tls, hangup=hangup), AsyncExitStack() as opened:
        listener: Listener[ByteStream]
        health_listener: Listener[ByteStream] | None = None
        if parent is None:
            listener = await opened.enter_async_context(await open_grpc_listener(settings, tls))
            if settings.grpc_health_port is not None:
                health_listener = await opened.enter_async_context(await open_health_listener(settings))
        else:
            feed, *others = parent.feeds
            listener = SourceListener(feed, tls=tls, handshake_timeout=settings.grpc_server_handshake_timeout)
            health_listener = SourceListener(others[0]) if others else None
        async with trio.open_nursery() as nursery:
            if health_listener is not None:
                await nursery.start(health_server.serve, health_listener)
            await nursery.start(server.serve, listener)
            yield Backend(server, echo.health, health_server, _port(listener), _port(health_listener))


def _port(listener: Listener[ByteStream] | None) -> int | None:
    return None if listener is None else listener.extra(SocketAttribute.local_port, None)


async def serve(
    settings: Settings, stop: Stop, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Run the gRPC server until ``stop()`` returns, then drain it within the grace period."""
    async with (
        receiving_hangups(wanted=settings.names_files) as hangup,
        open_metrics(settings) as metrics,
        open_tracing(settings.shutdown_grace) as tracing,
        open_backend(settings, metrics.meters, None if tracing is None else tracing.server, hangup=hangup) as backend,
    ):
        task_status.started()
        announce_server(settings, backend.port, backend.health_port)
        announce_metrics(settings, metrics.port)
        await stop()
        await backend.drain(settings.shutdown_grace)


async def gateway(
    settings: Settings, stop: Stop, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Run the gateway until ``stop()`` returns and it has drained, within the grace period."""
    refuse_port_zero(settings)
    async with (
        receiving_hangups(wanted=settings.names_files) as hangup,
        open_metrics(settings) as metrics,
        open_tracing(settings.shutdown_grace) as tracing,
        trio.open_nursery() as nursery,
    ):
        port = await start_gateway(nursery, settings, stop, metrics.meters, tracing, hangup=hangup)
        task_status.started()
        announce_console(settings, port)
        announce_gateway(settings, port)
        announce_metrics(settings, metrics.port)


def refuse_port_zero(settings: Settings) -> None:
    """Refuse server port 0, which only ``up`` can resolve to a real port."""
    if settings.grpc_server_port == 0 and any(target.port == 0 for target in read_targets(settings.grpc_server_host)):
        raise settings.refusal("grpc_server_port", "the gateway can't call port 0")


async def up(settings: Settings, stop: Stop, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
    """Run the gRPC server, and the gateway that calls it, until ``stop()`` returns; then drain within the grace period.

    The gateway drains first, while the server still accepts its calls; the server gets the rest of the grace period.
    Health is NOT_SERVING from the start of the drain, so the gateway is not ready either. The gateway does not connect
    to ``grpc_server_host`` here, but the server's certificate must still be valid for it.
    """
    if settings.workers != 1:
        raise settings.refusal("workers", "up is one process; run serve and gateway for workers")
    _agree_on_tls(settings)
    serving = server_settings(settings)
    async with (
        receiving_hangups(wanted=settings.names_files) as hangup,
        open_metrics(settings) as metrics,
        open_tracing(settings.shutdown_grace) as tracing,
        open_backend(serving, metrics.meters, None if tracing is None else tracing.server, hangup=hangup) as backend,
    ):
        calling = gateway_settings(settings, backend.port)
        async with trio.open_nursery() as nursery:
            port = await start_gateway(nursery, calling, stop, metrics.meters, tracing, hangup=hangup)
            task_status.started()
            announce_console(settings, port)
            announce_server(settings, backend.port, backend.health_port)
            announce_gateway(calling, port)
            announce_metrics(settings, metrics.port)
            await stop()
            deadline = trio.current_time() + settings.shutdown_grace
            backend.health.drain()
        await backend.drain(max(0.0, deadline - trio.current_time()))


async def start_gateway(
    nursery: trio.Nursery,
    settings: Settings,
    stop: Stop,
    meters: "Meters | None",
    tracing: "Tracing | None",
    parent: ParentLink | None = None,
    hangup: Hangup = trio.sleep_forever,
) -> int:
    """Start the gateway in ``nursery``; returns the port it listens on, or 0 in a worker, whose parent listens."""
    # Imported here, so that the server alone does not load the web framework.
    from echo.gateway import serve_gateway  # noqa: PLC0415
    from echo.gateway.hypercorn_compat import UnsupportedVersionError  # noqa: PLC0415

    try:
        listening = settings.changed(http_bind=await listening_host(settings.http_bind))
        requests = None if tracing is None else tracing.gateway
        serving = partial(serve_gateway, listening, shutdown=stop, hangup=hangup, meters=meters, tracing=requests)
        if parent is not None:
            serving = partial(serving, source=parent.feeds[0], others_serve=lambda: parent.others_serve)
        bound: list[str] = await nursery.start(serving)
    except (OSError, UnsupportedVersionError, BaseExceptionGroup) as error:
        if (unsupported := first(UnsupportedVersionError, error)) is not None:
            raise StartError(str(unsupported)) from error
        fault = first(OSError, error)
        if fault is None:
            raise
        address = join(settings.http_bind, settings.http_port)
        raise unavailable(settings, address, "http_bind", "http_port", error=fault) from error
    return (urlsplit(bound[0]).port if bound else None) or 0


def _agree_on_tls(settings: Settings) -> None:
    """Refuse TLS settings that would make every call from the gateway to its own server fail."""
    name = settings.name_of
    if settings.grpc_server_cert and not settings.grpc_server_tls:
        raise settings.refusal("grpc_server_tls", f"must be true, as {name('grpc_server_cert')} turns TLS on")
    if settings.grpc_server_tls and not settings.grpc_server_cert:
        raise settings.refusal("grpc_server_tls", f"needs {name('grpc_server_cert')} and its key in this process")
    if settings.grpc_server_client_ca and not settings.grpc_client_cert:
        raise settings.refusal("grpc_server_client_ca", f"the gateway needs {name('grpc_client_cert')} to pass it")


def server_settings(settings: Settings) -> Settings:
    """Settings for a server that permits the keepalive pings of the gateway in the same process.

    Raises:
        SettingsError: The server is configured to forbid them.
    """
    permitted, pings = settings.grpc_server_min_ping_interval, settings.grpc_client_keepalive_time
    if not settings.grpc_client_keepalive:
        return settings
    if permitted is None:
        # Half of it, as pings sent at even intervals do not arrive at even intervals.
        return settings.changed(grpc_server_min_ping_interval=min(PERMITTED_PINGS, pings / 2))
    if permitted > pings:
        interval = settings.name_of("grpc_server_min_ping_interval")
        fault = f"{format_duration(pings)} is more often than {interval} permits, {format_duration(permitted)}"
        raise settings.refusal("grpc_client_keepalive_time", fault)
    return settings


def gateway_settings(settings: Settings, port: int | None) -> Settings:
    """Settings for a gateway that calls the server in the same process, on ``port`` or its Unix socket.

    If the server listens on all addresses, it is called over loopback. Its certificate is still verified against the
    name in ``grpc_server_host``.
    """
    changes: dict[str, object] = {"grpc_server_host": loopback_of(settings.grpc_server_bind)}
    if port is not None:
        changes["grpc_server_port"] = port
    if settings.grpc_server_tls and not settings.grpc_client_insecure and not settings.grpc_client_authority:
        known_by = read_targets(settings.grpc_server_host)[0].name
        changes["grpc_client_server_name"] = settings.grpc_client_server_name or known_by
    return settings.changed(**changes)
