"""Lengths in a header block take as many octets as they need, and the limit holds for many tiny fields."""

import pytest

from echo.wire.errors import PeerConnectionError
from echo.wire.frames import ErrorCode
from echo.wire.header_lists import Field
from echo.wire.hpack import Decoder, PythonDecoder, PythonEncoder, RustDecoder

DECODERS = [PythonDecoder, RustDecoder]


def pairs(decoder: Decoder, block: bytes) -> list[Field]:
    return [(field[0], field[1]) for field in decoder.decode(block)]


@pytest.mark.parametrize("decoder_class", DECODERS)
@pytest.mark.parametrize("size", [126, 127, 128, 253, 254, 255, 256, 127 + 2**14 - 1, 127 + 2**14])
def test_a_string_s_length_may_take_any_number_of_octets(
    decoder_class: type[PythonDecoder] | type[RustDecoder], size: int
) -> None:
    fields = [(b"x-a", b"X" * size), (b"x-b", b"")]  # Each character's code is an octet long.
    assert pairs(decoder_class(10**6), PythonEncoder().encode(fields)) == fields


@pytest.mark.parametrize("decoder_class", DECODERS)
@pytest.mark.parametrize("size", [30, 31, 31 + 127, 31 + 128, 4_096])
def test_an_integer_may_take_any_number_of_octets(
    decoder_class: type[PythonDecoder] | type[RustDecoder], size: int
) -> None:
    encoder, fields = PythonEncoder(), [(b"x-a", b"1")]
    encoder.resize(size)
    encoder.resize(4_096)
    assert pairs(decoder_class(1_000), encoder.encode(fields)) == fields  # It begins with the size of the table.


def test_many_tiny_fields_behind_a_start_that_is_known_are_beyond_the_limit() -> None:
    decoder = RustDecoder(2_000)
    decoder.decode(b"\x82")
    with pytest.raises(PeerConnectionError) as refused:
        decoder.decode(b"\x82" + b"\x00\x01a\x00" * 100)
    assert refused.value.error_code == ErrorCode.ENHANCE_YOUR_CALM
