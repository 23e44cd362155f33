"""The two HPACK libraries agree: each decodes what the other encodes, and both refuse damaged blocks."""

import tracemalloc
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echo.wire import hpack
from echo.wire.errors import PeerConnectionError
from echo.wire.fields import MalformedError, check_response, check_trailers
from echo.wire.frames import ErrorCode
from echo.wire.header_lists import Started
from echo.wire.hpack import (
    MAX_KNOWN,
    MAX_KNOWN_SIZE,
    MAX_LAYOUTS,
    MAX_LITERALS,
    Decoder,
    Encoder,
    Field,
    PythonDecoder,
    PythonEncoder,
    ReceivedField,
    RustDecoder,
    RustEncoder,
)

LIMIT = 2_000

names = st.sampled_from([b":path", b"te", b"content-type", b"grpc-timeout", b"authorization", b"x-a", b"x-long-name"])
values = st.one_of(st.sampled_from([b"", b"trailers", b"application/grpc", b"1S"]), st.binary(max_size=40))
lists = st.lists(st.tuples(names, values), max_size=8)
steps = st.lists(st.one_of(lists, st.sampled_from([0, 100, 4_096, 2**31])), max_size=12)

MANY: list[list[Field]] = [
    [(b"x-a", b"1")],
    [(b"x-a", b"2" * 900)],
    [(b"x-b", b"3" * 1_500)],
    [(b"x-a", b"1"), (b"te", b"")],
]

ENCODERS = [PythonEncoder, RustEncoder]
DECODERS = [PythonDecoder, RustDecoder]


def pairs(decoder: Decoder, block: bytes) -> list[Field]:
    return [(field[0], field[1]) for field in decoder.decode(block)]


def test_the_faster_library_is_the_one_in_use() -> None:
    assert isinstance(hpack.encoder(), RustEncoder)
    assert isinstance(hpack.decoder(LIMIT), RustDecoder)


@pytest.mark.parametrize("encoder_class", ENCODERS)
@given(steps=steps)
def test_each_library_decodes_what_the_other_encodes(
    encoder_class: type[Encoder], steps: Sequence[list[Field] | int]
) -> None:
    encoder = encoder_class()
    decoders: list[Decoder] = [PythonDecoder(10**6), RustDecoder(10**6)]
    for step in steps:
        if isinstance(step, int):
            encoder.resize(step)
        else:
            block = encoder.encode(step)
            for decoder in decoders:
                assert pairs(decoder, block) == step


@pytest.mark.parametrize("encoder_class", ENCODERS)
def test_fields_that_are_secret_or_new_in_each_call_are_never_indexed(encoder_class: type[Encoder]) -> None:
    encoder = encoder_class()
    stable = [(b"x-stable", b"the same each time")]
    first = encoder.encode(stable)
    for number in range(1_000):
        encoder.encode([(b"grpc-timeout", b"%dn" % number), (b"authorization", b"%d" % number)])
    assert len(encoder.encode(stable)) == 1 < len(first)  # It still stands where it was.
    (timeout,) = {encoder.encode([(b"grpc-timeout", b"5S")])[0] & 0xF0}
    assert timeout == 0x10  # RFC 7541 §6.2.3: never indexed.


@given(st.lists(st.one_of(st.sampled_from(MANY), st.sampled_from([0, 100, 4_096])), max_size=25))
def test_a_block_that_comes_again_is_decoded_by_the_table_as_it_is_then(steps: list[list[Field] | int]) -> None:
    encoder, decoder = RustEncoder(), RustDecoder(LIMIT)
    for step in steps:
        if isinstance(step, int):
            encoder.resize(step)
        else:
            assert pairs(decoder, encoder.encode(step)) == step


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


@given(
    st.lists(st.lists(st.sampled_from(PIECES) | st.binary(max_size=3), max_size=5).map(b"".join), max_size=6),
    st.integers(100, 600) | st.just(10_000),
)
def test_a_start_that_is_known_changes_nothing(blocks: list[bytes], limit: int) -> None:
    def outcome(decoder: RustDecoder, block: bytes) -> list[ReceivedField] | ErrorCode | int:
        try:
            return list(decoder.decode(block))
        except PeerConnectionError as error:
            return error.error_code

    knowing, unknowing = RustDecoder(limit), RustDecoder(limit)
    for block in [b"\x40\x01x\x01y", b"\x82", b"\x82\x86\x84", b"\x82\xbe", *blocks, *blocks, *blocks]:
        unknowing._known.clear()
        expected = outcome(unknowing, block)
        assert outcome(knowing, block) == expected
        if not isinstance(expected, list):
            break  # The connection is over.


