"""What `echo.wire.connection.Connection.receive` reports: small frozen dataclasses, named in gRPC's and HTTP/2's terms.

An event about a stream carries its ``stream_id``. After `CallEnded` or `StreamReset` no further event names that
stream; after `ConnectionFailed` no further event comes at all.
"""

from dataclasses import dataclass

from echo.wire.head import Request, Response, Trailers


@dataclass(frozen=True, slots=True)
class RequestStarted:
    """Server side: a well-formed gRPC request opened a stream (gRPC over HTTP/2, "Requests")."""

    stream_id: int
    request: Request


@dataclass(frozen=True, slots=True)
class ResponseStarted:
    """Client side: the response headers came; messages and trailers follow."""

    stream_id: int
    response: Response


@dataclass(frozen=True, slots=True)
class CallEnded:
    """Client side: the call has its status, from trailers or from a trailers-only response."""

    stream_id: int
    trailers: Trailers


@dataclass(frozen=True, slots=True)
class DataReceived:
    """Bytes of length-prefixed messages, cut anywhere. They count against the stream's window until acknowledged."""

    stream_id: int
    data: bytes


@dataclass(frozen=True, slots=True)
class HalfClosed:
    """Server side: the client will send no more messages (END_STREAM)."""

    stream_id: int


@dataclass(frozen=True, slots=True)
class StreamReset:
    """The stream is gone, by the peer's RST_STREAM or because the peer broke the stream's rules (RFC 9113 §5.4.2)."""

    stream_id: int
    error_code: int


@dataclass(frozen=True, slots=True)
class SettingsReceived:
    """The peer's SETTINGS are in force; its stream limit may have changed."""


@dataclass(frozen=True, slots=True)
class PingAcknowledged:
    """The peer answered our PING; ``data`` is the eight bytes we sent (RFC 9113 §6.7)."""

    data: bytes


@dataclass(frozen=True, slots=True)
class GoAwayReceived:
    """The peer takes no streams above ``last_stream_id``; those at or below it go on (RFC 9113 §6.8)."""

    last_stream_id: int
    error_code: int
    debug_data: bytes


@dataclass(frozen=True, slots=True)
class ConnectionFailed:
    """The peer broke the connection's rules (RFC 9113 §5.4.1). A GOAWAY lies in the output; then close."""

    error_code: int
    reason: str


Event = (
    RequestStarted
    | ResponseStarted
    | CallEnded
    | DataReceived
    | HalfClosed
    | StreamReset
    | SettingsReceived
    | PingAcknowledged
    | GoAwayReceived
    | ConnectionFailed
)
