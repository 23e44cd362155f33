"""Checks how Huffman-coded strings end (RFC 7541 §5.2), which `jh2` does not."""

from collections.abc import Iterable, Sequence
from typing import Final
from zlib import adler32

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


def padded_with_ones(
    fields: Sequence[tuple[bytes, bytes] | tuple[bytes, bytes, bool]], coded: Iterable[tuple[int, int, int]]
) -> bool:
    """Whether the bits behind the last code of each string are ones, as they must be.

    Args:
        fields: The decoded header list.
        coded: Which of its strings were Huffman-coded, as `echo.wire.representations.survey` returns them.
    """
    for field, part, last in coded:
        bits = (fields[field][1] if part else fields[field][0]).translate(_BITS)
        # adler32 begins with 1, and takes half of the time of `sum`.
        total = sum(bits) if len(bits) > _LONG else adler32(bits) - 1
        if -total % 8 > _ONES_AT_END[last]:
            return False
    return True
