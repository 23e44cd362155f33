"""The message encodings of ``grpc-encoding`` (gRPC over HTTP/2, "Message-Encoding"), with bounded decompression.

A kilobyte of gzip can inflate to a megabyte, so `decompress` takes a limit and never produces more than one byte
beyond it.
"""

import zlib
from typing import Final

from echo.wire.status import GRPCError, Status

IDENTITY: Final = "identity"
SUPPORTED: Final[tuple[str, ...]] = (IDENTITY, "gzip")
ACCEPT_ENCODING: Final = ",".join(SUPPORTED)

_GZIP_WBITS: Final = 16 + zlib.MAX_WBITS  # 16 tells zlib to use gzip's header and checksum (RFC 1952).
_LEVEL: Final = 6

# zlib returns a copy of whatever follows the end of a gzip member. Feeding it pieces means that a message of thousands
# of tiny members costs a copy of one piece each time, not of the whole rest of the message.
_PIECE: Final = 4096


def accepts(accept_encoding: str, encoding: str) -> bool:
    """Whether a peer that sent this ``grpc-accept-encoding`` can decode the encoding."""
    return encoding == IDENTITY or encoding in (name.strip() for name in accept_encoding.split(","))


def known_encoding(encoding: str | None) -> str:
    """Validate the encoding that a user chose for sending; None means uncompressed.

    Raises:
        ValueError: The encoding is not in `SUPPORTED`.
    """
    if encoding is None:
        return IDENTITY
    if encoding not in SUPPORTED:
        raise ValueError(f"message encoding {encoding!r} is not one of {', '.join(SUPPORTED)}")
    return encoding


def compress(encoding: str, data: bytes) -> bytes:
    """Compress one message.

    Raises:
        ValueError: The encoding is not in `SUPPORTED`.
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
        data: The whole message as received.
        limit: The largest result allowed, in bytes.

    Raises:
        GRPCError: RESOURCE_EXHAUSTED if the result would be larger than ``limit``; INTERNAL if the data is damaged,
            cut short, or followed by something else; UNIMPLEMENTED if the encoding is not in `SUPPORTED`.
    """
    if encoding == "identity":
        if len(data) > limit:
            raise GRPCError(Status.RESOURCE_EXHAUSTED, f"message of {len(data)} bytes exceeds the limit of {limit}")
        return data
    if encoding == "gzip":
        return _gunzip(data, limit)
    raise GRPCError(Status.UNIMPLEMENTED, f"message encoding {encoding!r} is not supported")


def _gunzip(data: bytes, limit: int) -> bytes:
    """Inflate one or more gzip members (RFC 1952 §2.2) to at most ``limit`` bytes in total."""
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
                # One byte more than fits: if zlib fills it, the message is too large. (0 would mean no limit.)
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
