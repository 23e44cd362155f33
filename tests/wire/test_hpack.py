"""HPACK that remembers blocks says what HPACK without a memory says, whatever was said before."""

from collections.abc import Iterable, Sequence

import pytest
from hpack import Decoder, Encoder, HeaderTuple, NeverIndexedHeaderTuple
from hypothesis import example, given
from hypothesis import strategies as st

from echo.wire.hpack import MAX_BLOCK_SIZE, MAX_BLOCKS, RememberingDecoder, RememberingEncoder

NAMES = st.sampled_from(["a", "b", ":status", "content-type", "grpc-timeout", "x-long"])
VALUES = st.one_of(st.sampled_from(["", "1", "200", "application/grpc"]), st.text("xyz", max_size=40))
LISTS = st.lists(st.tuples(NAMES, VALUES), max_size=6)
TABLE_SIZES = st.sampled_from([0, 40, 100, 4096])
STEPS = st.lists(st.one_of(LISTS, TABLE_SIZES, st.integers(-5, -1)), max_size=30)


def plain(fields: Iterable[Sequence[object]]) -> list[tuple[object, ...]]:
    return [tuple(field) for field in fields]


@given(STEPS)
def test_decodes_as_a_decoder_without_memory(steps: list[list[tuple[str, str]] | int]) -> None:
    encoder, plain, ours = Encoder(), Decoder(), RememberingDecoder()
    said: list[list[tuple[str, str]]] = []
    for step in steps:
        if isinstance(step, int):
            if step >= 0:
                if step != encoder.header_table_size:  # hpack's encoder does not bear being told twice.
                    encoder.header_table_size = step
                continue
            fields = said[step] if len(said) >= -step else []  # Said again, as clients do.
        else:
            fields = step
        said.append(fields)
        block = encoder.encode(
            NeverIndexedHeaderTuple(name, value) if name == "b" else HeaderTuple(name, value) for name, value in fields
        )
        assert ours.decode(block, raw=True) == plain.decode(block, raw=True)
        assert ours.header_table.dynamic_entries == plain.header_table.dynamic_entries


@given(STEPS)
@example([[("a", "")], 0, [], 40, 40, [("a", "")], [("a", "")]])  # A size told twice.
def test_what_is_encoded_is_what_a_decoder_reads(steps: list[list[tuple[str, str]] | int]) -> None:
    ours, decoder = RememberingEncoder(), Decoder()
    said: list[list[tuple[str, str]]] = []
    for step in steps:
        if isinstance(step, int):
            if step >= 0:
                ours.header_table_size = step
                continue
            fields = said[step] if len(said) >= -step else []
        else:
            fields = step
        said.append(fields)
        assert plain(decoder.decode(ours.encode_fields(fields))) == fields


def test_a_repeated_block_is_the_same_object_until_the_table_changes() -> None:
    encoder, decoder = Encoder(), RememberingDecoder()
    fields = [(":status", "200"), ("x", "y")]
    first = encoder.encode(fields)  # Enters the table.
    decoder.decode(first, raw=True)
    again = encoder.encode(fields)
    known = decoder.decode(again, raw=True)
    assert decoder.decode(again, raw=True) is known
    decoder.decode(encoder.encode([("z", "z")]), raw=True)  # Every index of the table is another one now.
    assert decoder.decode(again, raw=True) != known


def test_a_timeout_stays_out_of_the_table_and_in_its_place() -> None:
    encoder, decoder = RememberingEncoder(), Decoder()
    for seconds in range(5):
        fields = [(":method", "POST"), ("grpc-timeout", f"{seconds}S"), ("te", "trailers")]
        assert plain(decoder.decode(encoder.encode_fields(fields))) == fields
    assert list(encoder.header_table.dynamic_entries) == [(b"te", b"trailers")]


@pytest.mark.parametrize("size", [1, MAX_BLOCK_SIZE])
def test_what_is_remembered_is_bounded(size: int) -> None:
    decoder, encoder = RememberingDecoder(), RememberingEncoder()
    for number in range(3 * MAX_BLOCKS):
        value = f"{number}".ljust(size)
        block = Encoder().encode([("x", value, True)], huffman=False)
        decoder.decode(block, raw=True)
        assert len(decoder._blocks) <= MAX_BLOCKS
        encoder.encode_fields([(":status", "200")] * (number + 1))
        assert len(encoder._blocks) <= MAX_BLOCKS
    assert all(len(block) <= MAX_BLOCK_SIZE for block in [*decoder._blocks, *encoder._blocks.values()])
    assert not decoder._blocks or size < MAX_BLOCK_SIZE
