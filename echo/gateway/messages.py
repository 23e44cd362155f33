"""JSON <-> the stream's messages on a WebSocket: strict decoding, and encoding that is fixed byte for byte.

Decoding any bytes gives an `Incoming` or raises `InvalidMessageError`. The contract fixes the JSON's shape, so it is
defined here as typed structures, not derived from descriptors.
"""

import re
from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec

from echo.pb.com.gopay.echo.streaming import StreamMessage, StreamResponse

_MIN_INT64: Final = -(2**63)
_MAX_INT64: Final = 2**63 - 1
_DECIMAL: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,18})", re.ASCII)

INVALID_MESSAGE: Final = (
    '{"stream_id":"","sequence_number":0,"timestamp":0,"response":"invalid message format","success":false}'
)
"""The reply to an invalid message."""


class InvalidMessageError(Exception):
    """The data is not a valid message: not JSON, or JSON of the wrong shape."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """A decoded WebSocket message.

    Attributes:
        message: The message to relay; None for a half-close alone.
        half_close: Whether the client sends no more messages after this.
    """

    message: StreamMessage | None
    half_close: bool = False


HALF_CLOSE: Final = Incoming(None, half_close=True)


class _Message(msgspec.Struct):
    """Accepts both names of a field, as in protobuf's JSON mapping; null means the default value."""

    stream_id: str | None = None
    streamId: str | None = None  # noqa: N815 - the field's name in JSON
    sequence_number: int | str | None = None
    sequenceNumber: int | str | None = None  # noqa: N815
    timestamp: int | str | None = None
    message: str | None = None
    half_close: bool | None = None
    halfClose: bool | None = None  # noqa: N815


class _Response(msgspec.Struct):
    """The fields in the contract's order."""

    stream_id: str
    sequence_number: int
    timestamp: int
    response: str
    success: bool


T = TypeVar("T")

_decoder: Final = msgspec.json.Decoder(_Message)
_encoder: Final = msgspec.json.Encoder()


def decode_message(data: str | bytes) -> Incoming:
    """Decode a WebSocket message, text or UTF-8 bytes; an empty one is a half-close.

    A message with ``half_close`` true is relayed first, unless all its other fields have default values. Of a repeated
    key the last counts; a field given under both of its names is refused, since neither takes precedence.

    Raises:
        InvalidMessageError: The data is not a JSON object, a field has the wrong type, an integer exceeds int64, ...
    """
    if not data:
        return HALF_CLOSE
    try:
        # Python's decoder checks every byte, msgspec's only the strings it keeps.
        found = _decoder.decode(data if isinstance(data, str) else data.decode())
        message = StreamMessage(
            stream_id=_either(found.stream_id, found.streamId) or "",
            sequence_number=_either(_int64(found.sequence_number), _int64(found.sequenceNumber)) or 0,
            timestamp=_int64(found.timestamp) or 0,
            message=found.message or "",
        )
        half_close = _either(found.half_close, found.halfClose) or False
    except (ValueError, RecursionError) as error:  # From msgspec, UTF-8 decoding, or our checks.
        raise InvalidMessageError(str(error)) from None
    if half_close and message == StreamMessage():
        return HALF_CLOSE
    return Incoming(message, half_close)


def encode_response(response: StreamResponse) -> str:
    """Encode a response: every field, in the contract's order, no spaces, integers as numbers, text as raw UTF-8."""
    return _encoder.encode(
        _Response(
            response.stream_id,
            response.sequence_number,
            response.timestamp,
            response.response,
            response.success,
        )
    ).decode()


def _either(snake: T | None, camel: T | None) -> T | None:
    if snake is None:
        return camel
    if camel is not None:
        raise ValueError("a field is given under both of its names")
    return snake


def _int64(value: int | str | None) -> int | None:
    if value is None:
        return None
    if isinstance(value, str):
        if not _DECIMAL.fullmatch(value):
            raise ValueError("an integer's text is not decimal")
        value = int(value)
    if not _MIN_INT64 <= value <= _MAX_INT64:
        raise ValueError("an integer does not fit into 64 bits")
    return value
