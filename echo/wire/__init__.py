"""gRPC over HTTP/2 as events and bytes: sans-IO, synchronous, ignorant of any event loop.

Start reading at `echo.wire.connection`.
"""

from echo.wire.budget import Budget
from echo.wire.client import ClientConnection, describe_goaway
from echo.wire.compression import IDENTITY, SUPPORTED, accepts, compress, decompress, known_encoding
from echo.wire.connection import Connection
from echo.wire.errors import LocalProtocolError
from echo.wire.events import (
    CallEnded,
    ConnectionFailed,
    DataReceived,
    Event,
    GoAwayReceived,
    HalfClosed,
    PingAcknowledged,
    RequestRefused,
    RequestStarted,
    ResponseStarted,
    SettingsReceived,
    StreamReset,
)
from echo.wire.frames import MAX_STREAM_ID, ErrorCode, describe_code
from echo.wire.head import CONTENT_TYPE, Request, Response, Trailers
from echo.wire.header_lists import Field
from echo.wire.limits import Limits
from echo.wire.message import PREFIX_SIZE, MessageDecoder, WatchedDecoder, encode_compressed, encode_message
from echo.wire.metadata import (
    PREVIOUS_ATTEMPTS,
    PUSHBACK,
    Metadata,
    MetadataLike,
    decode_bin,
    encode_bin,
    encode_metadata,
)
from echo.wire.preface import answer_http1
from echo.wire.received_request import ReceivedRequest, read_refused
from echo.wire.server import ServerConnection
from echo.wire.state import CLOSED
from echo.wire.status import GRPCError, Status, decode_status_message, encode_status_message
from echo.wire.stream import Stream
from echo.wire.timeout import decode_timeout

__all__ = [
    "CLOSED",
    "CONTENT_TYPE",
    "IDENTITY",
    "MAX_STREAM_ID",
    "PREFIX_SIZE",
    "PREVIOUS_ATTEMPTS",
    "PUSHBACK",
    "SUPPORTED",
    "Budget",
    "CallEnded",
    "ClientConnection",
    "Connection",
    "ConnectionFailed",
    "DataReceived",
    "ErrorCode",
    "Event",
    "Field",
    "GRPCError",
    "GoAwayReceived",
    "HalfClosed",
    "Limits",
    "LocalProtocolError",
    "MessageDecoder",
    "Metadata",
    "MetadataLike",
    "PingAcknowledged",
    "ReceivedRequest",
    "Request",
    "RequestRefused",
    "RequestStarted",
    "Response",
    "ResponseStarted",
    "ServerConnection",
    "SettingsReceived",
    "Status",
    "Stream",
    "StreamReset",
    "Trailers",
    "WatchedDecoder",
    "accepts",
    "answer_http1",
    "compress",
    "decode_bin",
    "decode_status_message",
    "decode_timeout",
    "decompress",
    "describe_code",
    "describe_goaway",
    "encode_bin",
    "encode_compressed",
    "encode_message",
    "encode_metadata",
    "encode_status_message",
    "known_encoding",
    "read_refused",
]
