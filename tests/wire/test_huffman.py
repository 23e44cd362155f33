"""How Huffman-coded strings end."""

import pytest
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH

from echo.wire.representations import CODE_LENGTHS, padded_with_ones


def test_the_codes_are_as_long_as_the_rfc_says() -> None:
    assert list(CODE_LENGTHS) == REQUEST_CODES_LENGTH[:256]  # The last one is EOS.


@pytest.mark.parametrize("size", [*range(1, 20), 8_999, 9_000, 9_001, 20_000])
def test_padding_is_told_from_the_codes_for_strings_of_any_length(size: int) -> None:
    string = b"|" * size  # A code of 11 bits for each.
    code = HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH).encode(string)
    assert padded_with_ones([(b"x", string)], [(0, 1, code[-1])])
    for bit in range(-11 * size % 8):
        assert not padded_with_ones([(string, b"x")], [(0, 0, code[-1] & ~(1 << bit))])
