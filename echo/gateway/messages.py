"""JSON <-> the stream's messages: what a WebSocket carries, decoded strictly, encoded byte for byte as promised.

Decoding has one outcome or one error, whatever the bytes: `Incoming` or `InvalidMessageError`. The shape is fixed by
the contract, so it is written down here as typed structures, not derived from descriptors.
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
"""What a client is told about a message that is none."""


class InvalidMessageError(Exception):
    """What came is not a message: no JSON, or JSON of the wrong shape."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """What a client sent.

    Attributes:
        message: To be relayed; None if there is only the half-close.
        half_close: The client sends no more messages after this.
    """

    message: StreamMessage | None
    half_close: bool = False


HALF_CLOSE: Final = Incoming(None, half_close=True)


class _Message(msgspec.Struct):
    """Either name of a field may be used, as in protobuf's JSON mapping; null stands for the default there too."""

    stream_id: str | None = None
    streamId: str | None = None  # noqa: N815 - As the field is called in JSON.
    sequence_number: int | str | None = None
    sequenceNumber: int | str | None = None  # noqa: N815
    timestamp: int | str | None = None
    message: str | None = None
    half_close: bool | None = None
    halfClose: bool | None = None  # noqa: N815


class _Response(msgspec.Struct):
    """In the order of the contract."""

    stream_id: str
    sequence_number: int
    timestamp: int
    response: str
    success: bool


T = TypeVar("T")

_decoder: Final = msgspec.json.Decoder(_Message)
_encoder: Final = msgspec.json.Encoder()


def decode_message(data: str | bytes) -> Incoming:
    """Read one WebSocket message: text, or the same as bytes of UTF-8; an empty one is a half-close.

    A message with ``half_close`` true is relayed first if it holds anything else but defaults. Of a key that stands
    there twice the last counts; the two names of one field beside each other are refused, as no order tells them apart.

    Raises:
        InvalidMessageError: It is no JSON object, a field has a wrong type, an integer does not fit int64, ...
    """
    if not data:
        return HALF_CLOSE
    try:
        # Python's decoder looks at every byte, msgspec's only at the strings it keeps.
        found = _decoder.decode(data if isinstance(data, str) else data.decode())
        message = StreamMessage(
            stream_id=_either(found.stream_id, found.streamId) or "",
            sequence_number=_either(_int64(found.sequence_number), _int64(found.sequenceNumber)) or 0,
            timestamp=_int64(found.timestamp) or 0,
            message=found.message or "",
        )
        half_close = _either(found.half_close, found.halfClose) or False
    except (ValueError, RecursionError) as error:  # Of msgspec (its errors are ValueErrors), UTF-8, or ours.
        raise InvalidMessageError(str(error)) from None
    if half_close and message == StreamMessage():
        return HALF_CLOSE
    return Incoming(message, half_close)


def encode_response(response: StreamResponse) -> str:
    """Write a response: every field, in the contract's order, no spaces, integers as numbers, text as raw UTF-8."""
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
        raise ValueError("a field is there under both of its names")
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
