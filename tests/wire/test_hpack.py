"""The two HPACK libraries agree: each decodes what the other encodes, and arbitrary blocks give the same results."""

from collections.abc import Sequence
from types import ModuleType

import hpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jh2 import _hazmat

from echo.wire.errors import PeerConnectionError
from echo.wire.frames import ErrorCode
from echo.wire.header_lists import Field
from echo.wire.hpack import LIBRARY, Decoder, Encoder
from tests.support.hpack_blocks import LIBRARIES, LIMIT, PIECES, pairs

names = st.sampled_from([b":path", b"te", b"content-type", b"grpc-timeout", b"authorization", b"x-a", b"x-long-name"])
values = st.one_of(st.sampled_from([b"", b"trailers", b"application/grpc", b"1S"]), st.binary(max_size=40))
lists = st.lists(st.tuples(names, values), max_size=8)
steps = st.lists(st.one_of(lists, st.sampled_from([0, 100, 4_096, 2**31])), max_size=12)


def test_the_faster_library_is_the_one_in_use() -> None:
    assert LIBRARY is _hazmat


@pytest.mark.parametrize("library", LIBRARIES)
@given(steps=steps)
def test_each_library_decodes_what_the_other_encodes(library: ModuleType, steps: Sequence[list[Field] | int]) -> None:
    encoder = Encoder(library)
    decoders = [Decoder(10**6, hpack), Decoder(10**6)]
    for step in steps:
        if isinstance(step, int):
            encoder.resize(step)
        else:
            block = encoder.encode(step)
            for decoder in decoders:
                assert pairs(decoder, block) == step


@pytest.mark.parametrize("library", LIBRARIES)
def test_fields_that_are_secret_or_new_in_each_call_are_never_indexed(
    library: ModuleType,
) -> None:
    encoder = Encoder(library)
    stable = [(b"x-stable", b"the same each time")]
    first = encoder.encode(stable)
    for number in range(1_000):
        encoder.encode([(b"grpc-timeout", b"%dn" % number), (b"authorization", b"%d" % number)])
    assert len(encoder.encode(stable)) == 1 < len(first)  # It still stands where it was.
    (timeout,) = {encoder.encode([(b"grpc-timeout", b"5S")])[0] & 0xF0}
    assert timeout == 0x10  # RFC 7541 §6.2.3: never indexed.


coded = st.binary(max_size=4).map(lambda code: bytes([0x80 | len(code)]) + code)
"""Strings in Huffman code, most of them wrong."""


@given(
    st.lists(
        st.lists(
            st.sampled_from(PIECES) | st.binary(max_size=6) | st.builds(b"\x00%b%b".__mod__, st.tuples(coded, coded)),
            max_size=4,
        ).map(b"".join),
        max_size=3,
    )
)
def test_both_libraries_make_the_same_of_arbitrary_blocks(blocks: list[bytes]) -> None:
    def outcome(decoder: Decoder, block: bytes) -> list[Field] | ErrorCode | int:
        try:
            return pairs(decoder, block)
        except PeerConnectionError as error:
            return error.error_code

    rust, python = Decoder(LIMIT), Decoder(LIMIT, hpack)
    for block in blocks:
        expected = outcome(python, block)
        assert outcome(rust, block) == expected
        if not isinstance(expected, list):
            assert expected in (ErrorCode.COMPRESSION_ERROR, ErrorCode.ENHANCE_YOUR_CALM)
            break  # The connection is over.


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(
    "block",
    [
        b"\x40\x01a\x7f\xd1\x0f" + b"x" * 2_128,  # One long value;
        b"\x40\x01a\x64" + b"x" * 100 + b"\xbe" * 30,  # a field again and again, a byte each (RFC 7541 §7.3);
        b"\x40\x00\x00" + b"\xbe" * 100,  # and an empty one, which counts as 32.
    ],
)
def test_a_list_beyond_the_limit_ends_the_connection(block: bytes, library: ModuleType) -> None:
    with pytest.raises(PeerConnectionError) as raised:
        Decoder(LIMIT, library).decode(block)
    assert raised.value.error_code == ErrorCode.ENHANCE_YOUR_CALM


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(
    ("sizes", "told"),
    [
        ([4_096], ""),  # As it is.
        ([60], "3f1d"),
        ([60, 4_096, 0], "20"),  # Between them 60 and 4096 were taken back, and are more than the peer allows now.
        ([0, 4_096], "203fe11f"),  # This empties the table, so the peer must empty its own.
        ([0, 60, 4_096, 60], "203f1d"),
    ],
)
def test_a_block_announces_the_smallest_table_size_and_then_the_last(
    library: ModuleType, sizes: list[int], told: str
) -> None:
    encoder = Encoder(library)
    for size in sizes:
        encoder.resize(size)
    assert encoder.encode([(b":method", b"GET")]).hex() == told + "82"  # RFC 7541 §4.2
    assert encoder.encode([(b":method", b"GET")]).hex() == "82"
