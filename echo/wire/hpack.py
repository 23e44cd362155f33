"""HPACK (RFC 7541) by a library, behind one seam: header lists to blocks and back.

Two libraries serve: the codec in Rust that comes with ``jh2``, where it is installed, and ``hpack`` in Python. Measured
for the eleven fields of a request in a mesh: 1.8 us to encode and 1.4 us to decode with the one, 15 and 24 with the
other. `tests/wire/test_hpack.py` holds them equal.

Fields are pairs of octets. Those whose values are new in each call, or secret, are sent as literals that enter no table
(RFC 7541 §6.2.3, §7.1.3): they would only push out what comes again.
"""

from collections.abc import Sequence
from typing import Final, Protocol

from echo.wire.errors import PeerConnectionError
from echo.wire.frames import ErrorCode

Field = tuple[bytes, bytes]
ReceivedField = tuple[bytes, bytes] | tuple[bytes, bytes, bool]
"""Name, value, and perhaps whether no intermediary is to put it into a table."""

FIELD_OVERHEAD: Final = 32  # What a field counts beside its octets (RFC 9113 §6.5.2).
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
    """Header lists of one direction to blocks, in the order in which they are sent."""

    def encode(self, fields: Sequence[Field]) -> bytes:
        """The block of a header list."""

    def resize(self, size: int) -> None:
        """The peer's SETTINGS_HEADER_TABLE_SIZE; the table is never made larger than `MAX_TABLE_SIZE`."""


class Decoder(Protocol):
    """Blocks of one direction to header lists, in the order in which they came."""

    def decode(self, block: bytes) -> Sequence[ReceivedField]:
        """The header list of a block.

        Raises:
            PeerConnectionError: COMPRESSION_ERROR if it is damaged; ENHANCE_YOUR_CALM if the list would be larger than
                the decoder was made for. The table is lost with it, and so is the connection.
        """


def encoder() -> Encoder:
    """An encoder with an empty table."""
    return _ENCODER()


def decoder(max_list_size: int) -> Decoder:
    """A decoder with an empty table, for lists of at most so many bytes as RFC 9113 §6.5.2 counts them."""
    return _DECODER(max_list_size)


def _oversized(limit: int) -> PeerConnectionError:
    return PeerConnectionError(ErrorCode.ENHANCE_YOUR_CALM, f"a header list of more than {limit} bytes")


def _damaged(error: Exception) -> PeerConnectionError:
    return PeerConnectionError(ErrorCode.COMPRESSION_ERROR, f"a header block that cannot be decoded: {error}")


class _Codec(Protocol):
    header_table_size: int

    def encode(self, headers: list[tuple[bytes, bytes, bool]], /) -> bytes: ...


class _LibraryEncoder:
    """What the encoders have in common.

    The libraries tell the peer of each change of the table's size, also of one that it has taken back since. A change
    waits for the next block, therefore, which begins with the smallest size there was and the last (RFC 7541 §4.2).
    """

    def __init__(self, library: _Codec) -> None:
        self._encoder = library
        self._told = self._smallest = self._size = MAX_TABLE_SIZE

    def encode(self, fields: Sequence[Field]) -> bytes:
        if self._smallest != self._told or self._size != self._told:
            self._tell_size()
        return self._encoder.encode([(name, value, name in NEVER_INDEXED) for name, value in fields])

    def resize(self, size: int) -> None:
        self._size = min(size, MAX_TABLE_SIZE)
        self._smallest = min(self._smallest, self._size)

    def _tell_size(self) -> None:
        for size in (self._smallest, self._size):
            if size != self._told:
                self._encoder.header_table_size = self._told = size
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
    """Walk over a block's representations (RFC 7541 §6), without a look at what they hold; gives how many fields.

    Raises:
        PeerConnectionError: It breaks off, or the table's size changes behind a field (RFC 7541 §4.2).
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
                    raise _damaged(ValueError("a size update behind a field"))
                at = at + 1 if first != 0x3F else _skip_integer(block, at)
                continue
            fields += 1
            prefix = 0x3F if first >= 0x40 else 0x0F  # A literal, that enters the table or not.
            name = first & prefix
            at = at + 1 if name != prefix else _skip_integer(block, at)
            if not name:
                at = _skip_string(block, at)
            at = _skip_string(block, at)
    except IndexError:
        at = size + 1
    if at != size:
        raise _damaged(ValueError("it breaks off"))
    return fields


def _skip_integer(block: bytes, at: int) -> int:
    """Where an integer ends whose prefix is full (RFC 7541 §5.1)."""
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
    """`jh2`'s decoder, which takes no notice of a block that breaks off, or of size updates in the wrong place.

    Nor of the bits that pad a string in Huffman code, which are to be ones (RFC 7541 §5.2). Nothing rests on them, and
    to look at them would be to decode the string.
    """

    def __init__(self, max_list_size: int) -> None:
        self._decoder = _hazmat.Decoder(max_list_size)
        self._limit = max_list_size

    def decode(self, block: bytes) -> Sequence[ReceivedField]:  # noqa: D102 - as in Decoder
        if _count_fields(block) * FIELD_OVERHEAD > self._limit:  # The library counts octets alone.
            raise _oversized(self._limit)
        try:
            fields: list[ReceivedField] = self._decoder.decode(block, True)
            return fields
        except _hazmat.OversizedHeaderListError as error:
            raise _oversized(self._limit) from error
        except _hazmat.HPACKError as error:
            raise _damaged(error) from error
        except BaseException as error:
            # What the library raises when it panics is no `Exception` and cannot be imported. No block is known to make
            # it panic that has passed `_count_fields`; but by one that does, any peer could end the process.
            if type(error).__name__ != "PanicException":
                raise
            raise _damaged(RuntimeError("the decoder gave up")) from error


try:
    from jh2 import _hazmat
except ImportError:
    _ENCODER: type[Encoder] = PythonEncoder
    _DECODER: type[PythonDecoder] | type[RustDecoder] = PythonDecoder
else:
    _ENCODER = RustEncoder
    _DECODER = RustDecoder
