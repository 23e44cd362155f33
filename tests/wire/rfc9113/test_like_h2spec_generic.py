"""h2spec's cases for a server, with the requests that it sends: "generic" and "hpack" (52 of its 146 cases).

Its requests are not gRPC, so they are answered with HTTP 405 or 415; h2spec accepts any answer. Where it expects a
stream error, it also accepts a connection error. Each row has h2spec's number for the case.
"""

from tests.support.http2_frames import (
    ENABLE_PUSH,
    HEADER_TABLE_SIZE,
    INITIAL_WINDOW_SIZE,
    MAX_CONCURRENT_STREAMS,
    MAX_FRAME_SIZE,
    MAX_HEADER_LIST_SIZE,
    PREFACE,
    SETTINGS_ACK,
    data,
    dependency,
    goaway,
    ping,
    priority,
    rst_stream,
    settings,
    window_update,
)
from tests.support.reactions import GET, POST, Row, each, fragmented, headers, judge, row
from tests.support.rfc9113 import Endpoint, Part

ANSWER = "HTTP 405 | HTTP 415"
BROKEN = "connection COMPRESSION_ERROR"
WHOLE = headers(1, GET, end=True)
BODY = headers(1, POST)
HEAD = ((":method", "HEAD"), *GET[1:])
SETTINGS = settings(
    (HEADER_TABLE_SIZE, 4_096),
    (ENABLE_PUSH, 1),
    (MAX_CONCURRENT_STREAMS, 100),
    (INITIAL_WINDOW_SIZE, 65_535),
    (MAX_FRAME_SIZE, 16_384),
    (MAX_HEADER_LIST_SIZE, 100),
)
PLAIN = b"\x82\x86\x84\x01\x04test"  # GET by the static table alone.
# Strings with their lengths, plain and in Huffman code.
AGENT, AGENT_CODED = b"\x0auser-agent", b"\x87\xb5\x05\xb1\x61\xcc\x5a\x93"
TEST, TEST_CODED = b"\x06x-test", b"\x85\xf2\xb2\x4a\x84\xff"
VALUE, VALUE_CODED = b"\x06h2spec", b"\x84\x9c\x48\xac\xa4"


def raw(tail: bytes, front: bytes = b"") -> Part:
    return headers(1, front + PLAIN + tail, end=True)


