"""RFC 9113 §5.1, stream states: every kind of frame in every state that a server's streams have."""

from tests.support.http2_frames import (
    DEFAULT_WINDOW,
    MAX_WINDOW,
    continuation,
    data,
    frame,
    priority,
    push_promise,
    rst_stream,
    window_update,
)
from tests.support.reactions import (
    ANSWERED,
    BY_PROTOCOL,
    CLOSED,
    HALF_CLOSED,
    MALFORMED,
    OPEN,
    POST,
    RESET,
    Row,
    each,
    headers,
    judge,
    row,
)
from tests.support.rfc9113 import Part

TRAILERS = (("x-trailer", "1"),)

FRAMES: dict[str, Part] = {
    "DATA": data(1, b"x"),
    "empty DATA": data(1),
    "the last DATA": data(1, b"x", end=True),
    "a request": headers(1),
    "a whole request": headers(1, end=True),
    "trailers": headers(1, TRAILERS, end=True),
    "trailers without END_STREAM": headers(1, TRAILERS),
    "PRIORITY": priority(1, 3),
    "RST_STREAM": rst_stream(1),
    "PUSH_PROMISE": push_promise(1, 2, b"\x82"),
    "WINDOW_UPDATE": window_update(1, 10),
    "CONTINUATION": continuation(1, b"\x82"),
    "an unknown type": frame(0x16, 0, 1, b"what?"),
}
ENDS = ["DATA", "empty DATA", "the last DATA"]
HEADS = ["a request", "a whole request", "trailers", "trailers without END_STREAM"]

# What RST_STREAM and WINDOW_UPDATE on a stream that is over may lead to: they may have been under way (§5.1).
LATE = f"nothing | {CLOSED}"
SKIPPED = f"{BY_PROTOCOL} | connection STREAM_CLOSED"

