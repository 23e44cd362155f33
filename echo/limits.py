"""Limits and keepalive from the settings: what the gRPC server grants a client, and the gateway a server."""

from typing import Final

from echo.rpc import Keepalive, Limits
from echo.settings import Settings

__all__ = ["PERMITTED_PINGS", "client_keepalive", "client_limits", "server_keepalive", "server_limits"]

PERMITTED_PINGS: Final = (
    5.0  # Seconds between a client's pings where keepalive is on; half of what the gateway's needs.
)


def server_limits(settings: Settings) -> Limits:
    """What one connection to the gRPC server may occupy."""
    return Limits(
        max_message_size=settings.grpc_max_message_size,
        max_concurrent_streams=settings.grpc_max_concurrent_streams,
        max_header_list_size=settings.grpc_max_header_list_size,
        stream_window=settings.grpc_stream_window,
        connection_window=settings.grpc_connection_window,
        handshake_timeout=settings.grpc_server_handshake_timeout,
        write_timeout=settings.grpc_server_write_timeout,
        window_timeout=settings.grpc_server_window_timeout,
        flood_burst=settings.grpc_server_flood_burst,
        flood_rate=settings.grpc_server_flood_rate,
        min_ping_interval=_min_ping_interval(settings),
        max_connection_idle=settings.grpc_server_max_connection_idle,
        max_connection_age=settings.grpc_server_max_connection_age,
        max_connection_age_grace=settings.grpc_server_max_connection_age_grace,
    )


def client_limits(settings: Settings) -> Limits:
    """What one connection of the gateway's may occupy."""
    return Limits(
        max_message_size=settings.grpc_max_message_size,
        max_header_list_size=settings.grpc_max_header_list_size,
        stream_window=settings.grpc_stream_window,
        connection_window=settings.grpc_connection_window,
    )


def server_keepalive(settings: Settings) -> Keepalive | None:
    """When the server pings a silent client; None for never."""
    if not settings.grpc_server_keepalive:
        return None
    return Keepalive(settings.grpc_server_keepalive_time, settings.grpc_server_keepalive_timeout)


def client_keepalive(settings: Settings) -> Keepalive | None:
    """When the gateway pings a silent server; None for never."""
    if not settings.grpc_client_keepalive:
        return None
    return Keepalive(settings.grpc_client_keepalive_time, settings.grpc_client_keepalive_timeout)


def _min_ping_interval(settings: Settings) -> float:
    """How often clients may ping: as it is set; or as gRPC servers have it that permit keepalive, or that do not."""
    if settings.grpc_server_min_ping_interval is not None:
        return settings.grpc_server_min_ping_interval
    return PERMITTED_PINGS if settings.grpc_server_keepalive else Limits().min_ping_interval
