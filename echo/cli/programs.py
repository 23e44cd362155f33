"""The three programs: the gRPC server, the gateway, and both in one process.

Each is one function: it opens what it needs, says so, waits until it is asked to stop, and drains. All its tasks live
in nurseries it opens itself, so cancelling it closes everything. What goes wrong before it listens is raised as
`StartError` or `SettingsError`, whose text is for the person who started it.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import trio
from anyio.abc import SocketAttribute

from echo.cli.announce import announce_gateway, announce_server, authority
from echo.cli.calls import log_calls
from echo.cli.errors import StartError, first
from echo.cli.lifecycle import Stop
from echo.rpc import Keepalive, Limits, Server, open_tcp_listener
from echo.rpc.health import Health
from echo.services import echo_services
from echo.settings import Settings, SettingsError
from echo.tls import server_context

__all__ = ["gateway", "serve", "up"]


@dataclass(frozen=True, slots=True)
class Backend:
    """The gRPC server as it runs.

    Attributes:
        health: What it says of itself.
        port: The port it listens on.
    """

    server: Server
    health: Health
    port: int

    async def drain(self, grace: float) -> None:
        """Say NOT_SERVING, take nothing new, and give running calls ``grace`` seconds; returns when all is closed."""
        self.health.drain()
        await self.server.drain(grace)


@asynccontextmanager
async def open_backend(settings: Settings) -> AsyncIterator[Backend]:
    """Run the gRPC server while the block runs.

    The block drains it before it ends; ending by an exception or cancelled closes everything at once.

    Raises:
        StartError: The address can't be had.
        SettingsError: A certificate or key can't be used.
    """
    echo = echo_services()
    keepalive = Keepalive(settings.grpc_server_keepalive_time, settings.grpc_server_keepalive_timeout)
    server = Server(
        echo.services,
        limits=Limits(max_message_size=settings.grpc_max_message_size),
        keepalive=keepalive if settings.grpc_server_keepalive else None,
    )
    if settings.log_level == "debug":  # Nothing is paid for it otherwise.
        log_calls(server)
    host, port = settings.grpc_server_bind, settings.grpc_server_port
    tls = server_context(settings)
    try:
        listener = await open_tcp_listener(host, port, tls=tls)
    except OSError as error:
        raise _unavailable(settings, "grpc_server_bind", "grpc_server_port", error) from error
    async with trio.open_nursery() as nursery:
        await nursery.start(server.serve, listener)
        yield Backend(server, echo.health, listener.extra(SocketAttribute.local_port))


async def serve(settings: Settings, stop: Stop) -> None:
    """Run the gRPC server until ``stop()`` returns, then drain it within the grace period."""
    async with open_backend(settings) as backend:
        announce_server(settings, backend.port)
        await stop()
        await backend.drain(settings.shutdown_grace)


async def gateway(settings: Settings, stop: Stop) -> None:
    """Run the gateway until ``stop()`` returns and it has drained, within the grace period."""
    if settings.grpc_server_port == 0:
        raise SettingsError(f"{settings.name_of('grpc_server_port')}: 0 is no port that the gateway can call")
    async with trio.open_nursery() as nursery:
        announce_gateway(settings, await _start_gateway(nursery, settings, stop))


async def up(settings: Settings, stop: Stop) -> None:
    """Run the gRPC server, and the gateway that calls it, until ``stop()`` returns; then drain within the grace period.

    The gateway drains first, as long as the server still takes its calls; what it leaves of the grace period is the
    server's. Health says NOT_SERVING from the beginning of this, so the gateway is not ready either.
    ``grpc_server_host`` is not called here, but stays the name that the server's certificate must have.
    """
    _agree_on_tls(settings)
    async with open_backend(settings) as backend:
        calling = calling_beside(settings, backend.port)
        async with trio.open_nursery() as nursery:
            port = await _start_gateway(nursery, calling, stop)
            announce_server(settings, backend.port)
            announce_gateway(calling, port)
            await stop()
            deadline = trio.current_time() + settings.shutdown_grace
            backend.health.drain()
        await backend.drain(max(0.0, deadline - trio.current_time()))


async def _start_gateway(nursery: trio.Nursery, settings: Settings, stop: Stop) -> int:
    """Start the gateway in ``nursery``; returns the port it listens on."""
    # Only who runs a gateway loads the web framework.
    from echo.gateway import serve_gateway  # noqa: PLC0415

    try:
        bound: list[str] = await nursery.start(partial(serve_gateway, settings, shutdown=stop))
    except (OSError, BaseExceptionGroup) as error:
        fault = first(OSError, error)
        if fault is None:
            raise
        raise _unavailable(settings, "http_bind", "http_port", fault) from error
    return int(bound[0].rpartition(":")[2])


def _agree_on_tls(settings: Settings) -> None:
    """Refuse what would make every call of a gateway to its own server fail."""
    name = settings.name_of
    if settings.grpc_server_cert and not settings.grpc_server_tls:
        raise SettingsError(f"{name('grpc_server_tls')}: must be true, as {name('grpc_server_cert')} turns TLS on")
    if settings.grpc_server_tls and not settings.grpc_server_cert:
        raise SettingsError(f"{name('grpc_server_tls')}: needs {name('grpc_server_cert')} and its key in this process")
    if settings.grpc_server_client_ca and not settings.grpc_client_cert:
        raise SettingsError(f"{name('grpc_server_client_ca')}: the gateway needs {name('grpc_client_cert')} to pass it")


def calling_beside(settings: Settings, port: int) -> Settings:
    """Settings of a gateway that calls the server in the same process, which listens on ``port``.

    It calls over loopback if the server listens there; a certificate is still verified by the name it is known by.
    """
    bind = settings.grpc_server_bind
    changes: dict[str, object] = {
        "grpc_server_host": {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(bind, bind),  # noqa: S104 - Compared, not bound.
        "grpc_server_port": port,
    }
    if settings.grpc_server_tls and not settings.grpc_client_insecure:
        changes["grpc_client_server_name"] = settings.grpc_client_server_name or settings.grpc_server_host
    return settings.model_copy(update=changes)


def _unavailable(settings: Settings, bind: str, port: str, error: OSError) -> StartError:
    address = authority(getattr(settings, bind), getattr(settings, port))
    names = f"{settings.name_of(bind)}, {settings.name_of(port)}"
    return StartError(f"cannot listen on {address} ({names}): {error.strerror or error}")