GENERIC = [
    row("1/1 a client connection preface", "SETTINGS, SETTINGS ACK", PREFACE + settings(), stream=0, begin=b""),
    row("2/1 PRIORITY on an idle stream", "PING ACK", priority(1, weight=256), ping(), stream=0),
    row("2/4 RST_STREAM on a half-closed (remote) stream", "PING ACK", WHOLE, rst_stream(1), ping(), stream=0),
    row("2/5 PRIORITY on a closed stream", "PING ACK", priority(1, weight=256), ping(), before=(WHOLE,), stream=0),
    row("3.1/1 DATA", ANSWER, BODY, data(1, b"test", end=True)),
    row("3.1/2 multiple DATA", ANSWER, BODY, data(1, b"test"), data(1, b"test", end=True)),
    row("3.1/3 DATA with padding", ANSWER, BODY, data(1, b"test", padding=5, end=True)),
    row("3.2/1 HEADERS", ANSWER, WHOLE),
    row("3.2/2 HEADERS with padding", ANSWER, headers(1, GET, padding=8, end=True)),
    row("3.2/3 HEADERS with priority", ANSWER, headers(1, GET, depends=dependency(0, weight=256), end=True)),
    row("3.3/1 PRIORITY with priority 1", ANSWER, priority(1, weight=1), WHOLE),
    row("3.3/2 PRIORITY with priority 256", ANSWER, priority(1, weight=256), WHOLE),
    row("3.3/3 PRIORITY with stream dependency", ANSWER, priority(3, 1, weight=1), WHOLE),
    row("3.3/4 PRIORITY with exclusive", ANSWER, priority(1, weight=1, exclusive=True), WHOLE),
    row("3.3/5 PRIORITY for an idle stream, then HEADERS for a lower one", ANSWER, priority(3, weight=256), WHOLE),
    row("3.4/1 RST_STREAM", "PING ACK", headers(1, GET), rst_stream(1), ping(), stream=0),
    row("3.5/1 SETTINGS", "SETTINGS ACK", SETTINGS, stream=0),
    row("3.7/1 PING", "PING ACK", ping(b"h2spec\0\0"), stream=0),
    row("3.8/1 GOAWAY", "PING ACK", goaway(debug=b"h2spec"), ping(), stream=0, alive="ping"),
    row("3.9/1 WINDOW_UPDATE with stream 0", "PING ACK", window_update(0, 1), ping(), stream=0),
    row("3.9/2 WINDOW_UPDATE with stream 1", ANSWER, WHOLE, window_update(1, 1)),
    row("3.10/1 CONTINUATION", ANSWER, fragmented(1, GET, sizes=(5,), end=True)),
    row("3.10/2 multiple CONTINUATION", ANSWER, fragmented(1, GET, sizes=(5, 5), end=True)),
    row("4/1 GET", ANSWER, WHOLE),
    row("4/2 HEAD", ANSWER, headers(1, HEAD, end=True)),
    row("4/3 POST", ANSWER, BODY, data(1, b"test", end=True)),
    row(
        "4/4 POST with trailers",
        ANSWER,
        headers(1, (*POST, ("trailer", "x-test"))),
        data(1, b"test"),
        headers(1, (("x-test", "ok"),), end=True),
    ),
    # h2spec says of some that their names are indexed, or that they are in Huffman code. This is what it sends.
    row("5/1 indexed field", ANSWER, raw(b"\xba")),
    row("5/2 incremental indexing, indexed name", ANSWER, raw(b"\x40" + AGENT_CODED + VALUE_CODED)),
    row("5/3 incremental indexing, indexed name, Huffman", ANSWER, raw(b"\x40" + AGENT + VALUE)),
    row("5/4 incremental indexing, new name", ANSWER, raw(b"\x40" + TEST + VALUE)),
    row("5/5 incremental indexing, new name, Huffman", ANSWER, raw(b"\x40" + TEST_CODED + VALUE_CODED)),
    row("5/6 without indexing, indexed name", ANSWER, raw(b"\x00" + AGENT + VALUE)),
    row("5/7 without indexing, indexed name, Huffman", ANSWER, raw(b"\x00" + AGENT_CODED + VALUE_CODED)),
    row("5/8 without indexing, new name", ANSWER, raw(b"\x00" + TEST + VALUE)),
    row("5/9 without indexing, new name, Huffman", ANSWER, raw(b"\x00" + TEST_CODED + VALUE_CODED)),
    row("5/10 never indexed, indexed name", ANSWER, raw(b"\x10" + AGENT + VALUE)),
    row("5/11 never indexed, indexed name, Huffman", ANSWER, raw(b"\x10" + AGENT_CODED + VALUE_CODED)),
    row("5/12 never indexed, new name", ANSWER, raw(b"\x10" + TEST_CODED + VALUE_CODED)),
    row("5/13 never indexed, new name, Huffman", ANSWER, raw(b"\x10" + TEST_CODED + VALUE_CODED)),
    row("5/14 dynamic table size update", ANSWER, raw(b"", front=b"\x3f\x61")),
    row("5/15 multiple dynamic table size updates", ANSWER, raw(b"", front=b"\x3f\x61\x3f\xe1\x1f")),
]
HPACK = [
    row("2.3.3/1 indexed field with an invalid index", BROKEN, raw(b"\xc6")),
    row("2.3.3/2 literal field with an invalid index", BROKEN, raw(b"\x7f\x07\x00")),
    row("4.2/1 table size update at the end of a block", BROKEN, raw(b"\x21")),
    row("5.2/1 Huffman padded by more than 7 bits", BROKEN, raw(b"\x00" + TEST_CODED + b"\x84\x49\x50\x9f\xff")),
    row("5.2/2 Huffman padded with zeros", BROKEN, raw(b"\x00" + TEST_CODED + b"\x83\x49\x50\x90")),
    row("5.2/3 Huffman with EOS", BROKEN, raw(b"\x00" + TEST_CODED + b"\x87\x49\x51\xff\xff\xff\xfa\x7f")),
    row("6.1/1 indexed field with index 0", BROKEN, raw(b"\x80")),
    row("6.3/1 table size update above SETTINGS_HEADER_TABLE_SIZE", BROKEN, raw(b"", front=b"\x3f\xe2\x1f")),
]


@each(GENERIC)
def test_generic(row: Row) -> None:
    judge("server", row)


@each(HPACK)
def test_hpack(row: Row) -> None:
    judge("server", row)


BY_HAND = 2  # As many cases as there are below: 2/2, 2/3.


def test_the_cases_are_all_here() -> None:
    assert (len(GENERIC) + BY_HAND, len(HPACK)) == (44, 8)


def test_2_2_window_update_on_a_half_closed_remote_stream() -> None:
    endpoint = Endpoint("server", begin=PREFACE + settings((INITIAL_WINDOW_SIZE, 0)) + SETTINGS_ACK)
    endpoint.feed(WHOLE)
    assert not endpoint.body(1)
    endpoint.feed(window_update(1, 1))
    assert len(endpoint.body(1)) == 1


def test_2_3_priority_on_a_half_closed_remote_stream() -> None:
    endpoint = Endpoint("server", begin=PREFACE + settings((INITIAL_WINDOW_SIZE, 0)) + SETTINGS_ACK)
    endpoint.feed(WHOLE, priority(1, weight=256))
    assert not endpoint.body(1)
    endpoint.feed(window_update(1, 1))
    assert len(endpoint.body(1)) == 1
