"""RFC 9113 §4.3 and §6.10, header blocks: one compression state for the connection, and no frame between fragments."""

from tests.support.http2_frames import (
    CONTINUATION,
    Frame,
    continuation,
    data,
    frame,
    goaway,
    ping,
    priority,
    push_promise,
    rst_stream,
    settings,
    window_update,
)
from tests.support.reactions import (
    BY_PROTOCOL,
    GET,
    HALF_CLOSED,
    LIVE,
    OPEN,
    REQUEST,
    RESPONSE,
    TRAILERS,
    Row,
    both_roles,
    cancelled,
    each,
    fragmented,
    headers,
    judge,
    opened,
    row,
)
from tests.support.rfc9113 import Endpoint, Part, Role

NEWS = ("x-news", "kept in the table")
COMPRESSION = "connection COMPRESSION_ERROR"


def begun(endpoint: Endpoint) -> bytes:
    """HEADERS of what a peer may send on stream 1 now, without END_HEADERS."""
    fields = REQUEST if endpoint.role == "server" else RESPONSE
    return headers(1, fields, complete=False)(endpoint)


def ready(endpoint: Endpoint) -> bytes:
    """A client of ours has opened a call on stream 1."""
    if endpoint.role == "client":
        endpoint.open()
    return b""


READY: Part = ready

INTERRUPTIONS: dict[str, bytes] = {
    "PRIORITY": priority(1),
    "PRIORITY of another stream": priority(3),
    "DATA": data(1, b"x"),
    "RST_STREAM": rst_stream(1),
    "SETTINGS": settings(),
    "PING": ping(),
    "GOAWAY": goaway(),
    "WINDOW_UPDATE": window_update(1, 1),
    "WINDOW_UPDATE of the connection": window_update(0, 1),
    "PUSH_PROMISE": push_promise(1, 2),
    "HEADERS": frame(1, 4, 1, b"\x88"),
    "HEADERS of another stream": frame(1, 4, 3, b"\x88"),
    "CONTINUATION of another stream": continuation(3, b"\x88"),
    "CONTINUATION of stream 0": continuation(0, b"\x88"),
    "an unknown type": frame(0x16, 0, 1, b"what?"),
    "an unknown type on stream 0": frame(0x16, 0, 0, b"what?"),
}
EITHER = [
    *(row(f"{name} within a block", BY_PROTOCOL, begun, sent, before=(READY,)) for name, sent in INTERRUPTIONS.items()),
    row("CONTINUATION of an idle stream", BY_PROTOCOL, continuation(1, b"\x82")),
    row("CONTINUATION on stream 0", BY_PROTOCOL, continuation(0, b"\x82"), stream=0),
    row("CONTINUATION after END_HEADERS", BY_PROTOCOL, continuation(1, b"\x88"), before=(LIVE,)),
    row("CONTINUATION after DATA", BY_PROTOCOL, data(1, b"x"), continuation(1, b"\x88"), before=(LIVE,)),
    row("a block that refers to nothing", COMPRESSION, headers(1, b"\xff\xff\x7f"), before=(READY,)),
    row("a block that breaks off", COMPRESSION, headers(1, b"\x40\x05ab"), before=(READY,)),
    row("trailers that break off", COMPRESSION, headers(1, b"\x40\x05ab", end=True), before=(LIVE,)),
    row("broken in a CONTINUATION", COMPRESSION, frame(1, 0, 1, b"\x88"), continuation(1, b"\x80"), before=(READY,)),
]


def some(fields: tuple[tuple[str, str], ...], *sizes: int, end: bool = False) -> Part:
    return fragmented(1, (*fields, NEWS), sizes=sizes, end=end)


