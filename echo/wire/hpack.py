"""HPACK (RFC 7541) from one of two libraries: header lists to blocks and back.

The Rust codec of ``jh2`` is used where it is installed, otherwise ``hpack``, which is pure Python. For the eleven
fields of a request in a service mesh, the Rust codec takes 1.7 us to encode and 1.8 us to decode; ``hpack`` takes 73
and 57. `tests/wire/test_hpack.py` checks that both give the same results.

Fields are pairs of bytes. Fields whose values are secret, or new in each call, are sent as never-indexed literals
(RFC 7541 §6.2.3, §7.1.3): in the table they would only evict fields that repeat.
"""

from collections.abc import Sequence
from types import ModuleType
from typing import Final

from echo.wire.errors import PeerConnectionError
from echo.wire.frames import ErrorCode
from echo.wire.header_lists import FIELD_OVERHEAD, Field, Recurring, Started, list_size
from echo.wire.representations import INDICES, Layout, damaged, layout_of, padded_with_ones, survey

try:
    from jh2 import _hazmat as library
except ImportError:
    import hpack as library  # Its names are the same.

LIBRARY: Final[ModuleType] = library

MAX_TABLE_SIZE: Final = 4_096  # The default of RFC 9113 §6.5.2; larger tables cost memory and save nothing for gRPC.

MAX_CONSTANTS: Final = 256  # Header lists that an encoder remembers.
MAX_KNOWN: Final = 16  # Header lists that a decoder remembers,
MAX_KNOWN_SIZE: Final = 2_048  # each of at most this size. Empty fields count, too: as objects they are not small.
MAX_LAYOUTS: Final = 16  # Layouts that it remembers of the fields behind them,
MAX_LITERALS: Final = 16  # each of so many at most.

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


def _pairs(fields: Sequence[tuple[bytes, ...]]) -> list[Field]:
    """Without what `jh2` adds: whether a field must never be indexed, which matters to those that pass fields on."""
    return [(field[0], field[1]) for field in fields]


def _oversized(limit: int) -> PeerConnectionError:
    return PeerConnectionError(ErrorCode.ENHANCE_YOUR_CALM, f"a header list of more than {limit} bytes")


class Encoder:
    """Encodes the header lists of one direction, in the order they are sent.

    The libraries announce every change of the table's size, even one that was reverted before the next block. Changes
    are therefore held back until the next block, which announces the smallest size and the last (RFC 7541 §4.2).

    A block of indices keeps its meaning until the table changes. So the header lists that all calls of a method share
    are encoded once.
    """

    def __init__(self, library: ModuleType = LIBRARY) -> None:
        self._encoder = library.Encoder()
        self._known: dict[Sequence[Field], bytes] = {}  # Blocks of constants, while the table does not change.
        self._size = MAX_TABLE_SIZE  # Of the table, as announced.
        self._sizes: list[int] = []  # The smallest since then and the last, if the next block is to announce them.

    def encode(self, fields: Sequence[Field]) -> bytes:
        """Encode a header list as a block, or as a piece of one. Tuples are taken for constants, and remembered."""
        if self._sizes:
            self._announce_sizes()
        constant = type(fields) is tuple
        known = self._known.get(fields) if constant else None
        if known is not None:
            return known
        block: bytes = self._encoder.encode([(name, value, name in NEVER_INDEXED) for name, value in fields])
        if block.lstrip(INDICES):  # Otherwise it leaves the table as it is.
            if survey(block)[1]:
                self._known.clear()
        elif constant:
            if len(self._known) >= MAX_CONSTANTS:
                self._known.clear()
            self._known[fields] = block
        return block

    def resize(self, size: int) -> None:
        """Apply the peer's SETTINGS_HEADER_TABLE_SIZE; the table never exceeds `MAX_TABLE_SIZE`."""
        size = min(size, MAX_TABLE_SIZE)
        smallest = self._sizes[0] if self._sizes else self._size
        self._sizes = [min(smallest, size), size]

    def _announce_sizes(self) -> None:
        self._known.clear()
        for size in self._sizes:
            if size != self._size:
                self._encoder.header_table_size = self._size = size
        self._sizes.clear()


