"""Maps a gRPC status to HTTP and WebSockets: JSON body, close code and reason; `echo.contract` has the HTTP status.

Only tables and formatting; `echo.gateway.routes` and `echo.gateway.relay` use them.
"""

from dataclasses import dataclass
from typing import Final

import msgspec

from echo.close_codes import GOING_AWAY, INTERNAL_ERROR, INVALID_DATA, NORMAL, TOO_BIG
from echo.rpc import Status

_FROM_HTTP: Final[dict[int, Status]] = {
    404: Status.NOT_FOUND,
    405: Status.UNIMPLEMENTED,
    413: Status.RESOURCE_EXHAUSTED,
}

MAX_REASON: Final = 123  # Bytes: a control frame holds 125, the code takes two (RFC 6455 §5.5, §5.5.1).


@dataclass(frozen=True, slots=True)
class Close:
    """How the gateway ends a WebSocket.

    Attributes:
        code: The close code (RFC 6455 §7.4).
        reason: A readable reason, at most `MAX_REASON` bytes of UTF-8.
    """

    code: int
    reason: str = ""


CALL_OK: Final = Close(NORMAL)
DRAINING: Final = Close(GOING_AWAY, "going away")
UNREACHABLE: Final = Close(INTERNAL_ERROR, "gRPC connection failed")
BAD_MESSAGE: Final = Close(INVALID_DATA, "invalid message format")
MESSAGE_TOO_BIG: Final = Close(TOO_BIG, "message too big")


def close_of_failed_call(status: Status, message: str | None) -> Close:
    """The close for a failed call: 1011, ``STATUS_NAME: message``, cut to fit a close frame."""
    return Close(INTERNAL_ERROR, cut_reason(f"{status.name}: {message}" if message else status.name))


def cut_reason(text: str) -> str:
    """Cut the text to at most `MAX_REASON` bytes, on a character boundary."""
    return text.encode("utf-8", "replace")[:MAX_REASON].decode("utf-8", "ignore")


def error_body(status: Status, message: str | None) -> bytes:
    """The JSON body of an HTTP response that reports an error."""
    text = (message or "").encode("utf-8", "replace").decode()
    return msgspec.json.encode({"code": status.value, "status": status.name, "message": text})


def status_of_http_error(http_status: int) -> Status:
    """The gRPC status for the body of an HTTP error that occurred before any call."""
    found = _FROM_HTTP.get(http_status)
    if found is None:
        found = Status.INVALID_ARGUMENT if 400 <= http_status < 500 else Status.INTERNAL
    return found
