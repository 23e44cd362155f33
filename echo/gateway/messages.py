"""JSON on the WebSocket to messages on the gRPC stream, and back.

Decoding is strict and total: whatever the bytes, they give an `Incoming` or raise `InvalidMessageError`.
"""

import re
from typing import Final, NamedTuple

import msgspec

from echo.pb.com.gopay.echo.streaming import StreamMessage, StreamResponse

_INT64: Final = re.compile(r"-?[0-9]{1,19}", re.ASCII)
_LOWEST: Final = -(2**63)
_HIGHEST: Final = 2**63 - 1


class InvalidMessageError(Exception):
    """What came is no message of ours."""


class Incoming(NamedTuple):
    """What a client sent: a message, the end of its side of the stream, or a message and then the end."""

    message: StreamMessage | None
    half_close: bool


HALF_CLOSE: Final = Incoming(None, True)


class _Json(msgspec.Struct):
    """Both spellings of protobuf's JSON mapping; absent and null mean zero, unknown fields are ignored."""

    stream_id: str | None = None
    streamId: str | None = None  # noqa: N815 - a name on the wire
    sequence_number: int | str | None = None
    sequenceNumber: int | str | None = None  # noqa: N815
    timestamp: int | str | None = None
    message: str | None = None
    half_close: bool | None = None
    halfClose: bool | None = None  # noqa: N815


class _Outgoing(msgspec.Struct):
    """A response, its fields in the order of the contract."""

    stream_id: str
    sequence_number: int
    timestamp: int
    response: str
    success: bool


_decoder: Final = msgspec.json.Decoder(_Json)
_encoder: Final = msgspec.json.Encoder()

INVALID_MESSAGE: Final = _encoder.encode(_Outgoing("", 0, 0, "invalid message format", False)).decode()
"""What a client is told of a message that is none."""


def decode(data: str | bytes) -> Incoming:
    """What a text or binary message says; an empty one ends the client's side of the stream.

    Raises:
        InvalidMessageError: It is no JSON object, a field has the wrong type, or a number is no int64.
    """
    if not data:
        return HALF_CLOSE
    try:
        json = _decoder.decode(data)
        stream_id = _text(json.stream_id if json.stream_id is not None else json.streamId)
        message = _text(json.message)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise InvalidMessageError(str(error)) from error
    number = _int64(json.sequence_number if json.sequence_number is not None else json.sequenceNumber)
    timestamp = _int64(json.timestamp)
    if json.half_close or json.halfClose:
        if not (stream_id or number or timestamp or message):
            return HALF_CLOSE
        return Incoming(StreamMessage(stream_id, number, timestamp, message), True)
    return Incoming(StreamMessage(stream_id, number, timestamp, message), False)


def _text(value: str | None) -> str:
    if value is None:
        return ""
    if not value.isascii():
        value.encode()  # A lone surrogate, which JSON can spell and UTF-8 cannot, raises UnicodeEncodeError.
    return value


def _int64(value: int | str | None) -> int:
    if value is None:
        return 0
    if isinstance(value, str):
        if _INT64.fullmatch(value) is None:
            raise InvalidMessageError("a number is no decimal integer")
        value = int(value)
    if not _LOWEST <= value <= _HIGHEST:
        raise InvalidMessageError("a number is out of range for int64")
    return value


def encode(response: StreamResponse) -> str:
    """A response as JSON: every field in order, no spaces, int64 as numbers, raw UTF-8."""
    return _encoder.encode(
        _Outgoing(response.stream_id, response.sequence_number, response.timestamp, response.response, response.success)
    ).decode()
