"""The message encodings of ``grpc-encoding`` (gRPC over HTTP/2, "Message-Encoding"), inflation within bounds.

A kilobyte of gzip can stand for a megabyte, so `decompress` takes the limit along and never makes more than one byte
beyond it.
"""

import zlib
from typing import Final

from echo.wire.status import GRPCError, Status

IDENTITY: Final = "identity"
SUPPORTED: Final[tuple[str, ...]] = (IDENTITY, "gzip")
ACCEPT_ENCODING: Final = ",".join(SUPPORTED)

_GZIP_WBITS: Final = 16 + zlib.MAX_WBITS  # zlib's way to say: with gzip's header and checksum (RFC 1952).
_LEVEL: Final = 6

# zlib hands back, as a copy, what lies behind the end of a gzip member. Fed in pieces, a message made of thousands
# of tiny members costs a piece each time and not the whole rest of the message.
_PIECE: Final = 4096


def accepts(accept_encoding: str, encoding: str) -> bool:
    """Whether a peer that sent this ``grpc-accept-encoding`` can read messages in the encoding."""
    return encoding == IDENTITY or encoding in (name.strip() for name in accept_encoding.split(","))


def known_encoding(encoding: str | None) -> str:
    """The encoding for messages to be sent, for what a user asked for; None means uncompressed.

    Raises:
        ValueError: It is none of `SUPPORTED`.
    """
    if encoding is None:
        return IDENTITY
    if encoding not in SUPPORTED:
        raise ValueError(f"message encoding {encoding!r} is not one of {', '.join(SUPPORTED)}")
    return encoding


def compress(encoding: str, data: bytes) -> bytes:
    """Compress one message.

    Raises:
        ValueError: The encoding is none of `SUPPORTED`.
    """
    if encoding == "identity":
        return data
    if encoding == "gzip":
        return zlib.compress(data, _LEVEL, _GZIP_WBITS)
    raise ValueError(f"message encoding {encoding!r} is not supported")


def decompress(encoding: str, data: bytes, limit: int) -> bytes:
    """Decompress one message.

    Args:
        encoding: The peer's ``grpc-encoding``.
        data: The message as it came, whole.
        limit: The largest result taken, in bytes.

    Raises:
        GRPCError: RESOURCE_EXHAUSTED if the result would be larger than ``limit``; INTERNAL if the data is damaged,
            cut short, or followed by something else; UNIMPLEMENTED if the encoding is none of `SUPPORTED`.
    """
    if encoding == "identity":
        if len(data) > limit:
            raise GRPCError(Status.RESOURCE_EXHAUSTED, f"message of {len(data)} bytes exceeds the limit of {limit}")
        return data
    if encoding == "gzip":
        return _gunzip(data, limit)
    raise GRPCError(Status.UNIMPLEMENTED, f"message encoding {encoding!r} is not supported")


def _gunzip(data: bytes, limit: int) -> bytes:
    """Inflate one gzip member or several in a row (RFC 1952 §2.2), to ``limit`` bytes all together."""
    inflated: list[bytes] = []
    room = limit
    inflater = zlib.decompressobj(_GZIP_WBITS)
    view = memoryview(data)
    for start in range(0, len(data), _PIECE):
        piece: bytes | memoryview = view[start : start + _PIECE]
        while piece:
            if inflater.eof:
                inflater = zlib.decompressobj(_GZIP_WBITS)
            try:
                # One more than there is room for: that byte is the proof that it is too much. (0 would mean no bound.)
                output = inflater.decompress(piece, room + 1)
            except zlib.error as error:
                raise GRPCError(Status.INTERNAL, "compressed message is damaged") from error
            if len(output) > room:
                raise GRPCError(Status.RESOURCE_EXHAUSTED, f"decompressed message exceeds the limit of {limit}")
            if output:
                inflated.append(output)
                room -= len(output)
            piece = inflater.unused_data
    if not inflater.eof:
        raise GRPCError(Status.INTERNAL, "compressed message is cut short")
    return b"".join(inflated)
