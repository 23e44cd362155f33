"""Limits and keepalive: their settings, and what the gRPC server grants a client by them, and the gateway a server."""

import math
from typing import Any, Final, TypeVar

from echo.configuration import BOTH, GATEWAY, SERVER, Group, Setting, Title, User, optional, setting
from echo.configuration.values import OFF, POSITIVE, SWITCH, Kind, either, format_duration, seconds, size, whole_number
from echo.contract import PING_INTERVAL
from echo.rpc import Keepalive, Limits

__all__ = ["PERMITTED_PINGS", "Connections", "client_keepalive", "client_limits", "server_keepalive", "server_limits"]

T = TypeVar("T")

# Seconds between a client's pings where keepalive is on: half of what the gateway's needs.
PERMITTED_PINGS: Final = 5.0

_DEFAULT: Final = Limits()
_KEEPALIVE: Final = Keepalive(7200.0)

_KIB, _MIB = 2**10, 2**20
_MESSAGE: Final = size(1, 2**32 - 1, "a message")  # Its length has four bytes.
# A connection's window cannot be below HTTP/2's default of 65,535 bytes (RFC 9113 §6.9.2) or exceed 31 bits (§6.9.1).
_WINDOW: Final = size(64 * _KIB, 2**31 - 1, "a window")
# A gRPC call has a few hundred bytes of headers, and a token among them may take a few thousand.
_HEADERS: Final = size(4 * _KIB, 16 * _MIB, "a list of headers")
# Other gRPC clients send pings with their data to measure bandwidth; that must not count as an attack.
_BURST: Final = whole_number(100, 1_000_000_000)
_RATE: Final = whole_number(10, 1_000_000_000)
_POSITIVE: Final = seconds(POSITIVE)
_PATIENCE: Final = seconds(1.0)  # Less than a round trip would keep everybody out.
_AGE: Final = either(OFF, _PATIENCE)


class _Limit(Setting):
    def __set_name__(self, group: type[Group], name: str) -> None:
        super().__set_name__(group, name)
        self.limit = name.removeprefix("grpc_").removeprefix("server_")
        self.default = getattr(_DEFAULT, self.limit)


def _limit(kind: Kind[T], used_by: User, text: str) -> T:
    """Declare a setting of the field of `Limits` that its name ends with, which has its default."""
    declared: Any = _Limit(None, kind, used_by, text)
    return declared  # type: ignore[no-any-return]


