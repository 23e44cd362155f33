"""RFC 9113 §6.7 and §6.8: PING and GOAWAY."""

import pytest

from echo.wire.events import GoAwayReceived
from tests.support.http2_frames import GOAWAY, PING, frame, goaway, ping, rst_stream
from tests.support.reactions import (
    BY_PROTOCOL,
    BY_SIZE,
    LIVE,
    OPEN,
    RESPONSE,
    TRAILERS,
    Row,
    both_roles,
    drained,
    each,
    headers,
    judge,
    opened,
    row,
)
from tests.support.rfc9113 import Endpoint, Role

EITHER = [
    row("PING is answered", "PING ACK", ping(), stream=0),
    row("an answer to PING is not", "nothing", ping(ack=True), stream=0),
    row("PING on a stream", BY_PROTOCOL, frame(PING, 0, 1, bytes(8)), before=(LIVE,), stream=0),
    row("PING of 7 bytes", BY_SIZE, frame(PING, 0, 0, bytes(7)), stream=0),
    row("PING of 9 bytes", BY_SIZE, frame(PING, 0, 0, bytes(9)), stream=0),
    row("PING of no bytes", BY_SIZE, frame(PING, 0, 0), stream=0),
    row("an answer of 6 bytes", BY_SIZE, frame(PING, 1, 0, bytes(6)), stream=0),
    row("GOAWAY on a stream", BY_PROTOCOL, frame(GOAWAY, 0, 1, bytes(8)), before=(LIVE,), stream=0),
    row("GOAWAY of 7 bytes", BY_SIZE, frame(GOAWAY, 0, 0, bytes(7)), stream=0),
    row("GOAWAY of no bytes", BY_SIZE, frame(GOAWAY, 0, 0), stream=0),
    row("GOAWAY", "nothing", goaway(), stream=0, alive="ping"),
    row("GOAWAY with debug data", "nothing", goaway(1, 0, b"\xff\0 bye"), before=(LIVE,), stream=0, alive="ping"),
    row("GOAWAY for an error", "nothing", goaway(1, 11, b"calm"), before=(LIVE,), stream=0, alive="ping"),
    row("GOAWAY twice", "nothing", goaway(2**31 - 1), goaway(1), before=(LIVE,), stream=0, alive="ping"),
]
# The application decides about calls above the last stream; frames that the server still sends on them do no harm.
ABOVE = "nothing | head | told REFUSED_STREAM | told NO_ERROR | status UNAVAILABLE"
CLIENT = [
    row(
        "a call below the last stream goes on",
        "head",
        goaway(1),
        headers(1, RESPONSE),
        before=(opened(),),
        alive="ping",
    ),
    row(
        "and ends",
        "status OK",
        goaway(1),
        headers(1, TRAILERS, end=True),
        before=(opened(), headers(1, RESPONSE)),
        alive="ping",
    ),
    row("HEADERS on a call above it", ABOVE, headers(1, RESPONSE), before=(opened(), goaway(0)), alive="ping"),
    row("in one go", ABOVE, goaway(0), headers(1, RESPONSE), before=(opened(),), alive="ping"),
    row(
        "a whole answer to a call above it",
        f"{ABOVE} | status OK",
        goaway(0),
        headers(1, (*RESPONSE, *TRAILERS), end=True),
        before=(opened(),),
        alive="ping",
    ),
    row(
        "RST_STREAM on a call above it",
        "nothing | told REFUSED_STREAM | status UNAVAILABLE",
        goaway(0),
        rst_stream(1, 7),
        before=(opened(),),
        alive="ping",
    ),
    row("a last stream that was never opened", "nothing", goaway(99), before=(opened(),), stream=0, alive="ping"),
    row("a last stream that is the server's own", f"nothing | {BY_PROTOCOL}", goaway(98), stream=0, alive="ping"),
    row(
        "a last stream that grows",
        f"nothing | {BY_PROTOCOL}",
        goaway(1),
        goaway(3),
        before=(opened(), opened()),
        stream=0,
        alive="ping",
    ),
    row("an error of GOAWAY 2^31-1", "nothing", goaway(2**31 - 1, 2), before=(opened(),), stream=0, alive="ping"),
]
SERVER = [
    row("calls go on after a client's GOAWAY", "nothing", goaway(), before=(OPEN,), alive="ping"),
    row("whatever stream it names", "nothing", goaway(2**31 - 1), before=(OPEN,), alive="ping"),
    # nghttpx does so; §6.8 lets us discard frames above the last stream, so that the calls below it go on.
    row("RST_STREAM above our last stream", "nothing", rst_stream(3), before=(LIVE, drained()), stream=3, alive="ping"),
    row("though not on a stream of ours", BY_PROTOCOL, rst_stream(2), before=(LIVE, drained()), stream=2),
    row(
        "though not as a flood",
        "connection ENHANCE_YOUR_CALM",
        *(rst_stream(stream) for stream in range(3, 4_003, 2)),
        before=(LIVE, drained()),
        stream=3,
    ),
]


@both_roles
@each(EITHER)
def test_ping_and_goaway(role: Role, row: Row) -> None:
    judge(role, row)


@each(CLIENT)
def test_goaway_of_a_server(row: Row) -> None:
    judge("client", row)


@each(SERVER)
def test_goaway_of_a_client(row: Row) -> None:
    judge("server", row)


@both_roles
@pytest.mark.parametrize("payload", [bytes(8), b"\xff" * 8, b"12345678"])
def test_an_answer_to_ping_has_the_same_payload(role: Role, payload: bytes) -> None:
    endpoint = Endpoint(role)
    endpoint.look()
    endpoint.feed(ping(payload))
    assert [came.payload for came in endpoint.frames] == [payload]


@both_roles
def test_the_reserved_bit_of_the_last_stream_is_ignored(role: Role) -> None:
    endpoint = Endpoint(role)
    endpoint.feed(LIVE)
    endpoint.look()
    endpoint.feed(frame(GOAWAY, 0, 0, b"\x80\0\0\1\0\0\0\x0bcalm"))
    (event,) = endpoint.events
    assert isinstance(event, GoAwayReceived)
    assert (event.last_stream_id, event.error_code, event.debug_data) == (1, 11, b"calm")
