"""HPACK (RFC 7541) from one of two libraries: header lists to blocks and back.

The Rust codec of ``jh2`` is used where it is installed, otherwise ``hpack``, which is pure Python. For the eleven
fields of a request in a service mesh, the Rust codec takes 1.8 us to encode and 1.4 us to decode; ``hpack`` takes 15
and 24. `tests/wire/test_hpack.py` checks that both give the same results.

Fields are pairs of bytes. Fields whose values are secret, or new in each call, are sent as never-indexed literals
(RFC 7541 §6.2.3, §7.1.3): in the table they would only evict fields that repeat.
"""

from collections.abc import Sequence
from typing import Final, Protocol

from echo.wire.errors import PeerConnectionError
from echo.wire.frames import ErrorCode

Field = tuple[bytes, bytes]
ReceivedField = tuple[bytes, bytes] | tuple[bytes, bytes, bool]
"""Name, value, and optionally whether the field must never be indexed."""

FIELD_OVERHEAD: Final = 32  # Added to a field's length when a list's size is counted (RFC 9113 §6.5.2).
MAX_TABLE_SIZE: Final = 4_096  # The default of RFC 9113 §6.5.2; larger tables cost memory and save nothing for gRPC.

NEVER_INDEXED: Final = frozenset(
    {
        b"authorization",
        b"cookie",
        b"grpc-message",
        b"grpc-status-details-bin",
        b"grpc-timeout",
        b"traceparent",
        b"x-request-id",
    }
)


class Encoder(Protocol):
    """Encodes the header lists of one direction, in the order they are sent."""

    def encode(self, fields: Sequence[Field]) -> bytes:
        """Encode a header list as a block."""

    def resize(self, size: int) -> None:
        """Apply the peer's SETTINGS_HEADER_TABLE_SIZE; the table never exceeds `MAX_TABLE_SIZE`."""


class Decoder(Protocol):
    """Decodes the header blocks of one direction, in the order they were received."""

    def decode(self, block: bytes) -> Sequence[ReceivedField]:
        """Decode a block to its header list.

        Raises:
            PeerConnectionError: COMPRESSION_ERROR if the block is damaged; ENHANCE_YOUR_CALM if the list exceeds the
                decoder's limit. Either way the table is lost, and with it the connection.
        """


def encoder() -> Encoder:
    """An encoder with an empty table."""
    return _ENCODER()


def decoder(max_list_size: int) -> Decoder:
    """A decoder with an empty table, for lists of at most ``max_list_size`` bytes as RFC 9113 §6.5.2 counts them."""
    return _DECODER(max_list_size)


def _oversized(limit: int) -> PeerConnectionError:
    return PeerConnectionError(ErrorCode.ENHANCE_YOUR_CALM, f"a header list of more than {limit} bytes")


def _damaged(error: Exception) -> PeerConnectionError:
    return PeerConnectionError(ErrorCode.COMPRESSION_ERROR, f"a header block that cannot be decoded: {error}")


class _Codec(Protocol):
    header_table_size: int

    def encode(self, headers: list[tuple[bytes, bytes, bool]], /) -> bytes: ...


class _LibraryEncoder:
    """What both encoders share.

    The libraries announce every change of the table's size, even one that was reverted before the next block. Changes
    are therefore held back until the next block, which announces the smallest size and the last (RFC 7541 §4.2).
    """

    def __init__(self, library: _Codec) -> None:
        self._encoder = library
        self._announced = self._smallest = self._size = MAX_TABLE_SIZE

    def encode(self, fields: Sequence[Field]) -> bytes:
        if self._smallest != self._announced or self._size != self._announced:
            self._announce_size()
        return self._encoder.encode([(name, value, name in NEVER_INDEXED) for name, value in fields])

    def resize(self, size: int) -> None:
        self._size = min(size, MAX_TABLE_SIZE)
        self._smallest = min(self._smallest, self._size)

    def _announce_size(self) -> None:
        for size in (self._smallest, self._size):
            if size != self._announced:
                self._encoder.header_table_size = self._announced = size
        self._smallest = self._size


class PythonEncoder(_LibraryEncoder):
    """`hpack.Encoder`."""

    def __init__(self) -> None:
        import hpack  # noqa: PLC0415 - only one of the two libraries is loaded.

        super().__init__(hpack.Encoder())


