"""Metadata <-> header fields (gRPC over HTTP/2, "Requests": Custom-Metadata).

Values are text, or bytes under names that end in ``-bin``, which are sent in base64. Names that gRPC and HTTP/2 reserve
are neither sent nor shown, so `encode_metadata` accepts everything that `decode_metadata` returns for a well-behaved
peer.
"""

import re
from base64 import b64encode
from binascii import a2b_base64
from collections.abc import Collection, Iterable, Mapping
from typing import Final, TypeAlias

from multidict import MultiDict

from echo.wire.header_lists import Field

MetadataLike: TypeAlias = Mapping[str, str | bytes] | Collection[tuple[str, str | bytes]]
Metadata: TypeAlias = MultiDict[str | bytes]

# gRPC names that applications may read and set. Proposal A6: how many attempts a call has had, and the server's delay
# before the next one. OpenCensus: the trace and the tags, which Dapr and others pass on in their callers' metadata.
PREVIOUS_ATTEMPTS: Final = "grpc-previous-rpc-attempts"
PUSHBACK: Final = "grpc-retry-pushback-ms"
SHARED_NAMES: Final = frozenset({PREVIOUS_ATTEMPTS.encode(), PUSHBACK.encode(), b"grpc-trace-bin", b"grpc-tags-bin"})

_KEY: Final = re.compile(r"[0-9a-z_.\-]+")
_TEXT: Final = re.compile(r"[ -~]*")

# Connection-specific fields, which HTTP/2 replaces by its own mechanisms. They make a message malformed (RFC 9113
# §8.2.2).
CONNECTION_SPECIFIC: Final = frozenset(
    {b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"}
)
_RESERVED: Final = CONNECTION_SPECIFIC | frozenset(
    {
        # Set by gRPC itself.
        b"te",
        b"content-type",
        b"user-agent",
        # Valid in HTTP/2 only if they agree with :authority and the DATA frames (RFC 9113 §8.3.1, §8.1.1).
        b"host",
        b"content-length",
    }
)


def encode_metadata(metadata: MetadataLike) -> list[Field]:
    """Encode an application's metadata as header fields, in order; a repeated key gives repeated fields.

    Args:
        metadata: Keys consist of ``0-9 a-z _ . -``. Values are bytes if the key ends in ``-bin``, else printable
            ASCII. Spaces around text are stripped, as the spec permits: HTTP/2 does not carry them (RFC 9113 §8.2.1).

    Raises:
        ValueError: A key is malformed or reserved, or text has characters that cannot be sent.
        TypeError: A key is not a `str`, or a value does not have the type that its key requires.
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
    """Read an application's metadata: the fields that neither HTTP/2 nor gRPC uses (`FieldList.custom`).

    A ``-bin`` field may hold several comma-separated values (gRPC over HTTP/2, "Requests"); they are split. Whitespace
    around a value is stripped. Bytes outside ASCII are decoded as latin-1.

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
    """Encode bytes in base64 without padding, as senders should (gRPC over HTTP/2, "Requests")."""
    return b64encode(value).rstrip(b"=")


def decode_bin(value: bytes) -> bytes:
    """Decode a single base64 value, padded or not.

    Raises:
        ValueError: The value is not base64.
    """
    missing = -len(value) % 4
    if missing and b"=" in value:
        raise ValueError("base64 with wrong padding")
    return a2b_base64(value + b"=" * missing, strict_mode=True)
