"""RFC 9113 §5.1, stream states: every kind of frame in every state that a client's streams have."""

from tests.support.http2_frames import (
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
    BY_PROTOCOL,
    CLOSED,
    MALFORMED,
    RESPONSE,
    TRAILERS,
    Row,
    cancelled,
    each,
    headers,
    judge,
    opened,
    row,
    told,
)
from tests.support.rfc9113 import Part

FRAMES: dict[str, Part] = {
    "DATA": data(1, b"x"),
    "empty DATA": data(1),
    "the last DATA": data(1, b"x", end=True),
    "a head": headers(1, RESPONSE),
    "trailers alone": headers(1, (*RESPONSE, *TRAILERS), end=True),
    "trailers": headers(1, TRAILERS, end=True),
    "trailers without END_STREAM": headers(1, TRAILERS),
    "an informational head": headers(1, ((":status", "103"),)),
    "PRIORITY": priority(1, 3),
    "RST_STREAM": rst_stream(1),
    "PUSH_PROMISE": push_promise(1, 2, b"\x82"),
    "WINDOW_UPDATE": window_update(1, 10),
    "CONTINUATION": continuation(1, b"\x88"),
    "an unknown type": frame(0x16, 0, 1, b"what?"),
}

# A stream that both sides have ended is closed: RST_STREAM may be sent on it for the error, but need not be.
ENDED_BADLY = f"{MALFORMED} | status INTERNAL | status UNKNOWN | told PROTOCOL_ERROR"
# A frame on a closed stream may be a connection error, or be discarded (§5.1, "closed").
LATE = f"nothing | {CLOSED}"

IDLE = dict.fromkeys(FRAMES, BY_PROTOCOL) | {"PRIORITY": "nothing", "an unknown type": "nothing"}
WAITING = {
    "DATA": MALFORMED,
    "empty DATA": f"{MALFORMED} | nothing",
    "the last DATA": ENDED_BADLY,
    "a head": "head",
    "trailers alone": "status OK",
    "trailers": ENDED_BADLY,
    "trailers without END_STREAM": MALFORMED,
    "RST_STREAM": told("CANCEL"),
}
ANSWERED = {
    "the last DATA": "status UNKNOWN",
    "a head": MALFORMED,
    "trailers alone": ENDED_BADLY,
    "trailers": "status OK",
    "trailers without END_STREAM": MALFORMED,
    "an informational head": MALFORMED,
    "RST_STREAM": told("CANCEL"),
}
OVER = {
    **dict.fromkeys(
        [
            "DATA",
            "empty DATA",
            "the last DATA",
            "a head",
            "trailers alone",
            "trailers",
            "trailers without END_STREAM",
            "an informational head",
        ],
        LATE,
    ),
    "RST_STREAM": LATE,
    "WINDOW_UPDATE": LATE,
}

HEAD = headers(1, RESPONSE)
END = headers(1, TRAILERS, end=True)
STATES: dict[str, tuple[tuple[Part, ...], dict[str, str]]] = {
    "idle": ((), IDLE),
    "open": ((opened(),), WAITING),
    "open, with a head": ((opened(), HEAD), ANSWERED),
    "open, with DATA": ((opened(), HEAD, data(1, b"x")), ANSWERED),
    "open, after an informational head": ((opened(), headers(1, ((":status", "103"),))), WAITING),
    "half-closed (local)": ((opened(end=True),), WAITING),
    "half-closed (local), with a head": ((opened(end=True), HEAD), ANSWERED),
    "closed by END_STREAM of both": ((opened(end=True), HEAD, END), OVER),
    "closed by trailers alone": ((opened(end=True), headers(1, (*RESPONSE, *TRAILERS), end=True)), OVER),
    "ended by the server before we did": ((opened(), HEAD, END), OVER),
    "closed by the server's RST_STREAM": ((opened(), HEAD, rst_stream(1)), OVER),
    "closed by the server's RST_STREAM at once": ((opened(end=True), rst_stream(1)), OVER),
    "closed by our RST_STREAM": ((opened(), cancelled()), {}),
    "closed by our RST_STREAM after the head": ((opened(), HEAD, cancelled()), {}),
    "closed by our RST_STREAM for an error": ((opened(), window_update(1, MAX_WINDOW)), {}),
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
def test_frames_of_a_server_in_each_state(row: Row) -> None:
    judge("client", row)


MORE = [
    row("a reset is not answered by a reset", told("REFUSED_STREAM"), rst_stream(1, 7), before=(opened(),)),
    row("a reset after the head", told("NO_ERROR"), rst_stream(1, 0), before=(opened(), HEAD)),
    row("trailers twice", LATE, END, before=(opened(end=True), HEAD, END)),
    row(
        "a reset after the trailers changes nothing", "nothing", rst_stream(1, 0), before=(opened(end=True), HEAD, END)
    ),
    row("trailers and a reset in one go", "status OK", END, rst_stream(1, 0), before=(opened(), HEAD)),
    row(
        "an error of one call leaves another alone",
        MALFORMED,
        data(3, b"x"),
        before=(opened(), opened(), HEAD),
        stream=3,
    ),
    row("PRIORITY on a stream of the server's", "nothing", priority(2), stream=2),
]


@each(MORE)
def test_streams_of_a_server(row: Row) -> None:
    judge("client", row)