class Connections(Group):
    """What holds for each connection."""

    keepalive = Title("Keepalive")
    grpc_server_keepalive = setting(
        False, SWITCH, SERVER, "let the server ping idle connections, and let clients ping more often"
    )
    grpc_server_keepalive_time = setting(
        _KEEPALIVE.time, _POSITIVE, SERVER, "how long a client may be silent before the server pings it"
    )
    grpc_server_keepalive_timeout = setting(
        _KEEPALIVE.timeout, _POSITIVE, SERVER, "how long the server waits for the reply to a ping"
    )
    grpc_server_min_ping_interval = optional(
        seconds(),
        SERVER,
        "least time between a client's pings while the server sends it nothing, enforced by too_many_pings; "
        f"{format_duration(_DEFAULT.min_ping_interval)} if not set, {format_duration(PERMITTED_PINGS)} with "
        "GRPC_SERVER_KEEPALIVE",
    )
    grpc_client_keepalive = setting(False, SWITCH, GATEWAY, "let the gateway ping the gRPC server")
    grpc_client_keepalive_time = setting(
        10.0, _POSITIVE, GATEWAY, "how long the gRPC server may be silent before the gateway pings it"
    )
    grpc_client_keepalive_timeout = setting(
        _KEEPALIVE.timeout, _POSITIVE, GATEWAY, "how long the gateway waits for the reply to a ping"
    )
    http_ping_interval = setting(
        PING_INTERVAL, _AGE, GATEWAY, "how often WebSockets are pinged; off shows a path's own idle timeouts"
    )

    lifetime = Title("Connection lifetime")
    grpc_server_max_connection_idle = _limit(
        _AGE, SERVER, "close connections that have had no calls for this long, or off"
    )
    http_max_connection_idle = setting(
        620.0,
        _AGE,
        GATEWAY,
        "close HTTP connections that have had no requests for this long, or off; keep it above the idle timeout of a "
        "load balancer in front",
    )
    grpc_server_max_connection_age = _limit(
        _AGE,
        SERVER,
        "close connections at this age, give or take a tenth, so that clients reconnect; or off",
    )
    grpc_server_max_connection_age_grace = _limit(
        either(OFF, _POSITIVE), SERVER, "how long their calls may go on after that; off for no limit"
    )

    limits = Title("Limits")
    grpc_max_message_size = _limit(_MESSAGE, BOTH, "largest gRPC message sent or accepted")
    grpc_max_concurrent_streams = _limit(whole_number(1, 1_000_000), BOTH, "most calls at a time on one connection")
    grpc_max_header_list_size = _limit(_HEADERS, BOTH, "largest header list accepted")
    grpc_stream_window = _limit(
        _WINDOW, BOTH, "how much a peer may send on one call before it is read; larger is faster over long distances"
    )
    grpc_connection_window = _limit(
        _WINDOW, BOTH, "how much a peer may have in flight on one connection, over all its calls"
    )

    floods = Title("Floods and stalled peers")
    grpc_server_handshake_timeout = _limit(
        _PATIENCE, SERVER, "how long a client may take to start speaking HTTP/2, with or without TLS"
    )
    grpc_server_write_timeout = _limit(
        _PATIENCE, SERVER, "how long a client may read nothing while data is waiting; slow readers are kept"
    )
    grpc_server_window_timeout = _limit(
        _PATIENCE,
        SERVER,
        "how long a call may wait for its client to open the flow-control window before it is cancelled",
    )
    grpc_server_flood_burst = _limit(
        _BURST, SERVER, "how many frames of the kinds used in floods (resets, pings, ...) a client may send at once"
    )
    grpc_server_flood_rate = _limit(_RATE, SERVER, "the sustained rate of such frames per second")

    def check(self) -> None:
        """A stream is part of its connection, and only what has an age has a grace period after it."""
        if self.grpc_stream_window > self.grpc_connection_window:
            raise self.refusal("grpc_stream_window", f"can't be more than {self.name_of('grpc_connection_window')}")
        if self.grpc_server_max_connection_age_grace != math.inf == self.grpc_server_max_connection_age:
            age = self.name_of("grpc_server_max_connection_age")
            raise self.refusal("grpc_server_max_connection_age_grace", f"needs {age} as well")


def server_limits(settings: Connections) -> Limits:
    """What one connection to the gRPC server may occupy."""
    return Limits(**_limits(settings, SERVER), min_ping_interval=_min_ping_interval(settings))


def client_limits(settings: Connections) -> Limits:
    """What one connection of the gateway's may occupy. How many calls it may have, its server says."""
    return Limits(**_limits(settings, GATEWAY) | {"max_concurrent_streams": _DEFAULT.max_concurrent_streams})


def server_keepalive(settings: Connections) -> Keepalive | None:
    """When the server pings a silent client; None for never."""
    if not settings.grpc_server_keepalive:
        return None
    return Keepalive(settings.grpc_server_keepalive_time, settings.grpc_server_keepalive_timeout)


def client_keepalive(settings: Connections) -> Keepalive | None:
    """When the gateway pings a silent server; None for never."""
    if not settings.grpc_client_keepalive:
        return None
    return Keepalive(settings.grpc_client_keepalive_time, settings.grpc_client_keepalive_timeout)


def _limits(settings: Connections, user: User) -> dict[str, Any]:
    chosen = [each for each in Connections.settings if isinstance(each, _Limit) and each.used_by & user]
    return {each.limit: getattr(settings, each.field) for each in chosen}


def _min_ping_interval(settings: Connections) -> float:
    """How often clients may ping: as it is set; or as gRPC servers have it that permit keepalive, or that do not."""
    if settings.grpc_server_min_ping_interval is not None:
        return settings.grpc_server_min_ping_interval
    return PERMITTED_PINGS if settings.grpc_server_keepalive else _DEFAULT.min_ping_interval