SERVER = [
    row("HEADERS and one CONTINUATION", "call", some(REQUEST, 20)),
    row("many CONTINUATIONs, of a byte each", "call", some(REQUEST, *[1] * 30)),
    row("HEADERS of no length before them", "call", some(REQUEST, 0)),
    row("CONTINUATIONs of no length", "call", some(REQUEST, 9, 0, 0)),
    row("END_STREAM counts from the HEADERS", "call", some(REQUEST, 20, end=True)),
    row("what is no gRPC may be in fragments", "HTTP 405", some(GET, 3, end=True)),
    row("trailers may be in fragments", "nothing", some((("x-t", "1"),), 3, end=True), before=(OPEN,)),
    row("CONTINUATION after CONTINUATION with END_HEADERS", BY_PROTOCOL, continuation(1), before=(some(REQUEST, 20),)),
    row("CONTINUATION on a half-closed stream", BY_PROTOCOL, continuation(1), before=(HALF_CLOSED,)),
    row("END_STREAM is no flag of CONTINUATION", "call", headers(1, complete=False), frame(CONTINUATION, 5, 1)),
    # Refused and ignored blocks are decoded too, or later ones would be misread.
    row("a request that is malformed is decoded", "stream PROTOCOL_ERROR", headers(1, (*REQUEST, NEWS, ("X", "y")))),
    row("what is no gRPC is decoded", "HTTP 405", headers(1, (*GET, NEWS), end=True)),
    row(
        "HEADERS on a stream that we have reset are decoded",
        "nothing",
        headers(1, (NEWS, ("x-more", "news")), end=True),
        before=(OPEN, window_update(1, 2**31 - 1)),
    ),
    row(
        "HEADERS on a half-closed stream are decoded",
        "stream STREAM_CLOSED",
        headers(1, (NEWS,), end=True),
        before=(HALF_CLOSED,),
    ),
]
HEADED = (opened(), headers(1, RESPONSE))
CLIENT = [
    row("HEADERS and one CONTINUATION", "head", some(RESPONSE, 5), before=(opened(),)),
    row("many CONTINUATIONs, of a byte each", "head", some(RESPONSE, *[1] * 20), before=(opened(),)),
    row("CONTINUATIONs of no length", "head", some(RESPONSE, 0, 3, 0), before=(opened(),)),
    row("trailers may be in fragments", "status OK", some(TRAILERS, 3, end=True), before=HEADED),
    row(
        "trailers alone may be in fragments", "status OK", some((*RESPONSE, *TRAILERS), 3, end=True), before=(opened(),)
    ),
    row(
        "a response that is malformed is decoded",
        "stream PROTOCOL_ERROR",
        headers(1, (*RESPONSE, NEWS, ("X", "y"))),
        before=(opened(),),
    ),
    row(
        "HEADERS of a call that we have reset are decoded",
        "nothing",
        headers(1, (*RESPONSE, NEWS)),
        before=(opened(), cancelled()),
    ),
    row("informational heads are decoded", "nothing", headers(1, ((":status", "103"), NEWS)), before=(opened(),)),
]


@both_roles
@each(EITHER)
def test_blocks_to_either_role(role: Role, row: Row) -> None:
    judge(role, row)


@each(SERVER)
def test_blocks_to_a_server(row: Row) -> None:
    judge("server", row)


@each(CLIENT)
def test_blocks_to_a_client(row: Row) -> None:
    judge("client", row)


def test_our_long_header_lists_are_split_to_fit_the_peer_s_frame_size() -> None:
    endpoint = Endpoint("client")
    endpoint.look()
    endpoint.open(metadata={f"x-{number}": f"{number}&" * 200 for number in range(90)})
    kinds = [came.name for came in endpoint.frames]
    assert kinds[0] == "HEADERS"
    assert set(kinds[1:]) == {"CONTINUATION"}
    assert [complete(came) for came in endpoint.frames] == [False] * (len(kinds) - 1) + [True]
    assert endpoint.heads[1][0]["x-89"] == "89&" * 200


def complete(came: Frame) -> bool:
    return bool(came.flags & 4)
