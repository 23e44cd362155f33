"""h2spec's cases for a server, with the requests that it sends: "generic" and "hpack" (52 of its 146 cases).

Its requests are not gRPC, so they are answered with HTTP 405 or 415; h2spec accepts any answer. Where it expects a
stream error, it also accepts a connection error. Each row has h2spec's number for the case.
"""

from tests.support.http2_frames import (
    PREFACE,
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
from tests.support.rfc9113 import Part

ANSWER = "HTTP 405 | HTTP 415"
BROKEN = "connection COMPRESSION_ERROR"
WHOLE = headers(1, GET, end=True)
BODY = headers(1, POST)
HEAD = ((":method", "HEAD"), *GET[1:])
PLAIN = b"\x82\x86\x84\x01\x04test"  # GET by the static table alone.


def raw(tail: bytes, front: bytes = b"") -> Part:
    return headers(1, front + PLAIN + tail, end=True)


GENERIC = [
    row("1/1 a client connection preface", "SETTINGS, SETTINGS ACK", PREFACE + settings(), stream=0, begin=b""),
    row("2/1 PRIORITY on an idle stream", ANSWER, priority(1), WHOLE),
    row("2/2 WINDOW_UPDATE on a half-closed (remote) stream", ANSWER, WHOLE, window_update(1, 1)),
    row("2/3 PRIORITY on a half-closed (remote) stream", ANSWER, WHOLE, priority(1)),
    row("2/4 RST_STREAM on a half-closed (remote) stream", "PING ACK", WHOLE, rst_stream(1), ping(), stream=0),
    row("2/5 PRIORITY on a closed stream", "PING ACK", priority(1), ping(), before=(WHOLE,), stream=0),
    row("3.1/1 DATA", ANSWER, BODY, data(1, b"test", end=True)),
    row("3.1/2 multiple DATA", ANSWER, BODY, data(1, b"test"), data(1, b"test", end=True)),
    row("3.1/3 DATA with padding", ANSWER, BODY, data(1, b"test", padding=6, end=True)),
    row("3.2/1 HEADERS", ANSWER, WHOLE),
    row("3.2/2 HEADERS with padding", ANSWER, headers(1, GET, padding=6, end=True)),
    row("3.2/3 HEADERS with priority", ANSWER, headers(1, GET, depends=dependency(0, weight=255), end=True)),
    row("3.3/1 PRIORITY with priority 1", ANSWER, priority(1, weight=1), WHOLE),
    row("3.3/2 PRIORITY with priority 256", ANSWER, priority(1, weight=256), WHOLE),
    row("3.3/3 PRIORITY with stream dependency", ANSWER, priority(1, 3), WHOLE),
    row("3.3/4 PRIORITY with exclusive", ANSWER, priority(1, 3, exclusive=True), WHOLE),
    row("3.3/5 PRIORITY for an idle stream, then HEADERS for a lower one", ANSWER, priority(3), WHOLE),
    row("3.4/1 RST_STREAM", "PING ACK", BODY, rst_stream(1), ping(), stream=0),
    row("3.5/1 SETTINGS", "SETTINGS ACK", settings(), stream=0),
    row("3.7/1 PING", "PING ACK", ping(), stream=0),
    row("3.8/1 GOAWAY", "PING ACK", goaway(), ping(), stream=0, alive="ping"),
    row("3.9/1 WINDOW_UPDATE with stream 0", ANSWER, window_update(0, 1), WHOLE),
    row("3.9/2 WINDOW_UPDATE with stream 1", ANSWER, BODY, window_update(1, 1), data(1, b"test", end=True)),
    row("3.10/1 CONTINUATION", ANSWER, fragmented(1, GET, sizes=(4,), end=True)),
    row("3.10/2 multiple CONTINUATION", ANSWER, fragmented(1, GET, sizes=(4, 1), end=True)),
    row("4/1 GET", ANSWER, WHOLE),
    row("4/2 HEAD", ANSWER, headers(1, HEAD, end=True)),
    row("4/3 POST", ANSWER, BODY, data(1, b"test", end=True)),
    row("4/4 POST with trailers", ANSWER, BODY, data(1, b"test"), headers(1, (("x-test", "ok"),), end=True)),
    row("5/1 indexed field", ANSWER, raw(b"\x90")),
    row("5/2 incremental indexing, indexed name", ANSWER, raw(b"\x7a\x04test")),
    row("5/3 incremental indexing, indexed name, Huffman", ANSWER, raw(b"\x7a\x83\x49\x50\x9f")),
    row("5/4 incremental indexing, new name", ANSWER, raw(b"\x40\x06x-test\x04test")),
    row("5/5 incremental indexing, new name, Huffman", ANSWER, raw(b"\x40\x85\xf2\xb2\x4a\x84\xff\x83\x49\x50\x9f")),
    row("5/6 without indexing, indexed name", ANSWER, raw(b"\x0f\x2b\x04test")),
    row("5/7 without indexing, indexed name, Huffman", ANSWER, raw(b"\x0f\x2b\x83\x49\x50\x9f")),
    row("5/8 without indexing, new name", ANSWER, raw(b"\x00\x06x-test\x04test")),
    row("5/9 without indexing, new name, Huffman", ANSWER, raw(b"\x00\x85\xf2\xb2\x4a\x84\xff\x83\x49\x50\x9f")),
    row("5/10 never indexed, indexed name", ANSWER, raw(b"\x1f\x2b\x04test")),
    row("5/11 never indexed, indexed name, Huffman", ANSWER, raw(b"\x1f\x2b\x83\x49\x50\x9f")),
    row("5/12 never indexed, new name", ANSWER, raw(b"\x10\x06x-test\x04test")),
    row("5/13 never indexed, new name, Huffman", ANSWER, raw(b"\x10\x85\xf2\xb2\x4a\x84\xff\x83\x49\x50\x9f")),
    row("5/14 dynamic table size update", ANSWER, raw(b"", front=b"\x30")),
    row("5/15 multiple dynamic table size updates", ANSWER, raw(b"", front=b"\x20\x30")),
]
HPACK = [
    row("2.3.3/1 indexed field with an invalid index", BROKEN, raw(b"\xc6")),
    row("2.3.3/2 literal field with an invalid index", BROKEN, raw(b"\x7f\x07\x04test")),
    row("4.2/1 table size update at the end of a block", BROKEN, raw(b"\x30")),
    row("5.2/1 Huffman padded by more than 7 bits", BROKEN, raw(b"\x00\x85\xf2\xb2\x4a\x84\xff\x84\x49\x50\x9f\xff")),
    row("5.2/2 Huffman padded with zeros", BROKEN, raw(b"\x00\x85\xf2\xb2\x4a\x84\xff\x83\x49\x50\x90")),
    row("5.2/3 Huffman with EOS", BROKEN, raw(b"\x00\x85\xf2\xb2\x4a\x84\xff\x88\x49\x50\x9f\xff\xff\xff\xff\xff")),
    row("6.1/1 indexed field with index 0", BROKEN, raw(b"\x80")),
    row("6.3/1 table size update above SETTINGS_HEADER_TABLE_SIZE", BROKEN, raw(b"", front=b"\x3f\xe2\x1f")),
]


@each(GENERIC)
def test_generic(row: Row) -> None:
    judge("server", row)


@each(HPACK)
def test_hpack(row: Row) -> None:
    judge("server", row)


def test_the_cases_are_all_here() -> None:
    assert (len(GENERIC), len(HPACK)) == (44, 8)