class Decoder:
    """Decodes the header blocks of one direction, in the order they were received.

    It makes the checks that `jh2` lacks: a block cut short, a size update in the wrong place, and padding.

    Blocks of indices, and blocks that start with some, are often the same in all calls of a method. Their lists are
    remembered while the table does not change, and so are the layouts of plain literals behind them. The library
    decodes the rest.
    """

    def __init__(self, max_list_size: int, library: ModuleType = LIBRARY) -> None:
        self._library = library
        self._decoder = library.Decoder(max_list_size)
        self._limit = max_list_size
        self._known: dict[bytes, Recurring] = {}  # By blocks that consist of indices, while the table does not change.
        self._layouts: dict[int, Layout | None] = {}  # By their lengths in a block; None for other than plain literals.
        # Of the last block that was decoded without a layout: how many indices it started with, and the length of the
        # literals behind them. If that comes twice, a layout is worth its making.
        self._lead = self._length = 0

    def decode(self, block: bytes) -> Sequence[Field]:
        """Decode a block to its header list.

        Raises:
            PeerConnectionError: COMPRESSION_ERROR if the block is damaged; ENHANCE_YOUR_CALM if the list exceeds the
                limit. Either way the table is lost, and with it the connection.
        """
        known = self._known.get(block)
        if known is not None:
            return known
        lead = self._lead
        start = self._known.get(block[:lead])
        if start is not None:
            layout = self._layouts.get(len(block) - lead)
            if layout is not None and layout.read_heads(block, lead) == layout.heads:
                return Started(start, layout.names, layout.read_values(block, lead))
        return self._decode_anew(block)

    def _decode_anew(self, block: bytes) -> Sequence[Field]:
        """Decode a block of which the start or the layout is not that of one before."""
        self._lead = len(block) - len(block.lstrip(INDICES))  # A byte for each field.
        lead, tail = block[: self._lead], block[self._lead :]
        count, changes, coded = survey(block)
        if count * FIELD_OVERHEAD > self._limit:  # `jh2` counts only names and values.
            raise _oversized(self._limit)
        decoded = self._decode(block)
        if coded and not padded_with_ones(decoded, coded):
            raise damaged(ValueError("the padding of a Huffman-coded string has zeros"))
        start = self._known.get(lead)
        if changes:
            self._known.clear()
        elif start is None and lead and len(self._known) < MAX_KNOWN:
            first = _pairs(decoded[: len(lead)])
            if list_size(first) <= MAX_KNOWN_SIZE:
                start = self._known[lead] = Recurring(first)
        if start is None:
            return _pairs(decoded)
        if not tail:
            return start
        names, values, *_ = zip(*decoded[len(lead) :], strict=True)
        if not coded and len(tail) == self._length and self._layouts.get(len(tail), True):
            self._remember(names, values, tail)
        self._length = len(tail)
        return Started(start, names, values)

    def _remember(self, names: tuple[bytes, ...], values: tuple[bytes, ...], block: bytes) -> None:
        """Remember the layout of a block, unless its lists might exceed the limit."""
        if len(names) > MAX_LITERALS or MAX_KNOWN_SIZE + len(block) + len(names) * FIELD_OVERHEAD > self._limit:
            return
        if len(self._layouts) >= MAX_LAYOUTS:
            self._layouts.clear()
        self._layouts[len(block)] = layout_of(block, names, values)

    def _decode(self, block: bytes) -> list[tuple[bytes, ...]]:
        try:
            fields: list[tuple[bytes, ...]] = self._decoder.decode(block, True)
            return fields
        except self._library.OversizedHeaderListError as error:
            raise _oversized(self._limit) from error
        except self._library.HPACKError as error:
            raise damaged(error) from error
        except BaseException as error:
            # A Rust panic is raised as a class that is not an `Exception` and cannot be imported. No block that passes
            # `survey` is known to cause one, but if one did, any peer could end the process.
            if type(error).__name__ != "PanicException":
                raise
            raise damaged(RuntimeError("the decoder panicked")) from error
