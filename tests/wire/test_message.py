"""Messages in their frames of gRPC, decoded from bytes however they are split."""

import math
import tracemalloc
from collections.abc import Iterator
from itertools import pairwise, repeat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echo.wire.compression import compress
from echo.wire.message import PREFIX_SIZE, MessageDecoder, encode_message
from echo.wire.status import GRPCError, Status
from tests.support.copies import large_allocations

KIB = 1024
MIB = 1024 * KIB
LIMIT = 4 * MIB


def messages_in(decoder: MessageDecoder) -> list[bytes]:
    """All messages that are ready."""
    return list(iter(decoder.next_message, None))


def pieces(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    """The data cut at these places."""
    bounds = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return (data[start:end] for start, end in pairwise(bounds))


def refusal(decoder: MessageDecoder) -> tuple[Status, str | None]:
    """How the decoder refuses to go on."""
    with pytest.raises(GRPCError) as caught:
        decoder.next_message()
    return caught.value.status, caught.value.message


def test_a_message_is_framed_by_flag_and_length() -> None:
    assert encode_message(b"hello") == b"\x00\x00\x00\x00\x05hello"
    assert encode_message(b"", compressed=True) == b"\x01\x00\x00\x00\x00"


@given(st.lists(st.tuples(st.binary(max_size=300), st.booleans())), st.lists(st.integers(min_value=0)))
def test_the_messages_do_not_depend_on_how_the_stream_is_split(
    messages: list[tuple[bytes, bool]], cuts: list[int]
) -> None:
    stream = b"".join(
        encode_message(compress("gzip", message), compressed=True) if compressed else encode_message(message)
        for message, compressed in messages
    )
    decoder = MessageDecoder(LIMIT, "gzip")
    received = []
    fed = 0
    for piece in pieces(stream, cuts):
        decoder.feed(piece)
        fed += len(piece)
        received += messages_in(decoder)
        assert decoder.consumed + decoder.buffered == fed
    decoder.close()
    assert decoder.next_message() is None
    assert received == [message for message, _ in messages]
    assert decoder.consumed == len(stream)
    assert decoder.buffered == 0


@given(st.lists(st.binary(max_size=50), min_size=1), st.data())
def test_a_stream_that_ends_inside_a_message_is_an_error_after_the_whole_ones(
    messages: list[bytes], data: st.DataObject
) -> None:
    last = encode_message(messages[-1])
    cut = data.draw(st.integers(1, len(last) - 1))
    decoder = MessageDecoder(LIMIT)
    decoder.feed(b"".join(map(encode_message, messages[:-1])) + last[:cut])
    decoder.close()
    assert [decoder.next_message() for _ in messages[:-1]] == messages[:-1]
    assert refusal(decoder) == (Status.INTERNAL, "the stream ended inside a message")


def test_the_end_of_the_stream_inside_a_message_is_an_error() -> None:
    decoder = MessageDecoder(LIMIT)
    decoder.feed(b"\x00\x00\x00\x00\x05he")
    assert decoder.next_message() is None
    decoder.close()
    assert refusal(decoder) == (Status.INTERNAL, "the stream ended inside a message")


def test_consumed_grows_by_each_message_as_it_travels() -> None:
    compressed = compress("gzip", b"a" * 1000)
    decoder = MessageDecoder(LIMIT, "gzip")
    decoder.feed(encode_message(b"12345678") + encode_message(compressed, compressed=True) + b"\x00")
    assert decoder.consumed == 0
    decoder.next_message()
    assert decoder.consumed == PREFIX_SIZE + 8
    assert decoder.next_message() == b"a" * 1000
    assert decoder.consumed == PREFIX_SIZE + 8 + PREFIX_SIZE + len(compressed)
    assert decoder.next_message() is None
    assert decoder.buffered == 1


def test_an_empty_message_is_a_message() -> None:
    decoder = MessageDecoder(0)
    decoder.feed(encode_message(b"") * 2)
    assert messages_in(decoder) == [b"", b""]


def test_messages_are_bytes_that_later_input_cannot_change() -> None:
    decoder = MessageDecoder(LIMIT)
    decoder.feed(encode_message(b"first"))
    first = decoder.next_message()
    decoder.feed(encode_message(b"other"))
    decoder.next_message()
    assert type(first) is bytes
    assert first == b"first"


@pytest.mark.parametrize("size", [LIMIT + 1, 5_000_000, 2**32 - 1])
def test_a_message_too_large_is_refused_from_its_prefix(size: int) -> None:
    decoder = MessageDecoder(LIMIT)
    decoder.feed(b"\x00" + size.to_bytes(4, "big"))
    assert refusal(decoder) == (
        Status.RESOURCE_EXHAUSTED,
        f"message of {size} bytes exceeds the limit of 4194304",
    )


def test_a_message_as_large_as_the_limit_passes() -> None:
    decoder = MessageDecoder(1000)
    decoder.feed(encode_message(b"x" * 1000))
    assert decoder.next_message() == b"x" * 1000


@pytest.mark.parametrize("flag", [2, 3, 0x80, 0xFF])
def test_an_unknown_flag_is_refused_from_the_prefix(flag: int) -> None:
    decoder = MessageDecoder(LIMIT, "gzip")
    decoder.feed(bytes([flag]) + b"\x00\x00\x00\x09")
    assert refusal(decoder) == (Status.INTERNAL, f"message with the unknown flag {flag}")


@pytest.mark.parametrize("encoding", [None, "identity"])
def test_an_unannounced_compressed_message_is_refused_from_the_prefix(encoding: str | None) -> None:
    decoder = MessageDecoder(LIMIT, encoding)
    decoder.feed(b"\x01\x00\x00\x00\x09")
    assert refusal(decoder) == (Status.INTERNAL, "compressed message without grpc-encoding")


def test_the_encoding_may_become_known_later() -> None:
    decoder = MessageDecoder(LIMIT)
    decoder.encoding = "gzip"
    decoder.feed(encode_message(compress("gzip", b"hello"), compressed=True))
    assert decoder.next_message() == b"hello"


def test_an_uncompressed_message_passes_although_an_encoding_was_announced() -> None:
    decoder = MessageDecoder(LIMIT, "gzip")
    decoder.feed(encode_message(b"hello"))
    assert decoder.next_message() == b"hello"


def test_a_compressed_message_that_is_garbage_is_internal() -> None:
    decoder = MessageDecoder(LIMIT, "gzip")
    decoder.feed(encode_message(b"garbage", compressed=True))
    assert refusal(decoder) == (Status.INTERNAL, "compressed message is damaged")


def test_a_message_that_inflates_beyond_the_limit_is_refused_in_bounded_memory() -> None:
    bomb = encode_message(compress("gzip", bytes(64 * MIB)), compressed=True)
    tracemalloc.start()
    decoder = MessageDecoder(MIB, "gzip")
    decoder.feed(bomb)
    answer = refusal(decoder)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert answer == (Status.RESOURCE_EXHAUSTED, "decompressed message exceeds the limit of 1048576")
    assert peak < 4 * MIB


def test_an_error_is_final_and_later_bytes_are_dropped_but_counted() -> None:
    decoder = MessageDecoder(LIMIT)
    sound = encode_message(b"sound")
    decoder.feed(sound + b"\x07\x00\x00\x00\x00" + sound)
    assert decoder.next_message() == b"sound"
    errors = []
    for _ in range(3):
        with pytest.raises(GRPCError) as caught:
            decoder.next_message()
        errors.append(caught.value)
        decoder.feed(sound)
    decoder.close()
    assert {(error.status, error.message) for error in errors} == {(Status.INTERNAL, "message with the unknown flag 7")}
    assert decoder.buffered == 0
    assert decoder.consumed == 5 * len(sound) + PREFIX_SIZE


def test_asking_a_failed_decoder_again_and_again_holds_no_more_memory() -> None:
    decoder = MessageDecoder(LIMIT)
    decoder.feed(b"\x07\x00\x00\x00\x00")
    depths = []
    for _ in range(5):
        try:
            decoder.next_message()
        except GRPCError as error:
            trace, depth = error.__traceback__, 0
            while trace is not None:
                trace, depth = trace.tb_next, depth + 1
            depths.append(depth)
    assert depths[1] == depths[-1]


def test_bytes_after_the_end_are_dropped_but_counted() -> None:
    decoder = MessageDecoder(LIMIT)
    decoder.feed(encode_message(b"last"))
    decoder.close()
    decoder.feed(encode_message(b"too late"))
    assert messages_in(decoder) == [b"last"]
    assert decoder.consumed == PREFIX_SIZE + 4 + PREFIX_SIZE + 8


@given(st.binary(), st.sampled_from([None, "identity", "gzip"]), st.integers(0, 100))
def test_any_bytes_give_messages_or_a_status(data: bytes, encoding: str | None, limit: int) -> None:
    decoder = MessageDecoder(limit, encoding)
    decoder.feed(data)
    decoder.close()
    status = Status.OK
    try:
        messages = messages_in(decoder)
    except GRPCError as error:
        status, messages = error.status, []
    assert status in (Status.OK, Status.INTERNAL, Status.RESOURCE_EXHAUSTED)
    assert all(len(message) <= limit for message in messages)
    assert decoder.consumed == len(data)


def test_a_large_message_is_freed_once_taken() -> None:
    tracemalloc.start()
    decoder = MessageDecoder(LIMIT)
    decoder.feed(encode_message(bytes(LIMIT)) + b"\x00\x00")
    assert decoder.next_message() is not None
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 64 * KIB


def test_a_message_in_tiny_pieces_occupies_little_more_than_its_size() -> None:
    message = encode_message(bytes(256 * KIB))
    tracemalloc.start()
    decoder = MessageDecoder(LIMIT)
    for start in range(0, len(message), 3):
        decoder.feed(message[start : start + 3])
    assert decoder.next_message() == bytes(256 * KIB)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 * MIB


def test_a_message_too_large_is_refused_even_when_complete() -> None:
    decoder = MessageDecoder(10)
    decoder.feed(encode_message(bytes(10)) + encode_message(bytes(11)))
    assert decoder.next_message() == bytes(10)
    assert refusal(decoder) == (Status.RESOURCE_EXHAUSTED, "message of 11 bytes exceeds the limit of 10")


def test_taking_a_small_message_does_not_copy_the_rest_of_the_buffer() -> None:
    count = 20_000
    decoder = MessageDecoder(LIMIT)
    decoder.feed(encode_message(b"x" * 20) * count)
    held = decoder.buffered
    # Each time half of the buffer is empty it may shrink.
    assert large_allocations(repeat(decoder.next_message, count), 16 * KIB) <= math.log2(held)
    assert decoder.buffered == 0


def test_a_large_message_byte_by_byte_is_not_copied_for_each_of_them() -> None:
    size = 256 * KIB
    decoder = MessageDecoder(LIMIT)
    decoder.feed(encode_message(bytes(size))[:PREFIX_SIZE])
    received = None

    def feed() -> None:
        nonlocal received
        assert received is None
        decoder.feed(b"\x00")
        received = decoder.next_message()

    # A buffer that grows by an eighth at a time grows 12 times from 64 KiB to 256 KiB; the message itself is a copy.
    assert large_allocations(repeat(feed, size), 8 * KIB) <= 20
    assert received == bytes(size)