STATES: dict[str, tuple[tuple[Part, ...], dict[str, str]]] = {
    "idle": (
        (),
        {
            "DATA": BY_PROTOCOL,
            "empty DATA": BY_PROTOCOL,
            "the last DATA": BY_PROTOCOL,
            "a request": "call",
            "a whole request": "call",
            "trailers": MALFORMED,
            "trailers without END_STREAM": MALFORMED,
            "RST_STREAM": BY_PROTOCOL,
            "WINDOW_UPDATE": BY_PROTOCOL,
        },
    ),
    "open": (
        (OPEN,),
        {
            "a request": MALFORMED,
            "a whole request": MALFORMED,
            "trailers without END_STREAM": MALFORMED,
            "RST_STREAM": "told CANCEL",
        },
    ),
    "open, with DATA": (
        (OPEN, data(1, b"x")),
        {
            "a request": MALFORMED,
            "a whole request": MALFORMED,
            "trailers without END_STREAM": MALFORMED,
            "RST_STREAM": "told CANCEL",
        },
    ),
    "half-closed (remote)": (
        (HALF_CLOSED,),
        {
            "DATA": "stream STREAM_CLOSED",
            "empty DATA": "stream STREAM_CLOSED",
            "the last DATA": "stream STREAM_CLOSED",
            "a request": "stream STREAM_CLOSED",
            "a whole request": "stream STREAM_CLOSED",
            "trailers": "stream STREAM_CLOSED",
            "trailers without END_STREAM": "stream STREAM_CLOSED",
            "RST_STREAM": "told CANCEL",
        },
    ),
    "half-closed (remote) by trailers": (
        (OPEN, headers(1, TRAILERS, end=True)),
        {
            "DATA": "stream STREAM_CLOSED",
            "empty DATA": "stream STREAM_CLOSED",
            "the last DATA": "stream STREAM_CLOSED",
            "a request": "stream STREAM_CLOSED",
            "a whole request": "stream STREAM_CLOSED",
            "trailers": "stream STREAM_CLOSED",
            "trailers without END_STREAM": "stream STREAM_CLOSED",
            "RST_STREAM": "told CANCEL",
        },
    ),
    "closed by END_STREAM of both": (
        (ANSWERED,),
        {
            "DATA": CLOSED,
            "empty DATA": CLOSED,
            "the last DATA": CLOSED,
            "a request": CLOSED,
            "a whole request": CLOSED,
            "trailers": CLOSED,
            "trailers without END_STREAM": CLOSED,
            "RST_STREAM": LATE,
            "WINDOW_UPDATE": LATE,
        },
    ),
    "closed by the client's RST_STREAM": (
        RESET,
        {
            "DATA": "stream STREAM_CLOSED",
            "empty DATA": "stream STREAM_CLOSED",
            "the last DATA": "stream STREAM_CLOSED",
            "a request": CLOSED,
            "a whole request": CLOSED,
            "trailers": CLOSED,
            "trailers without END_STREAM": CLOSED,
            "RST_STREAM": LATE,
            "WINDOW_UPDATE": LATE,
        },
    ),
    # What was under way before the client heard of our RST_STREAM is to be ignored.
    "closed by our RST_STREAM": ((OPEN, window_update(1, MAX_WINDOW)), {}),
    "closed by our RST_STREAM while waiting for us": (
        (HALF_CLOSED, window_update(1, MAX_WINDOW)),
        dict.fromkeys([*ENDS, *HEADS], LATE),  # These are wrong even so, as the client had ended its side.
    ),
    # Half-closed (local), or closed by a RST_STREAM with NO_ERROR (§8.1).
    "answered before the request has ended": (
        (headers(1, POST),),
        dict.fromkeys(["a request", "a whole request", "trailers without END_STREAM"], f"nothing | {MALFORMED}"),
    ),
    # A stream that was passed over was closed by that (§5.1.1).
    "closed by a higher stream": (
        (headers(3),),
        {
            "DATA": f"{SKIPPED} | stream STREAM_CLOSED",
            "empty DATA": f"{SKIPPED} | stream STREAM_CLOSED",
            "the last DATA": f"{SKIPPED} | stream STREAM_CLOSED",
            "a request": SKIPPED,
            "a whole request": SKIPPED,
            "trailers": SKIPPED,
            "trailers without END_STREAM": SKIPPED,
            "RST_STREAM": f"{LATE} | {BY_PROTOCOL}",
            "WINDOW_UPDATE": f"{LATE} | {BY_PROTOCOL}",
        },
    ),
}
# In every state: PRIORITY and what is unknown change nothing (§5.1, §5.5), the others end the connection (§6.10, §8.4).
ALWAYS = {"CONTINUATION": BY_PROTOCOL, "PUSH_PROMISE": BY_PROTOCOL}


def rows_of(state: str) -> list[Row]:
    before, expected = STATES[state]
    expected = ALWAYS | expected
    return [
        row(f"{state}: {kind}", expected.get(kind, "nothing"), part, before=before) for kind, part in FRAMES.items()
    ]


@each(row for state in STATES for row in rows_of(state))
def test_frames_of_a_client_in_each_state(row: Row) -> None:
    judge("server", row)


MORE = [
    row("PRIORITY on an idle stream does not use it up", "call", priority(5), headers(3), stream=3),
    row("PRIORITY on a stream of ours", "nothing", priority(2), stream=2),
    row(
        "a reset is not answered by a reset",
        "nothing",
        rst_stream(1),
        before=(OPEN, window_update(1, MAX_WINDOW - DEFAULT_WINDOW + 1)),
    ),
    row("DATA on one stream do not concern another", "nothing", data(3, b"x"), before=(OPEN, headers(3)), stream=3),
    row(
        "an error of one stream leaves another alone",
        "stream STREAM_CLOSED",
        data(3, b"x"),
        before=(OPEN, headers(3, end=True)),
        stream=3,
    ),
]


@each(MORE)
def test_streams_of_a_client(row: Row) -> None:
    judge("server", row)
