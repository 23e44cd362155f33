"""Both HPACK libraries, and pieces of blocks for them to decode."""

import hpack
from jh2 import _hazmat

from echo.wire.header_lists import Field
from echo.wire.hpack import Decoder

LIMIT = 2_000
LIBRARIES = [hpack, _hazmat]


def pairs(decoder: Decoder, block: bytes) -> list[Field]:
    """The fields that a block means, as plain pairs."""
    return list(decoder.decode(block))


PIECES = [
    b"\x82",  # Indices of the static table,
    b"\x86\x84",
    b"\xbe",  # and of the table's newest field.
    b"\xff\x00",  # An index of two bytes.
    b"\x40\x01a\x01b",  # A literal that enters the table,
    b"\x00\x01a\x01b",  # and others that do not:
    b"\x10\x01a\x00",  # never indexed,
    b"\x00\x0cgrpc-timeout\x0250",
    b"\x00\x00\x00",  # of nothing,
    b"\x00\x01a\x7f\x00" + b"x" * 127,  # long,
    b"\x00\x01a\x7e" + b"x" * 126,
    b"\x00\x81\x1f\x81\x1f",  # in Huffman code,
    b"\x0f\x05v",  # whose name is an index,
    b"\x00\x01a\x05v",  # cut short,
    b"\x00\x05a",
    b"\x00\x01a",
    b"\x00",
    b"\x20",  # Size updates.
    b"\x3f\x21",
    b"\x80",  # An index that does not exist.
]
