"""h2spec's cases for a server, with the requests that it sends: "http2" (94 of its 146 cases, and the strict one).

Its requests are not gRPC, so they are answered with HTTP 405 or 415; h2spec accepts any answer. Where it expects a
stream error, it also accepts a connection error. Each row has h2spec's number for the case.
"""

from tests.support.http2_frames import (
    DATA,
    ENABLE_PUSH,
    INITIAL_WINDOW_SIZE,
    MAX_FRAME,
    MAX_FRAME_SIZE,
    MAX_WINDOW,
    PREFACE,
    SETTINGS_ACK,
    continuation,
    data,
    dependency,
    frame,
    goaway,
    padded,
    ping,
    priority,
    push_promise,
    rst_stream,
    settings,
    window_update,
)
from tests.support.reactions import GET, POST, Fields, Row, each, encoded, headers, judge, row, without
from tests.support.rfc9113 import Endpoint, Part

ANSWER = "HTTP 405 | HTTP 415"
WHOLE = headers(1, GET, end=True)
OPEN = headers(1, GET)
BODY = headers(1, POST)
ENDED = headers(1, POST, end=True)
DUMMIES = tuple((f"x-dummy{number}", "x" * 4_000) for number in range(5))
LENGTH = (*POST, ("content-length", "1"))
UNKNOWN = 0x16  # A type of frames.


def connection(*codes: str) -> str:
    return " | ".join(f"connection {code}" for code in codes)


def stream(*codes: str) -> str:
    return " | ".join(f"stream {code} | connection {code}" for code in codes)


def get(*fields: tuple[str, str]) -> Part:
    return headers(1, (*GET, *fields), end=True)


def begun(fields: Fields = GET, *, end: bool = True) -> Part:
    """HEADERS whose block continues in another frame."""
    return headers(1, fields, end=end, complete=False)


def more(number: int = 1, *, end: bool = True) -> Part:
    """CONTINUATION with a field of 4000 bytes."""
    return lambda endpoint: continuation(number, encoded(endpoint, DUMMIES[:1]), end=end)


OTHER = headers(3, GET, end=True)
PROTOCOL, SIZE, WINDOW = connection("PROTOCOL_ERROR"), connection("FRAME_SIZE_ERROR"), connection("FLOW_CONTROL_ERROR")
BAD, CLOSED = stream("PROTOCOL_ERROR"), stream("STREAM_CLOSED")

