"""What a gateway promises its clients, in numbers: the gateway keeps it, and the probe checks what comes of it."""

from collections.abc import Mapping
from typing import Final

from echo.rpc import Status

__all__ = ["HTTP_STATUS", "PING_INTERVAL"]

PING_INTERVAL: Final = 27.0  # Seconds between pings of a WebSocket.

HTTP_STATUS: Final[Mapping[Status, int]] = {
    Status.OK: 200,
    Status.CANCELLED: 499,
    Status.UNKNOWN: 500,
    Status.INVALID_ARGUMENT: 400,
    Status.DEADLINE_EXCEEDED: 504,
    Status.NOT_FOUND: 404,
    Status.ALREADY_EXISTS: 409,
    Status.PERMISSION_DENIED: 403,
    Status.RESOURCE_EXHAUSTED: 429,
    Status.FAILED_PRECONDITION: 400,
    Status.ABORTED: 409,
    Status.OUT_OF_RANGE: 400,
    Status.UNIMPLEMENTED: 501,
    Status.INTERNAL: 500,
    Status.UNAVAILABLE: 503,
    Status.DATA_LOSS: 500,
    Status.UNAUTHENTICATED: 401,
}
"""The HTTP status of a response that reports a gRPC status."""
