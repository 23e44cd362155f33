"""The buffer of bytes that wait to be sent: they leave in order, in any pieces."""

from hypothesis import given
from hypothesis import strategies as st

from echo.wire.outbound import OutboundBuffer


@given(st.lists(st.binary(min_size=1, max_size=40), min_size=1), st.data())
def test_pushed_bytes_are_taken_in_order_in_any_pieces(messages: list[bytes], data: st.DataObject) -> None:
    buffer = OutboundBuffer()
    for message in messages:
        buffer.push(message)
    taken = b""
    while buffer.size:
        size = data.draw(st.integers(1, buffer.size))
        piece = buffer.take(size)
        assert len(piece) == size
        taken += piece
    assert taken == b"".join(messages)


@given(st.lists(st.binary(min_size=1, max_size=40), min_size=1), st.integers(1, 2000))
def test_take_returns_no_more_than_is_buffered(messages: list[bytes], size: int) -> None:
    buffer = OutboundBuffer()
    for message in messages:
        buffer.push(message)
    total = buffer.size
    assert len(buffer.take(size)) == min(size, total)
    assert buffer.size == max(0, total - size)


def test_the_rest_of_a_message_may_be_less_than_what_is_asked_for() -> None:
    buffer = OutboundBuffer()
    buffer.push(b"abc")
    buffer.push(b"def")
    assert buffer.take(1) == b"a"
    assert buffer.take(100) == b"bcdef"
    assert (buffer.size, buffer.taken) == (0, 6)


def test_clear_drops_the_rest() -> None:
    buffer = OutboundBuffer()
    buffer.push(b"abc")
    buffer.take(1)
    buffer.clear()
    assert buffer.size == 0
    buffer.push(b"def")
    assert buffer.take(10) == b"def"


def test_a_lone_small_message_is_not_copied() -> None:
    buffer = OutboundBuffer()
    message = b"x" * 100
    buffer.push(message)
    assert buffer.take(16_384) is message
