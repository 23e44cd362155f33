"""HPACK that remembers whole header blocks, for each connection by itself.

Of a unary call more than half the cost would be HPACK and the checks of what comes out of it, in Python, for the same
few header lists over and over: after the first call of a kind a client sends every field as an index into its table,
so that the block has the very same bytes each time. A block that does not alter the table means the same for as long
as nothing else alters it (RFC 7541 §2.3.3), so blocks are remembered until then.

Fields whose values change with every call, as ``grpc-timeout`` does, would alter the table each time they enter it;
so `ENCODED_ALONE` of them are sent as literals that stay out of it (RFC 7541 §6.2.2).
"""

from collections.abc import Iterable, Sequence
from typing import Final

from hpack import Decoder, Encoder, HeaderTuple
from hpack.struct import Header
from hpack.table import HeaderTable

MAX_BLOCKS: Final = 64  # Remembered at once, each way.
MAX_BLOCK_SIZE: Final = 1_024  # Bytes; of longer blocks each is likely to be the only one of its kind.

ENCODED_ALONE: Final = frozenset({"grpc-timeout"})

_NOT_INDEXED: Final = 0x00  # RFC 7541 §6.2.2: a literal without indexing, its name a literal too.


class _Table(HeaderTable):
    """A table that counts how often it was altered."""

    def __init__(self) -> None:
        super().__init__()
        self.altered = 0

    def add(self, name: bytes, value: bytes) -> None:
        self.altered += 1
        super().add(name, value)

    def __setattr__(self, name: str, value: object) -> None:
        if name == "maxsize":
            if value == self._maxsize:
                return  # hpack would forget that a change before it has not been told to the peer yet.
            self.altered += 1
        super().__setattr__(name, value)


class HeaderBlock(list[HeaderTuple]):
    """A decoded header list, and what has been made of it: the same block is the same object.

    Attributes:
        sound: What h2 makes of it, once it has passed h2's checks: the list as h2 reports it, and the value of
            ``content-length``. At 0 if it came as trailers, at 1 as the first list of a stream.
    """

    __slots__ = ("sound",)

    def __init__(self, fields: Iterable[HeaderTuple]) -> None:
        super().__init__(fields)
        self.sound: list[tuple[list[Header], int | None] | None] = [None, None]


class RememberingDecoder(Decoder):
    """An HPACK decoder that gives the same list for the same block while its table stays the same."""

    def __init__(self) -> None:
        super().__init__()
        self.header_table = self._table = _Table()
        self._blocks: dict[bytes, HeaderBlock] = {}
        self._valid = 0  # The state of the table that the blocks were decoded by.

    def decode(self, data: bytes, raw: bool = False) -> Iterable[HeaderTuple]:
        """The header list of a block. The raw one is remembered; do not change it."""
        if not raw:
            return super().decode(data, raw)
        if self._valid == self._table.altered:
            known = self._blocks.get(data)
            if known is not None:
                return known
        block = HeaderBlock(super().decode(data, raw))
        if self._valid != self._table.altered:
            self._valid = self._table.altered
            self._blocks.clear()
        elif len(data) <= MAX_BLOCK_SIZE:
            if len(self._blocks) >= MAX_BLOCKS:
                self._blocks.clear()
            self._blocks[bytes(data)] = block
        return block


class RememberingEncoder(Encoder):
    """An HPACK encoder that gives the same block for the same list while its table stays the same."""

    def __init__(self) -> None:
        super().__init__()
        self.header_table = self._table = _Table()
        self._blocks: dict[tuple[tuple[str, str], ...], bytes] = {}
        self._valid = 0

    def encode_fields(self, fields: Sequence[tuple[str, str]]) -> bytes:
        """The block of a header list of strings: ASCII, or what shall be sent as UTF-8."""
        for index, (name, value) in enumerate(fields):
            if name in ENCODED_ALONE:
                before = self._encode_part(tuple(fields[:index]))
                return before + _literal(name, value) + self._encode_part(tuple(fields[index + 1 :]))
        return self._encode_part(tuple(fields))

    def _encode_part(self, fields: tuple[tuple[str, str], ...]) -> bytes:
        if self._valid == self._table.altered:
            known = self._blocks.get(fields)
            if known is not None:
                return known
        part = self.encode(fields)
        if self._valid != self._table.altered:
            self._valid = self._table.altered
            self._blocks.clear()
        elif len(part) <= MAX_BLOCK_SIZE:
            if len(self._blocks) >= MAX_BLOCKS:
                self._blocks.clear()
            self._blocks[fields] = part
        return part


def _literal(name: str, value: str) -> bytes:
    """A field that neither uses nor alters the table; both strings are short ASCII."""
    name_bytes, value_bytes = name.encode("ascii"), value.encode("ascii")
    assert len(name_bytes) < 127
    assert len(value_bytes) < 127
    return b"%c%c%b%c%b" % (_NOT_INDEXED, len(name_bytes), name_bytes, len(value_bytes), value_bytes)
