"""The states of a stream and what moves it between them (RFC 9113 §5.1).

Theory of operation
-------------------
A stream is in one of five states. The two reserved states of server push do not exist here, since push is off. Whatever
is sent or received on the stream is a *step*; `TRANSITIONS` lists the steps that each state allows and where they lead:

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

A step that a state's row does not list is an error: a `LocalProtocolError` if the step is ours, a stream error
STREAM_CLOSED if it is the peer's. PRIORITY and WINDOW_UPDATE do not change the state and are not steps. END_STREAM is a
flag of HEADERS and DATA, but a separate step that follows its frame's.
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
        SEND_HEADERS: OPEN,  # A response's head, or trailers, which SEND_END follows.
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
    CLOSED: {},  # `echo.wire.closed` judges frames that arrive late.
}
# --8<-- [end:transitions]