ROWS = [
    row("3.5/1 client connection preface", "SETTINGS, SETTINGS ACK", PREFACE + settings(), stream=0, begin=b""),
    row("3.5/2 invalid connection preface", PROTOCOL, b"INVALID CONNECTION PREFACE\r\n\r\n", begin=b""),
    row("4.1/1 unknown type", "PING ACK", frame(UNKNOWN, 0, 0, bytes(8)), ping(), stream=0),
    row("4.1/2 undefined flags", "PING ACK", frame(6, 0x16, 0, bytes(8)), stream=0),
    row("4.1/3 reserved bit", "PING ACK", frame(6, 0x16, 1 << 31, bytes(8)), stream=0),
    row("4.2/1 DATA of 2^14 octets", ANSWER, BODY, data(1, bytes(MAX_FRAME), end=True)),
    row("4.2/2 a large DATA frame", stream("FRAME_SIZE_ERROR"), BODY, data(1, bytes(MAX_FRAME + 1), end=True)),
    row("4.2/3 a large HEADERS frame", SIZE, headers(1, (*GET, *DUMMIES), end=True)),
    row("4.3/1 an invalid header block", connection("COMPRESSION_ERROR"), headers(1, b"\x40", end=True)),
    row("4.3/2 PRIORITY within a block", PROTOCOL, begun(end=False), priority(1), more()),
    row("4.3/3 HEADERS of another stream within a block", PROTOCOL, begun(end=False), OTHER, more()),
    row("5.1/1 idle: DATA", PROTOCOL, data(1, b"test", end=True)),
    row("5.1/2 idle: RST_STREAM", PROTOCOL, rst_stream(1)),
    row("5.1/3 idle: WINDOW_UPDATE", PROTOCOL, window_update(1, 100)),
    row("5.1/4 idle: CONTINUATION", PROTOCOL, lambda endpoint: continuation(1, encoded(endpoint, GET))),
    row("5.1/5 half closed (remote): DATA", CLOSED, WHOLE, data(1, b"test", end=True)),
    row("5.1/6 half closed (remote): HEADERS", CLOSED, WHOLE, WHOLE),
    row("5.1/7 half closed (remote): CONTINUATION", f"{CLOSED} | {PROTOCOL}", WHOLE, more()),
    row("5.1/8 closed: DATA after RST_STREAM", CLOSED, OPEN, rst_stream(1), data(1, b"test", end=True)),
    row("5.1/9 closed: HEADERS after RST_STREAM", CLOSED, OPEN, rst_stream(1), WHOLE),
    row("5.1/10 closed: CONTINUATION after RST_STREAM", f"{CLOSED} | {PROTOCOL}", OPEN, rst_stream(1), more()),
    row("5.1/11 closed: DATA", CLOSED, data(1, b"test", end=True), before=(WHOLE,)),
    row("5.1/12 closed: HEADERS", connection("STREAM_CLOSED"), WHOLE, before=(WHOLE,)),
    row("5.1/13 closed: CONTINUATION", connection("STREAM_CLOSED", "PROTOCOL_ERROR"), more(), before=(WHOLE,)),
    row("5.1.1/1 an even-numbered stream", PROTOCOL, headers(2, GET, end=True), stream=2),
    row("5.1.1/2 a stream smaller than before", PROTOCOL, headers(5, GET, end=True), OTHER, stream=5),
    row("5.3.1/1 HEADERS that depend on themselves", BAD, headers(1, GET, depends=dependency(1, weight=256), end=True)),
    row("5.3.1/2 PRIORITY that depends on itself", BAD, priority(1, 1, weight=256)),
    row("5.4.1/1 and 2 an invalid PING, closed with GOAWAY", PROTOCOL, frame(6, 0, 3, bytes(8)), stream=0),
    row("5.5/1 an extension frame", "PING ACK", frame(UNKNOWN, 0, 0, bytes(8)), ping(), stream=0),
    row("5.5/2 an extension frame within a block", PROTOCOL, begun(), frame(UNKNOWN, 0, 0, bytes(8))),
    row("6.1/1 DATA with stream 0", PROTOCOL, data(0, b"test", end=True)),
    row("6.1/2 DATA on a stream that is not open", CLOSED, ENDED, data(1, b"test", end=True)),
    row(
        "6.1/3 DATA with invalid padding",
        PROTOCOL,
        headers(1, (*POST, ("content-length", "4"))),
        frame(DATA, 9, 1, b"\x06Test"),
    ),
    row("6.2/1 HEADERS without END_HEADERS, and PRIORITY", PROTOCOL, begun(end=False), priority(1), more()),
    row("6.2/2 HEADERS of another stream meanwhile", PROTOCOL, begun(end=False), OTHER, more()),
    row("6.2/3 HEADERS with stream 0", PROTOCOL, headers(0, GET, end=True)),
    row("6.2/4 HEADERS with invalid padding", PROTOCOL, frame(1, 0xD, 1, padded(b"\x82\x86\x84", 0, claimed=5))),
    row("6.3/1 PRIORITY with stream 0", PROTOCOL, priority(0, weight=256)),
    row("6.3/2 PRIORITY of 4 octets", stream("FRAME_SIZE_ERROR"), WHOLE, frame(2, 0, 1, b"\x80\0\0\1")),
    row("6.4/1 RST_STREAM with stream 0", PROTOCOL, rst_stream(0)),
    row("6.4/2 RST_STREAM on an idle stream", PROTOCOL, rst_stream(1)),
    row("6.4/3 RST_STREAM of 3 octets", SIZE, WHOLE, frame(3, 0, 1, bytes(3))),
    row("6.5/1 SETTINGS with ACK and payload", SIZE, frame(4, 1, 0, b"\0"), stream=0),
    row("6.5/2 SETTINGS with a stream", PROTOCOL, frame(4, 0, 1, b"\0\3\0\0\0\x64"), stream=0),
    row("6.5/3 SETTINGS of 3 octets", SIZE, frame(4, 0, 0, b"\0\3\0"), stream=0),
    row("6.5.2/1 ENABLE_PUSH of 2", PROTOCOL, settings((ENABLE_PUSH, 2)), stream=0),
    row("6.5.2/2 a window above the maximum", WINDOW, settings((INITIAL_WINDOW_SIZE, 2**31)), stream=0),
    row("6.5.2/3 frames below the initial size", PROTOCOL, settings((MAX_FRAME_SIZE, 2**14 - 1)), stream=0),
    row("6.5.2/4 frames above the maximum", PROTOCOL, settings((MAX_FRAME_SIZE, 2**24)), stream=0),
    row("6.5.2/5 an unknown identifier", "SETTINGS ACK, PING ACK", settings((0xFF, 1)), ping(), stream=0),
    row("6.5.3/2 SETTINGS are acknowledged", "SETTINGS ACK", settings((ENABLE_PUSH, 0)), stream=0),
    row("6.7/1 PING", "PING ACK", ping(), stream=0),
    row("6.7/2 PING with ACK", "PING ACK", ping(b"invalid!", ack=True), ping(), stream=0),
    row("6.7/3 PING with a stream", PROTOCOL, frame(6, 0, 1, bytes(8)), stream=0),
    row("6.7/4 PING of 6 octets", SIZE, frame(6, 0, 0, bytes(6)), stream=0),
    row("6.8/1 GOAWAY with a stream", PROTOCOL, frame(7, 0, 1, bytes(8)), stream=0),
    row("6.9/1 an update of 0", PROTOCOL, window_update(0, 0), stream=0),
    row("6.9/2 an update of 0 on a stream", BAD, OPEN, window_update(1, 0)),
    row("6.9/3 an update of 3 octets", SIZE, frame(8, 0, 0, b"\0\0\1"), stream=0),
    row("6.9.1/2 the connection's window above 2^31-1", WINDOW, window_update(0, MAX_WINDOW) * 2, stream=0),
    row("6.9.1/3 a stream's window above 2^31-1", stream("FLOW_CONTROL_ERROR"), OPEN, window_update(1, MAX_WINDOW) * 2),
    row("6.9.2/3 a window above the maximum", WINDOW, settings((INITIAL_WINDOW_SIZE, 2**31)), stream=0),
    row("6.10/1 multiple CONTINUATION", ANSWER, begun(), more(end=False), more()),
    row(
        "6.10/2 another frame after CONTINUATION",
        PROTOCOL,
        begun(POST, end=False),
        more(end=False),
        data(1, b"test", end=True),
    ),
    row("6.10/3 CONTINUATION with stream 0", PROTOCOL, begun(), more(0)),
    row("6.10/4 CONTINUATION after END_HEADERS", PROTOCOL, WHOLE, more()),
    row("6.10/5 CONTINUATION after the last one", PROTOCOL, begun(), more(), more()),
    row(
        "6.10/6 CONTINUATION after DATA", PROTOCOL, begun(POST, end=False), data(1, b"test", end=True), more(end=False)
    ),
    row("7/1 GOAWAY with an unknown code", "PING ACK", goaway(0, 0xFF), ping(), stream=0, alive="ping"),
    row("7/2 RST_STREAM with an unknown code", "PING ACK", BODY, rst_stream(1, 0xFF), ping(), stream=0),
    row("8.1/1 a second HEADERS without END_STREAM", BAD, BODY, data(1, b"test"), headers(1, (("x-test", "ok"),))),
    row("8.1.2/1 an uppercase name", BAD, get(("X-TEST", "ok"))),
    row("8.1.2.1/1 an unknown pseudo-header", BAD, get((":test", "ok"))),
    row("8.1.2.1/2 a pseudo-header for responses", BAD, get((":status", "200"))),
    row("8.1.2.1/3 a pseudo-header as trailers", BAD, BODY, data(1, b"test"), headers(1, ((":method", "POST"),))),
    row("8.1.2.1/4 a pseudo-header after a field", BAD, headers(1, (("x-test", "ok"), *GET), end=True)),
    row("8.1.2.2/1 a connection-specific field", BAD, get(("connection", "keep-alive"))),
    row("8.1.2.2/2 te other than trailers", BAD, get(("trailers", "test"), ("te", "trailers, deflate"))),
    row("8.1.2.3/1 an empty :path", BAD, headers(1, (*GET[:2], (":path", ""), GET[3]), end=True)),
    row("8.1.2.3/2 no :method", BAD, headers(1, without(GET, ":method", ":scheme"), end=True)),  # h2spec omits both.
    row("8.1.2.3/3 no :scheme", BAD, headers(1, without(GET, ":scheme"), end=True)),
    row("8.1.2.3/4 no :path", BAD, headers(1, without(GET, ":path"), end=True)),
    row("8.1.2.3/5 :method twice", BAD, get((":method", "GET"))),
    row("8.1.2.3/6 :scheme twice", BAD, get((":scheme", "http"))),
    row("8.1.2.3/7 :path twice", BAD, get((":path", "/"))),
    row(
        "8.1.2.6/1 content-length unlike DATA",
        BAD,
        headers(1, LENGTH),
        data(1, b"test", end=True),
    ),
    row(
        "8.1.2.6/2 content-length unlike the sum of DATA",
        BAD,
        headers(1, LENGTH),
        data(1, b"test"),
        data(1, b"test", end=True),
    ),
    row("8.2/1 PUSH_PROMISE", PROTOCOL, lambda endpoint: push_promise(1, 3, encoded(endpoint, GET))),
]