def test_the_start_of_a_list_is_the_same_object_in_each_block() -> None:
    encoder, decoder = RustEncoder(), RustDecoder(LIMIT)
    head = [(b":status", b"200"), (b"content-type", b"application/grpc")]
    encoder_only = decoder.decode(encoder.encode(head))
    assert type(encoder_only) is list
    first, second = (decoder.decode(encoder.encode([*head, (b"grpc-timeout", b"%dS" % n)])) for n in range(2))
    assert isinstance(first, Started)
    assert isinstance(second, Started)
    assert second.start is first.start is decoder.decode(encoder.encode(head))
    assert list(second) == [*first.start, (b"grpc-timeout", b"1S", True)]


def literals(*fields: tuple[bytes, bytes]) -> bytes:
    return b"\x82" + b"".join(b"\0%c%b%c%b" % (len(name), name, len(value), value) for name, value in fields)


def test_literals_of_the_same_layout_are_read_at_once_and_others_are_not_mistaken_for_them() -> None:
    decoder = RustDecoder(10_000)
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
    secret = literals(*usual).replace(b"\0\4", b"\x10\4")
    assert [*decoder.decode(secret)][1:] == [(b"grpc-timeout", b"1S", False), (b"x-id", b"1", True)]
    assert decoder.decode(secret)[2] == (b"x-id", b"1", True)
    assert len(decoder.decode(secret)) == 3


def test_layouts_that_are_remembered_are_few_and_small() -> None:
    decoder = RustDecoder(65_536)
    decoder.decode(b"\x82")
    for number in range(3 * MAX_LAYOUTS):
        for _ in range(2):
            decoder.decode(literals((b"x", b"1" * number)))
    assert 0 < len(decoder._layouts) <= MAX_LAYOUTS
    before = dict(decoder._layouts)
    for _ in range(2):
        decoder.decode(literals(*[(b"x", b"1")] * (MAX_LITERALS + 1)))
    assert decoder._layouts == before


def test_a_list_that_comes_again_is_the_same_object_and_keeps_what_each_use_of_it_allows() -> None:
    encoder, decoder = RustEncoder(), RustDecoder(LIMIT)
    head = [(b":status", b"200"), (b"content-type", b"application/grpc")]
    _, second, third = (decoder.decode(encoder.encode(head)) for _ in range(3))
    assert second is third
    assert check_response(second) is check_response(third)
    with pytest.raises(MalformedError):
        check_trailers(second)
    assert check_response(third).pseudo == {b":status": b"200"}


def test_lists_that_are_remembered_are_few_and_small() -> None:
    encoder, decoder = RustEncoder(), RustDecoder(2 * LIMIT)
    large = [(b"x-large", b"x" * (MAX_KNOWN_SIZE - 38))]  # One byte too much, with 32 for the field.
    small = [[(b"x", b"%d" % number)] for number in range(2 * MAX_KNOWN)]
    for fields in [large, *small] * 2:
        assert pairs(decoder, encoder.encode(fields)) == fields
    assert len(decoder._known) == MAX_KNOWN
    assert large not in decoder._known.values()


def test_lists_of_many_tiny_fields_are_not_remembered() -> None:
    """As objects they would take a megabyte for each connection of a hostile client."""
    encoder, decoder = RustEncoder(), RustDecoder(16_384)
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


