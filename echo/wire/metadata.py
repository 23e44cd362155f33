"""Metadata <-> header fields (gRPC over HTTP/2, "Requests": Custom-Metadata).

Values are text, or octets under names that end in ``-bin``, which travel in base64. Names that gRPC and HTTP/2 keep
for themselves can neither be sent nor seen, so what `decode_metadata` gives of a well-behaved peer `encode_metadata`
takes.
"""

import re
from base64 import b64encode
from binascii import a2b_base64
from collections.abc import Collection, Iterable, Mapping
from typing import Final, TypeAlias

from multidict import MultiDict

from echo.wire.hpack import Field

MetadataLike: TypeAlias = Mapping[str, str | bytes] | Collection[tuple[str, str | bytes]]
Metadata: TypeAlias = MultiDict[str | bytes]

# Names of gRPC's own that applications may see and set (proposal A6): how often a call was attempted before, and when
# the server wants the next attempt.
PREVIOUS_ATTEMPTS: Final = "grpc-previous-rpc-attempts"
PUSHBACK: Final = "grpc-retry-pushback-ms"
SHARED_NAMES: Final = frozenset({PREVIOUS_ATTEMPTS.encode(), PUSHBACK.encode()})

_KEY: Final = re.compile(r"[0-9a-z_.\-]+")
_TEXT: Final = re.compile(r"[ -~]*")

_RESERVED: Final = frozenset(
    {
        # Set by gRPC itself.
        b"te",
        b"content-type",
        b"user-agent",
        # They speak of the connection, not of the call, and make a message malformed (RFC 9113 §8.2.2).
        b"connection",
        b"proxy-connection",
        b"keep-alive",
        b"transfer-encoding",
        b"upgrade",
        # Valid in HTTP/2, but only when they agree with :authority and the DATA frames (RFC 9113 §8.3.1, §8.1.1).
        b"host",
        b"content-length",
    }
)


def encode_metadata(metadata: MetadataLike) -> list[Field]:
    """Make header fields of an application's metadata, in its order; a repeated key gives repeated fields.

    Args:
        metadata: Keys of ``0-9 a-z _ . -``. Under a key that ends in ``-bin`` any octets, under others printable
            ASCII. Spaces around text are left out, as the spec permits: HTTP/2 does not carry them (RFC 9113 §8.2.1).

    Raises:
        ValueError: A key is malformed or reserved, or text has characters that cannot be sent.
        TypeError: A key is no `str`, or a value is not of the type its key asks for.
    """
    fields = []
    for key, value in metadata.items() if isinstance(metadata, Mapping) else metadata:
        if not isinstance(key, str):
            raise TypeError(f"metadata key {key!r} is not a str")
        if not _KEY.fullmatch(key):
            raise ValueError(f"metadata key {key!r} has characters other than 0-9 a-z _ . -")
        name = key.encode()
        if name in _RESERVED or (key.startswith("grpc-") and name not in SHARED_NAMES):
            raise ValueError(f"metadata key {key!r} is reserved")
        # The values stay out of the messages: they may be secrets, and messages end up in logs.
        if key.endswith("-bin"):
            if not isinstance(value, bytes):
                raise TypeError(f"metadata value of {key!r} must be bytes, not {type(value).__name__}")
            fields.append((name, encode_bin(value)))
        else:
            if not isinstance(value, str):
                raise TypeError(f"metadata value of {key!r} must be str, not {type(value).__name__}")
            if not _TEXT.fullmatch(value):
                raise ValueError(f"metadata value of {key!r} has characters other than printable ASCII")
            fields.append((name, value.strip(" ").encode()))
    return fields


def decode_metadata(fields: Iterable[Field]) -> Metadata:
    """Read an application's metadata: the fields that neither HTTP/2 nor gRPC has a use for (`FieldList.custom`).

    A ``-bin`` field may hold several values with commas between them (gRPC over HTTP/2, "Requests"); they come apart.
    Blanks around a value are no part of it. Octets that are not ASCII come as the characters of latin-1.

    Raises:
        ValueError: A ``-bin`` field is not base64.
    """
    metadata: Metadata = MultiDict()
    for octets, value in fields:
        name = octets.decode("latin-1")
        if not name.endswith("-bin"):
            metadata.add(name, value.strip(b" \t").decode("latin-1"))
            continue
        for item in value.split(b","):
            try:
                metadata.add(name, decode_bin(item.strip(b" \t")))
            except ValueError as error:
                raise ValueError(f"metadata value of {name!r} is not base64") from error
    return metadata


def encode_bin(value: bytes) -> bytes:
    """Octets in base64 without padding, the form senders should use (gRPC over HTTP/2, "Requests")."""
    return b64encode(value).rstrip(b"=")


def decode_bin(value: bytes) -> bytes:
    """Octets from a single base64 value, padded or not.

    Raises:
        ValueError: It is neither.
    """
    missing = -len(value) % 4
    if missing and b"=" in value:
        raise ValueError("base64 with wrong padding")
    return a2b_base64(value + b"=" * missing, strict_mode=True)
