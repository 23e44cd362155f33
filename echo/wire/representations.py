"""Examines a header block's representations (RFC 7541 §6), as `jh2` does not, and finds the values of the simplest."""

from collections.abc import Callable, Iterable, Sequence
from struct import Struct
from typing import Final, NamedTuple
from zlib import adler32

from echo.wire.errors import PeerConnectionError
from echo.wire.frames import ErrorCode

INDICES: Final = bytes(range(0x81, 0xFF))
"""Each of these bytes is a whole field: an index in the table (RFC 7541 §6.1)."""

CODE_LENGTHS: Final = bytes.fromhex(
    "0d171c1c1c1c1c1c1c181e1c1c1e1c1c1c1c1c1c1c1c1e1c1c1c1c1c1c1c1c1c"
    "060a0a0c0d06080b0a0a080b080606060505050606060606060607080f060c0a"
    "0d06070707070707070707070707070707070707070707070807080d130d0e06"
    "0f05060506050606060507070606060506070605050607070707070f0b0e0d1c"
    "1416141416161617161717171717181718181617181717171715161716171718"
    "1615141616171715171616181516171715151615171617171416161617161617"
    "1a1a1413161716191a1a1a1b1b1a181913151a1b1b1a1b1815151a1a1c1b1b1b"
    "14181415161515171616191918181a171a1b1a1a1b1b1b1b1b1c1b1b1b1b1b1a"
)
"""How many bits the code of each byte has (RFC 7541 Appendix B)."""


_BITS: Final = bytes(length % 8 for length in CODE_LENGTHS)
_ONES_AT_END: Final = bytes((~octet & (octet + 1)).bit_length() - 1 for octet in range(256))  # How many, of each byte.
_LONG: Final = 9_000  # Of strings up to this length, adler32 adds up the bits without its modulo.


def damaged(error: Exception) -> PeerConnectionError:
    """The error for a block that cannot be decoded."""
    return PeerConnectionError(ErrorCode.COMPRESSION_ERROR, f"a header block that cannot be decoded: {error}")


def survey(block: bytes) -> tuple[int, bool, list[tuple[int, int, int]]]:
    """Count the fields of a block without decoding it.

    Returns:
        The number of fields; whether the block changes the table; and for each Huffman-coded string the number of its
        field, 0 if it is the name or 1 if it is the value, and its last byte.

    Raises:
        PeerConnectionError: The block is cut short, or a size update follows a field (RFC 7541 §4.2).
    """
    at, size, fields, changes = 0, len(block), 0, False
    coded: list[tuple[int, int, int]] = []
    try:
        while at < size:
            first = block[at]
            if first >= 0x80:  # Indexed.
                at = at + 1 if first != 0xFF else _skip_integer(block, at)
                fields += 1
                continue
            if first & 0xE0 == 0x20:  # A size update.
                if fields:
                    raise damaged(ValueError("a size update after a field"))
                at = at + 1 if first != 0x3F else _skip_integer(block, at)
                changes = True
                continue
            if first >= 0x40:  # A literal that enters the table,
                changes, prefix = True, 0x3F
            else:  # or does not.
                prefix = 0x0F
            name = first & prefix
            at = at + 1 if name != prefix else _skip_integer(block, at)
            if not name:
                start = block[at]
                at = at + 1 + length if (length := start & 0x7F) != 0x7F else _skip_long_string(block, at)
                if start >= 0x80:
                    coded.append((fields, 0, block[at - 1]))
            start = block[at]
            at = at + 1 + length if (length := start & 0x7F) != 0x7F else _skip_long_string(block, at)
            if start >= 0x80:
                coded.append((fields, 1, block[at - 1]))
            fields += 1
    except IndexError:
        at = size + 1
    if at != size:
        raise damaged(ValueError("it is cut short"))
    return fields, changes, coded


def padded_with_ones(fields: Sequence[tuple[bytes, ...]], coded: Iterable[tuple[int, int, int]]) -> bool:
    """Whether the bits behind the last code of each string are ones, as they must be (RFC 7541 §5.2).

    Args:
        fields: The decoded header list.
        coded: Which of its strings were Huffman-coded, as `survey` returns them.
    """
    for field, part, last in coded:
        bits = (fields[field][1] if part else fields[field][0]).translate(_BITS)
        # adler32 begins with 1, and takes half of the time of `sum`.
        total = sum(bits) if len(bits) > _LONG else adler32(bits) - 1
        if -total % 8 > _ONES_AT_END[last]:
            return False
    return True


class Layout(NamedTuple):
    """Where the values are in a block of plain literals, as `layout_of` finds them.

    Calls of one client often have the same names, and values of the same lengths, such as a deadline and a trace.

    Attributes:
        names: The names of the fields.
        heads: What stands before each value: the kind of literal, its name, and the lengths of both.
        read_heads: Reads these from another block of the same length. If they are the same,
        read_values: reads its values. Two calls for all fields take a third of the time that a loop takes.
    """

    names: tuple[bytes, ...]
    heads: tuple[bytes, ...]
    read_heads: Callable[[bytes, int], tuple[bytes, ...]]
    read_values: Callable[[bytes, int], tuple[bytes, ...]]


def layout_of(block: bytes, names: tuple[bytes, ...], values: tuple[bytes, ...]) -> Layout | None:
    """The layout of a block that decodes to these names and values.

    None unless it consists of plain literals: they do not enter the table, their names are no indices, and their
    strings are short and not in Huffman code.
    """
    heads: list[bytes] = []
    at = 0
    for name, value in zip(names, values, strict=True):
        kind = block[at : at + 1]
        # A literal that is not indexed, or never (RFC 7541 §6.2.2, §6.2.3).
        if kind not in (b"\x00", b"\x10") or len(name) >= 0x7F or len(value) >= 0x7F:
            return None
        heads.append(b"%b%c%b%c" % (kind, len(name), name, len(value)))
        at += len(heads[-1]) + len(value)
    if b"".join(head + value for head, value in zip(heads, values, strict=True)) != block:
        return None
    read_heads = Struct("".join(f"{len(head)}s{head[-1]}x" for head in heads)).unpack_from
    read_values = Struct("".join(f"{len(head)}x{head[-1]}s" for head in heads)).unpack_from
    return Layout(names, tuple(heads), read_heads, read_values)


def _skip_integer(block: bytes, at: int) -> int:
    """Where an integer with a full prefix ends (RFC 7541 §5.1)."""
    at += 1
    while block[at] >= 0x80:
        at += 1
    return at + 1


def _skip_long_string(block: bytes, at: int) -> int:
    """Where a string of 127 bytes or more ends (RFC 7541 §5.2)."""
    size, shift = 0x7F, 0
    while True:
        at += 1
        octet = block[at]
        size += (octet & 0x7F) << shift
        shift += 7
        if octet < 0x80:
            return at + 1 + size