# RFC 7541, Appendix C: header blocks, and the lists they mean one after the other.
EXAMPLES = {
    "C.2.1": [("400a637573746f6d2d6b65790d637573746f6d2d686561646572", [("custom-key", "custom-header")])],
    "C.2.2": [("040c2f73616d706c652f70617468", [(":path", "/sample/path")])],
    "C.2.3": [("100870617373776f726406736563726574", [("password", "secret")])],
    "C.2.4": [("82", [(":method", "GET")])],
    "C.3": [
        (
            "828684410f7777772e6578616d706c652e636f6d",
            [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "www.example.com")],
        ),
        (
            "828684be58086e6f2d6361636865",
            [
                (":method", "GET"),
                (":scheme", "http"),
                (":path", "/"),
                (":authority", "www.example.com"),
                ("cache-control", "no-cache"),
            ],
        ),
        (
            "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
            [
                (":method", "GET"),
                (":scheme", "https"),
                (":path", "/index.html"),
                (":authority", "www.example.com"),
                ("custom-key", "custom-value"),
            ],
        ),
    ],
    "C.4": [
        (
            "828684418cf1e3c2e5f23a6ba0ab90f4ff",
            [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "www.example.com")],
        ),
        (
            "828684be5886a8eb10649cbf",
            [
                (":method", "GET"),
                (":scheme", "http"),
                (":path", "/"),
                (":authority", "www.example.com"),
                ("cache-control", "no-cache"),
            ],
        ),
        (
            "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
            [
                (":method", "GET"),
                (":scheme", "https"),
                (":path", "/index.html"),
                (":authority", "www.example.com"),
                ("custom-key", "custom-value"),
            ],
        ),
    ],
}


@pytest.mark.parametrize("decoder_class", DECODERS)
@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_of_the_rfc(example: str, decoder_class: type[PythonDecoder] | type[RustDecoder]) -> None:
    decoder = decoder_class(LIMIT)
    for block, fields in EXAMPLES[example]:
        assert pairs(decoder, bytes.fromhex(block)) == [(name.encode(), value.encode()) for name, value in fields]


DAMAGED = {
    "the index 0": b"\x80",
    "an index beyond the table": b"\xfe",
    "a string that breaks off": b"\x40\x05ab",
    "a field that breaks off": b"\x40\x01a",
    "an integer that breaks off": b"\xff\x80",
    "an integer without end": b"\xff" + b"\x80" * 40,
    "a table that is too large": b"\x3f\xe2\x1f",
    "a size update after a field": b"\x82\x20",
    "EOS in Huffman code": b"\x00\x01a\x84\xff\xff\xff\xff",
    "a value in Huffman code that is filled up with zeros": b"\x00\x01a\x83\x49\x50\x90",
    "a name in Huffman code that is filled up with zeros": b"\x82\x00\x83\x49\x50\x90\x01a",
    "a long value in Huffman code that is filled up with zeros": b"\x40\x01a\xff\x00" + b"\x50" * 126 + b"\x90",
    "Huffman code that is filled up with a zero among ones": b"\x00\x01a\x83\x49\x50\x9b",
}


@pytest.mark.parametrize("decoder_class", DECODERS)
@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_block_ends_the_connection(
    damage: str, decoder_class: type[PythonDecoder] | type[RustDecoder]
) -> None:
    with pytest.raises(PeerConnectionError) as raised:
        decoder_class(LIMIT).decode(DAMAGED[damage])
    assert raised.value.error_code == ErrorCode.COMPRESSION_ERROR


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

    rust, python = RustDecoder(LIMIT), PythonDecoder(LIMIT)
    for block in blocks:
        expected = outcome(python, block)
        assert outcome(rust, block) == expected
        if not isinstance(expected, list):
            assert expected in (ErrorCode.COMPRESSION_ERROR, ErrorCode.ENHANCE_YOUR_CALM)
            break  # The connection is over.


@pytest.mark.parametrize("decoder_class", DECODERS)
@pytest.mark.parametrize(
    "block",
    [
        b"\x40\x01a\x7f\xd1\x0f" + b"x" * 2_128,  # One long value;
        b"\x40\x01a\x64" + b"x" * 100 + b"\xbe" * 30,  # a field again and again, a byte each (RFC 7541 §7.3);
        b"\x40\x00\x00" + b"\xbe" * 100,  # and an empty one, which counts as 32.
    ],
)
def test_a_list_beyond_the_limit_ends_the_connection(
    block: bytes, decoder_class: type[PythonDecoder] | type[RustDecoder]
) -> None:
    with pytest.raises(PeerConnectionError) as raised:
        decoder_class(LIMIT).decode(block)
    assert raised.value.error_code == ErrorCode.ENHANCE_YOUR_CALM


@pytest.mark.parametrize("encoder_class", ENCODERS)
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
    encoder_class: type[Encoder], sizes: list[int], told: str
) -> None:
    encoder = encoder_class()
    for size in sizes:
        encoder.resize(size)
    assert encoder.encode([(b":method", b"GET")]).hex() == told + "82"  # RFC 7541 §4.2
    assert encoder.encode([(b":method", b"GET")]).hex() == "82"
