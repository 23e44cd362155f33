"""The events that `echo.wire.connection.Connection.receive` returns: small dataclasses in gRPC's and HTTP/2's terms.

An event about a call carries its ``stream``, `DataReceived` those of several. `CallEnded` and `StreamReset` are the
last events of their stream, `ConnectionFailed` is the last of the connection. Treat events as read-only
(`echo.wire.head` says why they are not frozen).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeAlias

from echo.wire.fields import FieldList
from echo.wire.head import Response, Trailers
from echo.wire.header_lists import Field
from echo.wire.received_request import ReceivedRequest
from echo.wire.stream import S


@dataclass(slots=True)
class RequestStarted(Generic[S]):
    """Server side: a well-formed gRPC request opened a stream (gRPC over HTTP/2, "Requests").

    ``fields`` is its header list as received, with its order and repeated fields.
    """

    stream: S
    request: ReceivedRequest
    fields: Sequence[Field]


@dataclass(slots=True)
class RequestRefused(Generic[S]):
    """Server side: a request was refused and already answered; its stream's ``sent_trailers`` say how."""

    stream: S
    fields: FieldList


@dataclass(slots=True)
class ResponseStarted(Generic[S]):
    """Client side: the response headers arrived; messages and trailers follow."""

    stream: S
    response: Response


@dataclass(slots=True)
class CallEnded(Generic[S]):
    """Client side: the call has its status, from trailers or from whatever else ended it.

    ``unprocessed`` is True if the server has not processed the call (RFC 9113 §8.7, §6.8).
    """

    stream: S
    trailers: Trailers
    unprocessed: bool = False


@dataclass(slots=True)
class DataReceived(Generic[S]):
    """Bytes of messages arrived on these streams, in turn; `Connection.next_message` returns the complete ones.

    One event does for many streams: a busy connection gets messages on a hundred of them in one read.
    """

    streams: list[S]


@dataclass(slots=True)
class HalfClosed(Generic[S]):
    """Server side: the client will send no more messages (END_STREAM)."""

    stream: S


@dataclass(slots=True)
class StreamReset(Generic[S]):
    """Server side: the stream has ended by the client's RST_STREAM, or because the client broke its rules."""

    stream: S
    error_code: int


@dataclass(slots=True)
class SettingsReceived:
    """The peer's SETTINGS are in force; its stream limit may have changed."""


@dataclass(slots=True)
class PingAcknowledged:
    """The peer answered our PING; ``data`` is the eight bytes we sent (RFC 9113 §6.7)."""

    data: bytes


@dataclass(slots=True)
class GoAwayReceived:
    """The peer accepts no streams above ``last_stream_id``; those up to it continue (RFC 9113 §6.8)."""

    last_stream_id: int
    error_code: int
    debug_data: bytes


@dataclass(slots=True)
class ConnectionFailed:
    """The peer broke the connection's rules (RFC 9113 §5.4.1). Write the output, which holds a GOAWAY, then close.

    ``foreign`` is True if the peer does not speak HTTP/2 at all.
    """

    error_code: int
    reason: str
    foreign: bool = False


Event: TypeAlias = (
    RequestStarted[S]
    | RequestRefused[S]
    | ResponseStarted[S]
    | CallEnded[S]
    | DataReceived[S]
    | HalfClosed[S]
    | StreamReset[S]
    | SettingsReceived
    | PingAcknowledged
    | GoAwayReceived
    | ConnectionFailed
)
