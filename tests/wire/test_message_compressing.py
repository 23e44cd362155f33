"""Which messages are sent compressed, and how they come back."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echo.wire.message import MIN_COMPRESSED, PREFIX_SIZE, MessageDecoder, encode_compressed, encode_message

LIMIT = 4 * 2**20


def test_a_message_that_does_not_shrink_is_sent_uncompressed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("echo.wire.message.compress", lambda _encoding, payload: payload[::-1])
    payload = b"a" * MIN_COMPRESSED + b"b"
    assert encode_compressed("gzip", payload) == encode_message(payload)


@given(st.binary(max_size=2_000) | st.builds(bytes.__mul__, st.binary(max_size=10), st.integers(0, 500)))
def test_compressing_preserves_a_message_and_never_lengthens_it(payload: bytes) -> None:
    encoded = encode_compressed("gzip", payload)
    assert len(encoded) <= len(encode_message(payload))
    decoder = MessageDecoder(LIMIT, "gzip")
    decoder.feed(encoded)
    assert decoder.next_message() == payload


@pytest.mark.parametrize(
    ("payload", "flag"),
    [
        (b"", 0),
        (b"x" * (MIN_COMPRESSED - 1), 0),
        (b"x" * MIN_COMPRESSED, 1),
        (bytes(range(256)) * 2, 1),
        (random.Random(0).randbytes(1_000), 0),
    ],
)
def test_only_messages_that_shrink_are_marked_as_compressed(payload: bytes, flag: int) -> None:
    encoded = encode_compressed("gzip", payload)
    assert encoded[0] == flag
    assert len(encoded) - PREFIX_SIZE == int.from_bytes(encoded[1:PREFIX_SIZE], "big")
    if not flag:
        assert encoded == encode_message(payload)


@pytest.mark.parametrize("payload", [b"", b"x", random.Random(0).randbytes(1_000)])
def test_always_compressed_messages_are_marked_even_if_they_grow(payload: bytes) -> None:
    encoded = encode_compressed("gzip", payload, always=True)
    assert encoded[0] == 1
    decoder = MessageDecoder(LIMIT, "gzip")
    decoder.feed(encoded)
    assert decoder.next_message() == payload


def test_the_decoder_knows_the_last_compressed_message() -> None:
    decoder = MessageDecoder(LIMIT, "gzip")
    decoder.feed(encode_message(b"a") + encode_compressed("gzip", b"b", always=True) + encode_message(b"c"))
    seen = []
    while decoder.next_message() is not None:
        seen.append((decoder.messages, decoder.inflated))
    assert seen == [(1, 0), (2, 2), (3, 2)]
