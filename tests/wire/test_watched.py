"""A watched decoder reports each message when its last byte arrives, and otherwise behaves like any other."""

from hypothesis import given
from hypothesis import strategies as st

from echo.wire import GRPCError, MessageDecoder, WatchedDecoder, encode_message


def fed(pieces: list[bytes], *, before: int = 0) -> tuple[list[tuple[int, bool]], list[bytes]]:
    plain = MessageDecoder(1_000)
    for piece in pieces[:before]:
        plain.feed(piece)
    arrivals: list[tuple[int, bool]] = []
    decoder = WatchedDecoder(plain, lambda size, compressed: arrivals.append((size, compressed)))
    for piece in pieces[before:]:
        decoder.feed(piece)
    messages = []
    while (message := decoder.next_message()) is not None:
        messages.append(message)
    return arrivals, messages


@given(
    messages=st.lists(st.binary(max_size=40), max_size=8),
    cuts=st.lists(st.integers(1, 20), max_size=30),
    before=st.integers(0, 5),
)
def test_every_message_is_reported_once_however_the_bytes_are_cut(
    messages: list[bytes], cuts: list[int], before: int
) -> None:
    data = b"".join(map(encode_message, messages))
    pieces = []
    for cut in cuts:
        pieces.append(data[:cut])
        data = data[cut:]
    pieces = [*filter(None, pieces), data]
    arrivals, taken = fed(pieces, before=before)
    assert taken == messages
    assert arrivals == [(len(message), False) for message in messages]


def test_a_message_is_reported_with_its_last_byte_before_it_is_asked_for() -> None:
    arrivals: list[tuple[int, bool]] = []
    decoder = WatchedDecoder(MessageDecoder(100, "gzip"), lambda *arrived: arrivals.append(arrived))
    decoder.feed(b"\1\0\0\0\3ab")
    assert arrivals == []
    decoder.feed(b"c")
    assert arrivals == [(3, True)]


def test_no_message_follows_an_error() -> None:
    arrivals: list[tuple[int, bool]] = []
    decoder = WatchedDecoder(MessageDecoder(100), lambda *arrived: arrivals.append(arrived))
    decoder.feed(b"\2\0\0\0\1a")
    try:
        decoder.next_message()
    except GRPCError:
        decoder.feed(encode_message(b"b"))
    assert len(arrivals) == 1
    assert decoder.consumed == 12
