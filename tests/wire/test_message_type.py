"""Messages are bytes, however they arrived."""

import pytest

from echo.wire.message import MessageDecoder, encode_message


@pytest.mark.parametrize("size", [1, 7, 1_000])
def test_a_message_is_bytes_and_nothing_that_changes(size: int) -> None:
    data, decoder, messages = encode_message(b"hello") * 3, MessageDecoder(100), list[bytes]()
    for start in range(0, len(data), size):
        decoder.feed(data[start : start + size])
        if size < 1_000 and start < 6:
            continue  # Several pieces come before the first look.
        messages += iter(decoder.next_message, None)
    assert messages == [b"hello"] * 3
    assert {type(message) for message in messages} == {bytes}
