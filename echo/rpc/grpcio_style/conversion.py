"""Between grpcio's words and ours: functions that make messages, status codes, metadata, errors."""

import logging
from collections.abc import Callable, Iterable
from typing import Any

import grpc
from grpclib.encoding.base import CodecBase

from echo.wire import GRPCError, Metadata, MetadataLike, Status

Function = Callable[[Any], Any]

log = logging.getLogger(__name__)

_ENCODINGS: dict[object, str] = {grpc.Compression.NoCompression: "identity", grpc.Compression.Gzip: "gzip"}
_CODES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


class Converter:
    """A serializer or deserializer, where a codec expects a message type; None passes bytes on as they are."""

    def __init__(self, function: Function | None) -> None:
        self.convert: Function = bytes if function is None else function
        owner = getattr(function, "__self__", function)
        self.__name__: str = getattr(owner, "__name__", "message")  # For errors: FromString's class, mostly.


class FunctionCodec(CodecBase):
    """Makes messages by functions, which stand in the place of their types."""

    __content_subtype__ = "proto"

    def encode(self, message: object, message_type: Converter) -> bytes:
        """The message's bytes; raises what the function raises."""
        data: bytes = message_type.convert(message)
        return data

    def decode(self, data: bytes, message_type: Converter) -> object:
        """The message of these bytes; raises what the function raises."""
        return message_type.convert(data)


CODEC = FunctionCodec()


def to_code(status: Status) -> grpc.StatusCode:
    """Our status as grpcio's."""
    return _CODES[status.value]


def to_status(code: Any) -> Status:
    """Grpcio's status as ours; a bare number will do, as it does for grpcio.

    Raises:
        ValueError: There is no such status.
    """
    return Status(code.value[0] if isinstance(code, grpc.StatusCode) else code)


def to_pairs(metadata: Iterable[tuple[str, str | bytes]] | None) -> MetadataLike | None:
    """Metadata in any of the forms that grpcio takes, as ours."""
    return None if metadata is None else [(key, value) for key, value in metadata]


def to_metadata(received: Metadata | None) -> grpc.aio.Metadata:
    """Metadata of ours in grpcio's class."""
    return grpc.aio.Metadata(*(() if received is None else received.items()))


def to_encoding(compression: object) -> str:
    """Grpcio's way to compress as ours.

    Raises:
        grpc.aio.UsageError: It is not supported: gzip is.
    """
    if compression not in _ENCODINGS:
        raise grpc.aio.UsageError(f"{compression} is not supported: gzip is")
    return _ENCODINGS[compression]


def call_back(callback: Callable[[Any], object], subject: object) -> None:
    """Tell a done callback what is over. What it raises is logged."""
    try:
        callback(subject)
    except Exception:
        log.exception("a done callback failed")


def to_error(error: GRPCError, initial: Metadata | None, trailing: Metadata | None) -> grpc.aio.AioRpcError:
    """An error of ours as callers of grpcio's stubs catch it."""
    return grpc.aio.AioRpcError(
        to_code(error.status), to_metadata(initial), to_metadata(trailing), error.message or "", repr(error)
    )
