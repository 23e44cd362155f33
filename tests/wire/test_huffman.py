"""How Huffman-coded strings end."""

from hpack.huffman_constants import REQUEST_CODES_LENGTH

from echo.wire.huffman import CODE_LENGTHS


def test_the_codes_are_as_long_as_the_rfc_says() -> None:
    assert list(CODE_LENGTHS) == REQUEST_CODES_LENGTH[:256]  # The last one is EOS.
