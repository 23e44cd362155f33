"""How a gRPC status looks to HTTP and to WebSockets: the tables of the wire contract."""

from typing import Final

import msgspec

from echo.rpc import GRPCError, Status

HTTP_STATUS: Final = {
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

# Close codes of RFC 6455 §7.4.1.
NORMAL: Final = 1000
GOING_AWAY: Final = 1001
INVALID_DATA: Final = 1007
FAILED: Final = 1011

MAX_REASON: Final = 123  # Bytes: a control frame takes 125, and the code is two of them (RFC 6455 §5.5).


def error_body(error: GRPCError) -> bytes:
    """The JSON body for a call that failed: ``{"code":14,"status":"UNAVAILABLE","message":"..."}``."""
    return msgspec.json.encode(
        {"code": error.status.value, "status": error.status.name, "message": error.message or ""}
    )


def close_reason(error: GRPCError) -> str:
    """The reason for a close frame, ``STATUS_NAME: message``, cut to what one can carry."""
    return cut(f"{error.status.name}: {error.message}" if error.message else error.status.name)


def cut(text: str, size: int = MAX_REASON) -> str:
    """The text, or as many of its first characters as ``size`` bytes of UTF-8 can hold."""
    return text.encode("utf-8", "replace")[:size].decode("utf-8", "ignore")