class PythonDecoder:
    """`hpack.Decoder`."""

    def __init__(self, max_list_size: int) -> None:
        import hpack  # noqa: PLC0415 - as above

        self._decoder = hpack.Decoder(max_header_list_size=max_list_size)
        self._limit = max_list_size
        self._oversized = hpack.OversizedHeaderListError
        self._damaged = hpack.HPACKError

    def decode(self, block: bytes) -> Sequence[ReceivedField]:  # noqa: D102 - as in Decoder
        try:
            return [(name, value) for name, value in self._decoder.decode(block, raw=True)]
        except self._oversized as error:
            raise _oversized(self._limit) from error
        except self._damaged as error:
            raise _damaged(error) from error


def _count_fields(block: bytes) -> int:
    """Count the fields of a block by their representations (RFC 7541 §6), without decoding them.

    Raises:
        PeerConnectionError: The block is cut short, or a size update follows a field (RFC 7541 §4.2).
    """
    at, size, fields = 0, len(block), 0
    try:
        while at < size:
            first = block[at]
            if first >= 0x80:  # Indexed.
                at = at + 1 if first != 0xFF else _skip_integer(block, at)
                fields += 1
                continue
            if first & 0xE0 == 0x20:  # A size update.
                if fields:
                    raise _damaged(ValueError("a size update after a field"))
                at = at + 1 if first != 0x3F else _skip_integer(block, at)
                continue
            fields += 1
            prefix = 0x3F if first >= 0x40 else 0x0F  # A literal, indexed or not.
            name = first & prefix
            at = at + 1 if name != prefix else _skip_integer(block, at)
            if not name:
                at = _skip_string(block, at)
            at = _skip_string(block, at)
    except IndexError:
        at = size + 1
    if at != size:
        raise _damaged(ValueError("it is cut short"))
    return fields


def _skip_integer(block: bytes, at: int) -> int:
    """Where an integer with a full prefix ends (RFC 7541 §5.1)."""
    at += 1
    while block[at] >= 0x80:
        at += 1
    return at + 1


def _skip_string(block: bytes, at: int) -> int:
    """Where a string ends (RFC 7541 §5.2)."""
    size = block[at] & 0x7F
    if size != 0x7F:
        return at + 1 + size
    shift = 0
    while True:
        at += 1
        octet = block[at]
        size += (octet & 0x7F) << shift
        shift += 7
        if octet < 0x80:
            return at + 1 + size


class RustEncoder(_LibraryEncoder):
    """`jh2`'s encoder."""

    def __init__(self) -> None:
        super().__init__(_hazmat.Encoder())


class RustDecoder:
    """`jh2`'s decoder, with the checks that it lacks: a block cut short, and a size update in the wrong place.

    Neither checks that the padding of a Huffman-coded string is all ones (RFC 7541 §5.2). Nothing depends on it, and
    checking it would mean decoding the string.
    """

    def __init__(self, max_list_size: int) -> None:
        self._decoder = _hazmat.Decoder(max_list_size)
        self._limit = max_list_size

    def decode(self, block: bytes) -> Sequence[ReceivedField]:  # noqa: D102 - as in Decoder
        if _count_fields(block) * FIELD_OVERHEAD > self._limit:  # The library counts only names and values.
            raise _oversized(self._limit)
        try:
            fields: list[ReceivedField] = self._decoder.decode(block, True)
            return fields
        except _hazmat.OversizedHeaderListError as error:
            raise _oversized(self._limit) from error
        except _hazmat.HPACKError as error:
            raise _damaged(error) from error
        except BaseException as error:
            # A Rust panic is raised as a class that is not an `Exception` and cannot be imported. No block that passes
            # `_count_fields` is known to cause one, but if one did, any peer could end the process.
            if type(error).__name__ != "PanicException":
                raise
            raise _damaged(RuntimeError("the decoder panicked")) from error


try:
    from jh2 import _hazmat
except ImportError:
    _ENCODER: type[Encoder] = PythonEncoder
    _DECODER: type[PythonDecoder] | type[RustDecoder] = PythonDecoder
else:
    _ENCODER = RustEncoder
    _DECODER = RustDecoder
