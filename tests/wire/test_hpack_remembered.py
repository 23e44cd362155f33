"""What a decoder remembers of earlier blocks changes none of its results, and is bounded."""

import tracemalloc
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echo.wire.errors import PeerConnectionError
from echo.wire.frames import ErrorCode
from echo.wire.header_lists import Field, Started
from echo.wire.hpack import MAX_KNOWN, MAX_KNOWN_SIZE, MAX_LAYOUTS, MAX_LITERALS, Decoder, Encoder
from tests.support.hpack_blocks import LIBRARIES, LIMIT, PIECES, pairs

MANY: list[list[Field]] = [
    [(b"x-a", b"1")],
    [(b"x-a", b"2" * 900)],
    [(b"x-b", b"3" * 1_500)],
    [(b"x-a", b"1"), (b"te", b"")],
]


@pytest.mark.parametrize("library", LIBRARIES)
@given(steps=st.lists(st.one_of(st.sampled_from(MANY), st.sampled_from([0, 100, 4_096])), max_size=25))
def test_a_block_that_comes_again_is_decoded_by_the_table_as_it_is_then(
    library: ModuleType, steps: list[list[Field] | int]
) -> None:
    encoder, decoder = Encoder(), Decoder(LIMIT, library)
    for step in steps:
        if isinstance(step, int):
            encoder.resize(step)
        else:
            assert pairs(decoder, encoder.encode(step)) == step


@pytest.mark.parametrize("library", LIBRARIES)
@given(
    blocks=st.lists(st.lists(st.sampled_from(PIECES) | st.binary(max_size=3), max_size=5).map(b"".join), max_size=6),
    limit=st.integers(100, 600) | st.just(10_000),
)
def test_a_start_that_is_known_changes_nothing(library: ModuleType, blocks: list[bytes], limit: int) -> None:
    def outcome(decoder: Decoder, block: bytes) -> list[Field] | ErrorCode | int:
        try:
            return list(decoder.decode(block))
        except PeerConnectionError as error:
            return error.error_code

    knowing, unknowing = Decoder(limit, library), Decoder(limit, library)
    for block in [b"\x40\x01x\x01y", b"\x82", b"\x82\x86\x84", b"\x82\xbe", *blocks, *blocks, *blocks]:
        unknowing._known.clear()
        expected = outcome(unknowing, block)
        assert outcome(knowing, block) == expected
        if not isinstance(expected, list):
            break  # The connection is over.


def test_the_start_of_a_list_is_the_same_object_in_each_block() -> None:
    encoder, decoder = Encoder(), Decoder(LIMIT)
    head = [(b":status", b"200"), (b"content-type", b"application/grpc")]
    encoder_only = decoder.decode(encoder.encode(head))
    assert type(encoder_only) is list
    first, second = (decoder.decode(encoder.encode([*head, (b"grpc-timeout", b"%dS" % n)])) for n in range(2))
    assert isinstance(first, Started)
    assert isinstance(second, Started)
    assert second.start is first.start is decoder.decode(encoder.encode(head))
    assert list(second) == [*first.start, (b"grpc-timeout", b"1S")]


def literals(*fields: tuple[bytes, bytes]) -> bytes:
    return b"\x82" + b"".join(b"\0%c%b%c%b" % (len(name), name, len(value), value) for name, value in fields)


def test_literals_of_the_same_layout_are_read_at_once_and_others_are_not_mistaken_for_them() -> None:
    decoder = Decoder(10_000)
    decoder.decode(b"\x82")
    usual: list[tuple[bytes, bytes]] = [(b"grpc-timeout", b"1S"), (b"x-id", b"1")]
    for _ in range(2):
        assert pairs(decoder, literals(*usual))[1:] == usual
    assert len(decoder._layouts) == 1
    for fields in (
        [(b"grpc-timeout", b"22"), (b"x-id", b"2")],
        [(b"grpc-timeout", b"1"), (b"x-id", b"2\0")],  # All of the same length.
        [(b"grpc-timeouT", b"1S"), (b"x-id", b"2")],
        [(b"x-id", b"2"), (b"grpc-timeout", b"1S")],
        [(b"grpc-timeout", b"1S\0\4x-id\0012")],
    ):
        assert pairs(decoder, literals(*fields))[1:] == fields
    never_indexed, entering = (literals(*usual).replace(b"\0\4", kind + b"\4") for kind in (b"\x10", b"\x40"))
    for _ in range(3):
        assert pairs(decoder, never_indexed)[1:] == usual
    assert decoder.decode(never_indexed)[2] == (b"x-id", b"1")
    assert len(decoder.decode(never_indexed)) == 3
    for _ in range(3):
        decoder.decode(b"\x82")
        assert pairs(decoder, entering)[1:] == usual
    assert pairs(decoder, b"\x82\xbe\xbf\xc0")[1:] == [(b"x-id", b"1")] * 3  # Each has entered the table.


def test_layouts_that_are_remembered_are_few_and_small() -> None:
    decoder = Decoder(65_536)
    decoder.decode(b"\x82")
    for number in range(3 * MAX_LAYOUTS):
        for _ in range(2):
            decoder.decode(literals((b"x", b"1" * number)))
    assert 0 < len(decoder._layouts) <= MAX_LAYOUTS
    before = dict(decoder._layouts)
    for _ in range(2):
        decoder.decode(literals(*[(b"x", b"1")] * (MAX_LITERALS + 1)))
    assert decoder._layouts == before


def test_a_list_that_comes_again_is_the_same_object() -> None:
    encoder, decoder = Encoder(), Decoder(LIMIT)
    head = [(b":status", b"200"), (b"content-type", b"application/grpc")]
    _, second, third = (decoder.decode(encoder.encode(head)) for _ in range(3))
    assert second is third


def test_lists_that_are_remembered_are_few_and_small() -> None:
    encoder, decoder = Encoder(), Decoder(2 * LIMIT)
    large = [(b"x-large", b"x" * (MAX_KNOWN_SIZE - 38))]  # One byte too much, with 32 for the field.
    small = [[(b"x", b"%d" % number)] for number in range(2 * MAX_KNOWN)]
    for fields in [large, *small] * 2:
        assert pairs(decoder, encoder.encode(fields)) == fields
    assert len(decoder._known) == MAX_KNOWN
    assert large not in decoder._known.values()


def test_lists_of_many_tiny_fields_are_not_remembered() -> None:
    """As objects they would take a megabyte for each connection of a hostile client."""
    encoder, decoder = Encoder(), Decoder(16_384)
    decoder.decode(encoder.encode([(b"a", b"")]))
    index = encoder.encode([(b"a", b"")])
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(MAX_KNOWN):
            assert len(decoder.decode(index * (400 + number))) == 400 + number
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 200_000
