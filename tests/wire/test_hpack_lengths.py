"""Lengths in a header block take as many octets as they need, and the limit holds for many tiny fields."""

from types import ModuleType

import hpack
import pytest

from echo.wire.errors import PeerConnectionError
from echo.wire.frames import ErrorCode
from echo.wire.hpack import Decoder, Encoder
from tests.support.hpack_blocks import LIBRARIES, pairs


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("size", [126, 127, 128, 253, 254, 255, 256, 127 + 2**14 - 1, 127 + 2**14])
def test_a_string_s_length_may_take_any_number_of_octets(library: ModuleType, size: int) -> None:
    fields = [(b"x-a", b"X" * size), (b"x-b", b"")]  # Each character's code is an octet long.
    assert pairs(Decoder(10**6, library), Encoder(hpack).encode(fields)) == fields


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("size", [30, 31, 31 + 127, 31 + 128, 4_096])
def test_an_integer_may_take_any_number_of_octets(library: ModuleType, size: int) -> None:
    encoder, fields = Encoder(hpack), [(b"x-a", b"1")]
    encoder.resize(size)
    encoder.resize(4_096)
    assert pairs(Decoder(1_000, library), encoder.encode(fields)) == fields  # It begins with the size of the table.


@pytest.mark.parametrize("library", LIBRARIES)
def test_every_index_is_read_whether_it_takes_one_octet_or_two(library: ModuleType) -> None:
    encoder, decoder = Encoder(hpack), Decoder(10**6, library)
    fields = [(b"x-%d" % number, b"1") for number in range(70)]
    assert pairs(decoder, encoder.encode(fields)) == fields
    blocks = [encoder.encode([field]) for field in fields]
    assert [pairs(decoder, block) for block in blocks] == [[field] for field in fields]
    assert {len(block) for block in blocks} == {1, 2}


def test_many_tiny_fields_behind_a_start_that_is_known_are_beyond_the_limit() -> None:
    decoder = Decoder(2_000)
    decoder.decode(b"\x82")
    with pytest.raises(PeerConnectionError) as refused:
        decoder.decode(b"\x82" + b"\x00\x01a\x00" * 100)
    assert refused.value.error_code == ErrorCode.ENHANCE_YOUR_CALM
