"""Opens the listeners that the settings ask for; where that fails, `StartError` says why in one line."""

from echo.cli.errors import unavailable
from echo.cli.hosts import listening_host
from echo.rpc import open_tcp_listener, open_unix_listener
from echo.settings import Settings
from echo.targets import UNIX, join
from echo.transport import StreamListener, TlsContext
from echo.urls import ANYWHERE

__all__ = ["open_grpc_listener", "open_health_listener", "open_web_listener"]


async def open_grpc_listener(settings: Settings, tls: TlsContext | None) -> StreamListener:
    """Listen for the gRPC server."""
    bind, timeout = settings.grpc_server_bind, settings.grpc_server_handshake_timeout
    if bind.startswith(UNIX):
        try:
            return await open_unix_listener(
                bind.removeprefix(UNIX), tls=tls, mode=settings.grpc_server_socket_mode, handshake_timeout=timeout
            )
        except OSError as error:
            raise unavailable(settings, bind, "grpc_server_bind", error=error) from error
    try:
        host = await listening_host(bind)
        return await open_tcp_listener(host, settings.grpc_server_port, tls=tls, handshake_timeout=timeout)
    except OSError as error:
        address = join(bind, settings.grpc_server_port)
        raise unavailable(settings, address, "grpc_server_bind", "grpc_server_port", error=error) from error


async def open_health_listener(settings: Settings) -> StreamListener:
    """Listen for health checks in plain text, on every address if the server is on a Unix socket: probes are remote."""
    bind, port = settings.grpc_server_bind, settings.grpc_health_port
    assert port is not None
    host = ANYWHERE if bind.startswith(UNIX) else bind
    try:
        return await open_tcp_listener(await listening_host(host), port)
    except OSError as error:
        raise unavailable(settings, join(host, port), "grpc_server_bind", "grpc_health_port", error=error) from error


async def open_web_listener(settings: Settings) -> StreamListener:
    """Listen for the gateway's workers, in their parent. A gateway of one process opens its own listener."""
    try:
        return await open_tcp_listener(await listening_host(settings.http_bind), settings.http_port)
    except OSError as error:
        address = join(settings.http_bind, settings.http_port)
        raise unavailable(settings, address, "http_bind", "http_port", error=error) from error