@each(ROWS)
def test_http2(row: Row) -> None:
    judge("server", row)


BY_HAND = 5  # As many cases as there are below: 5.1.2/1, 6.5.3/1, 6.9.1/1, 6.9.2/1, 6.9.2/2.


def test_the_cases_are_all_here() -> None:
    assert len(ROWS) + BY_HAND == 94


def shut(window: int) -> Endpoint:
    return Endpoint("server", begin=PREFACE + settings((INITIAL_WINDOW_SIZE, window)) + SETTINGS_ACK)


def test_5_1_2_1_more_streams_than_allowed() -> None:
    endpoint = shut(0)
    for number in range(101):
        endpoint.look()
        endpoint.feed(headers(2 * number + 1, GET, end=True))
    assert endpoint.reaction(201) == "stream REFUSED_STREAM"


def test_6_9_1_1_data_within_the_window() -> None:
    endpoint = shut(1)
    endpoint.feed(WHOLE)
    assert len(endpoint.body(1)) == 1


def test_6_5_3_1_values_in_order() -> None:
    endpoint = Endpoint("server")
    endpoint.feed(settings((INITIAL_WINDOW_SIZE, 100), (INITIAL_WINDOW_SIZE, 1)), WHOLE)
    assert len(endpoint.body(1)) == 1


def test_6_9_2_1_the_window_changed_after_headers() -> None:
    endpoint = shut(0)
    endpoint.feed(WHOLE, settings((INITIAL_WINDOW_SIZE, 1)))
    assert len(endpoint.body(1)) == 1


def test_6_9_2_2_a_negative_window() -> None:
    endpoint = shut(3)
    endpoint.feed(WHOLE)
    endpoint.feed(settings((INITIAL_WINDOW_SIZE, 2)))
    assert len(endpoint.body(1)) == 3
    endpoint.feed(window_update(1, 2))
    assert len(endpoint.body(1)) == 4
