"""The states of a stream and what moves it between them (RFC 9113 §5.1).

Theory of operation
-------------------
A stream is in one of five states; those reserved for server push do not exist here, since push is off. What is sent or
received on it is a *step*, and `TRANSITIONS` says for each state which steps are allowed and where they lead:

                          +--------+
                          |  idle  |
                          +--------+
                              |  HEADERS, either way
                              v
                          +--------+
          end received    |  open  |    end sent
          .---------------|        |---------------.
          v               +--------+               v
    +-------------+           |           +-------------+
    | half-closed |           | RST_STREAM| half-closed |
    |  (remote)   |           |           |   (local)   |
    +-------------+           v           +-------------+
          |               +--------+               |
          '-------------->| closed |<--------------'
            end sent, or  +--------+  end received,
            RST_STREAM                or RST_STREAM

A step that is missing from the row of a state is an error of whoever takes it: a `LocalProtocolError` if it is ours,
and a stream error STREAM_CLOSED if it is the peer's. PRIORITY and WINDOW_UPDATE move nothing and are not steps.
END_STREAM is a flag of HEADERS and DATA, and a step of its own behind that of its frame.
"""

from typing import Final, Literal

State = Literal["idle", "open", "half-closed (local)", "half-closed (remote)", "closed"]
Step = Literal[
    "send HEADERS", "send DATA", "send end", "send reset", "recv HEADERS", "recv DATA", "recv end", "recv reset"
]

IDLE: Final = "idle"
OPEN: Final = "open"
HALF_CLOSED_LOCAL: Final = "half-closed (local)"
HALF_CLOSED_REMOTE: Final = "half-closed (remote)"
CLOSED: Final = "closed"

SEND_HEADERS: Final = "send HEADERS"
SEND_DATA: Final = "send DATA"
SEND_END: Final = "send end"
SEND_RESET: Final = "send reset"
RECV_HEADERS: Final = "recv HEADERS"
RECV_DATA: Final = "recv DATA"
RECV_END: Final = "recv end"
RECV_RESET: Final = "recv reset"

# --8<-- [start:transitions]
TRANSITIONS: Final[dict[State, dict[Step, State]]] = {
    IDLE: {
        SEND_HEADERS: OPEN,
        RECV_HEADERS: OPEN,
    },
    OPEN: {
        SEND_HEADERS: OPEN,  # A response's head; trailers, with the end behind them.
        SEND_DATA: OPEN,
        SEND_END: HALF_CLOSED_LOCAL,
        SEND_RESET: CLOSED,
        RECV_HEADERS: OPEN,
        RECV_DATA: OPEN,
        RECV_END: HALF_CLOSED_REMOTE,
        RECV_RESET: CLOSED,
    },
    HALF_CLOSED_LOCAL: {
        SEND_RESET: CLOSED,
        RECV_HEADERS: HALF_CLOSED_LOCAL,
        RECV_DATA: HALF_CLOSED_LOCAL,
        RECV_END: CLOSED,
        RECV_RESET: CLOSED,
    },
    HALF_CLOSED_REMOTE: {
        SEND_HEADERS: HALF_CLOSED_REMOTE,
        SEND_DATA: HALF_CLOSED_REMOTE,
        SEND_END: CLOSED,
        SEND_RESET: CLOSED,
        RECV_RESET: CLOSED,
    },
    CLOSED: {},  # What may still arrive is the business of `echo.wire.closed`.
}
# --8<-- [end:transitions]
