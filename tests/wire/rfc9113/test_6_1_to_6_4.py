"""RFC 9113 §6.1 to §6.4: DATA, HEADERS, PRIORITY, RST_STREAM."""

import pytest

from tests.support.http2_frames import (
    DATA,
    END_HEADERS,
    HEADERS,
    MAX_WINDOW,
    PADDED,
    PRIORITISED,
    PRIORITY,
    RST_STREAM,
    data,
    dependency,
    frame,
    padded,
    priority,
    rst_stream,
    window_update,
)
from tests.support.reactions import (
    BY_PROTOCOL,
    BY_SIZE,
    GET,
    HALF_CLOSED,
    LIVE,
    OPEN,
    RESPONSE,
    Row,
    both_roles,
    each,
    headers,
    judge,
    opened,
    row,
    told,
)
from tests.support.rfc9113 import Endpoint, Role

PRIORITY_SIZE = "stream FRAME_SIZE_ERROR"
BROKEN = f"{BY_SIZE} | {BY_PROTOCOL}"  # Too short for its flags; both sections apply.

EITHER = [
    # §6.1
    row("DATA on stream 0", BY_PROTOCOL, data(0, b"x"), stream=0),
    row("DATA are taken", "nothing", data(1, b"x"), data(1, b"y"), before=(LIVE,)),
    row("DATA with padding are taken", "nothing", data(1, b"x", padding=100), before=(LIVE,)),
    row("DATA with padding of no length", "nothing", data(1, b"x", padding=0), before=(LIVE,)),
    row("DATA of padding alone", "nothing", data(1, b"", padding=255), before=(LIVE,)),
    row("padding need not be zeros", "nothing", frame(DATA, PADDED, 1, b"\x03xyzz"), before=(LIVE,)),
    row(
        "padding as long as the payload with its length",
        BY_PROTOCOL,
        frame(DATA, PADDED, 1, b"\x05xxxx"),
        before=(LIVE,),
    ),
    row("padding longer than the payload", BY_PROTOCOL, frame(DATA, PADDED, 1, b"\xffxxxx"), before=(LIVE,)),
    row("padding without its length", BROKEN, frame(DATA, PADDED, 1), before=(LIVE,)),
    row(
        "padding longer than the payload, on a stream that we have reset",
        BY_PROTOCOL,
        frame(DATA, PADDED, 1, b"\xffxxxx"),
        before=(LIVE, window_update(1, MAX_WINDOW)),
    ),
    # §6.3
    row("PRIORITY on stream 0", BY_PROTOCOL, priority(0, 1), stream=0),
    row("PRIORITY of 4 bytes", PRIORITY_SIZE, frame(PRIORITY, 0, 1, bytes(4)), before=(LIVE,)),
    row("PRIORITY of 6 bytes", PRIORITY_SIZE, frame(PRIORITY, 0, 1, bytes(6)), before=(LIVE,)),
    row("PRIORITY of no bytes", PRIORITY_SIZE, frame(PRIORITY, 0, 1), before=(LIVE,)),
    # §6.4
    row("RST_STREAM on stream 0", BY_PROTOCOL, rst_stream(0), stream=0),
    row("RST_STREAM on an idle stream", BY_PROTOCOL, rst_stream(1)),
    row("RST_STREAM of 3 bytes", BY_SIZE, frame(RST_STREAM, 0, 1, bytes(3)), before=(LIVE,)),
    row("RST_STREAM of 5 bytes", BY_SIZE, frame(RST_STREAM, 0, 1, bytes(5)), before=(LIVE,)),
    row("RST_STREAM of no bytes", BY_SIZE, frame(RST_STREAM, 0, 1), before=(LIVE,)),
    row("RST_STREAM ends the call", told("CANCEL"), rst_stream(1), before=(LIVE,)),
    row("with the code it has", told("INTERNAL_ERROR"), rst_stream(1, 2), before=(LIVE,)),
]
SERVER = [
    row("DATA after a request without body", "stream STREAM_CLOSED", data(1, b"x"), before=(HALF_CLOSED,)),
    # §6.2
    row("HEADERS on stream 0", BY_PROTOCOL, headers(0), stream=0),
    row("HEADERS with padding", "call", headers(1, padding=10)),
    row("HEADERS with padding of no length", "call", headers(1, padding=0)),
    row("HEADERS with priority", "call", headers(1, depends=dependency(0))),
    row("HEADERS with padding and priority", "call", headers(1, padding=10, depends=dependency(0))),
    row("padding longer than the payload", BY_PROTOCOL, headers(1, padding=0, claimed=255)),
    row(
        "padding as long as the payload with its length",
        BY_PROTOCOL,
        frame(HEADERS, PADDED | END_HEADERS, 1, b"\x04\x82\x86\x84"),
    ),
    row("padding without its length", BROKEN, frame(HEADERS, PADDED | END_HEADERS, 1)),
    row("priority of 4 bytes", BROKEN, frame(HEADERS, PRIORITISED | END_HEADERS, 1, bytes(4))),
    row(
        "padding that takes the priority's place",
        BROKEN,
        frame(HEADERS, PADDED | PRIORITISED | END_HEADERS, 1, padded(dependency(0), 0, claimed=3)),
    ),
    row("END_STREAM ends the request", "HTTP 405", headers(1, GET, end=True)),
    # §6.3
    row("PRIORITY of wrong length on an idle stream", f"{PRIORITY_SIZE} | {BY_SIZE}", frame(PRIORITY, 0, 1, bytes(4))),
    row(
        "PRIORITY of wrong length ends no other call",
        PRIORITY_SIZE,
        frame(PRIORITY, 0, 1, b"x"),
        before=(OPEN, headers(3)),
    ),
]
CLIENT = [
    row("HEADERS on stream 0", BY_PROTOCOL, headers(0, RESPONSE), before=(opened(),), stream=0),
    row("HEADERS with padding", "head", headers(1, RESPONSE, padding=10), before=(opened(),)),
    row(
        "padding longer than the payload",
        BY_PROTOCOL,
        headers(1, RESPONSE, padding=0, claimed=255),
        before=(opened(),),
    ),
    row("padding without its length", BROKEN, frame(HEADERS, PADDED | END_HEADERS, 1), before=(opened(),)),
]


@both_roles
@each(EITHER)
def test_data_priority_and_resets(role: Role, row: Row) -> None:
    judge(role, row)


@each(SERVER)
def test_frames_of_a_client(row: Row) -> None:
    judge("server", row)


@each(CLIENT)
def test_frames_of_a_server(row: Row) -> None:
    judge("client", row)


@both_roles
@pytest.mark.parametrize("padding", [None, 0, 1, 255])
def test_the_application_gets_the_data_without_the_padding(role: Role, padding: int | None) -> None:
    endpoint = Endpoint(role)
    endpoint.feed(LIVE, data(1, b"one", padding=padding), data(1, b"two", padding=padding))
    assert endpoint.received(1) == b"onetwo"
