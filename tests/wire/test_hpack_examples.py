"""Header blocks whose meaning is known: the RFC's examples, and damaged ones that end the connection."""

from types import ModuleType

import pytest

from echo.wire.errors import PeerConnectionError
from echo.wire.frames import ErrorCode
from echo.wire.hpack import Decoder
from tests.support.hpack_blocks import LIBRARIES, LIMIT, pairs

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


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_of_the_rfc(example: str, library: ModuleType) -> None:
    decoder = Decoder(LIMIT, library)
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


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_block_ends_the_connection(damage: str, library: ModuleType) -> None:
    with pytest.raises(PeerConnectionError) as raised:
        Decoder(LIMIT, library).decode(DAMAGED[damage])
    assert raised.value.error_code == ErrorCode.COMPRESSION_ERROR
