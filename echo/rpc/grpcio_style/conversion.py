"""Converts between grpcio's types and ours: message functions, status codes and metadata."""

import logging
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

import grpc
from grpclib.encoding.base import CodecBase

from echo.wire import Metadata, Status

Function = Callable[[Any], Any]

log = logging.getLogger(__name__)

DETAILS: Final = "grpc-status-details-bin"  # Metadata to grpcio's programs, but a part of the status in gRPC.

_ENCODINGS: dict[object, str] = {grpc.Compression.NoCompression: "identity", grpc.Compression.Gzip: "gzip"}
_CODES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


class Converter:
    """A serializer or deserializer, where a codec expects a message type; None passes bytes on as they are."""

    def __init__(self, function: Function | None) -> None:
        self.convert: Function = bytes if function is None else function
        owner = getattr(function, "__self__", function)
        self.__name__: str = getattr(owner, "__name__", "message")  # For errors: FromString's class, mostly.


class FunctionCodec(CodecBase):
    """Encodes and decodes messages with functions, which take the place of message types."""

    __content_subtype__ = "proto"

    def encode(self, message: object, message_type: Converter) -> bytes:
        """Encode a message; raises what the function raises."""
        data: bytes = message_type.convert(message)
        return data

    def decode(self, data: bytes, message_type: Converter) -> object:
        """Decode a message; raises what the function raises."""
        return message_type.convert(data)


CODEC = FunctionCodec()


def to_code(status: Status) -> grpc.StatusCode:
    """Convert our status to grpcio's."""
    return _CODES[status.value]


def to_status(code: Any) -> Status:
    """Convert grpcio's status, or a number, to ours.

    Raises:
        ValueError: There is no status with this number.
    """
    return Status(code.value[0] if isinstance(code, grpc.StatusCode) else code)


def to_pairs(metadata: Iterable[tuple[str, str | bytes]] | None) -> list[tuple[str, str | bytes]]:
    """Convert metadata, in any form that grpcio accepts, to ours: text may be bytes."""
    return [(key, value if key.endswith("-bin") else _text(value)) for key, value in metadata or ()]


def _text(value: str | bytes) -> str | bytes:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def to_metadata(received: Metadata | None, details: bytes | None = None) -> grpc.aio.Metadata:
    """Convert our metadata to grpcio's class, with the status details among it."""
    pairs = [] if received is None else list(received.items())
    return grpc.aio.Metadata(*pairs, *(() if details is None else [(DETAILS, details)]))


class Metadatum(NamedTuple):
    """One item of a request's metadata, for servicers."""

    key: str
    value: str | bytes


def to_invocation(received: Metadata) -> tuple[Metadatum, ...]:
    """Convert a request's metadata to what servicers of grpcio get: a tuple, unlike its clients."""
    return tuple(Metadatum(key, value) for key, value in received.items())


def to_encoding(compression: object) -> str:
    """Convert grpcio's compression to our encoding's name.

    Raises:
        grpc.aio.UsageError: It is neither gzip nor none.
    """
    if compression not in _ENCODINGS:
        raise grpc.aio.UsageError(f"{compression!r} is not supported, only gzip is")
    return _ENCODINGS[compression]


def call_back(callback: Callable[[Any], object], subject: object) -> None:
    """Call a done callback with what is done; log what it raises."""
    try:
        callback(subject)
    except Exception:
        log.exception("a done callback failed")
