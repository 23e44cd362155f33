"""RFC 9113 §4.1 and §4.2, the frame format and the size of frames."""

from tests.support.http2_frames import (
    DATA,
    GOAWAY,
    HEADERS,
    MAX_FRAME,
    PING,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    data,
    frame,
    settings,
)
from tests.support.reactions import (
    BY_SIZE,
    LIVE,
    OPEN,
    RESPONSE,
    TRAILERS,
    Row,
    both_roles,
    each,
    headers,
    judge,
    opened,
    row,
    told,
)
from tests.support.rfc9113 import Role

UNKNOWN = 0x16
RESERVED = 1 << 31
TOO_MUCH = bytes(MAX_FRAME + 1)

EITHER = [
    # §4.1
    row("unknown types are ignored on the connection", "nothing", frame(UNKNOWN, 0, 0, b"what?"), stream=0),
    row("unknown types are ignored on an idle stream", "nothing", frame(UNKNOWN, 0, 101, b"what?"), stream=101),
    row("unknown types are ignored on an open stream", "nothing", frame(UNKNOWN, 0xFF, 1, b"?"), before=(LIVE,)),
    row("unknown types of no length are ignored", "nothing", frame(0xFF, 0, 0), stream=0),
    row("undefined flags of PING are ignored", "PING ACK", frame(PING, 0xFE, 0, bytes(8)), stream=0),
    row("undefined flags of DATA are ignored", "nothing", frame(DATA, 0xF6, 1, b"x"), before=(LIVE,)),
    row("undefined flags of WINDOW_UPDATE are ignored", "nothing", frame(WINDOW_UPDATE, 0xFF, 0, b"\0\0\0\1")),
    row("undefined flags of SETTINGS are ignored", "SETTINGS ACK", frame(SETTINGS, 0xFE, 0), stream=0),
    row("undefined flags of PRIORITY are ignored", "nothing", frame(PRIORITY, 0xFF, 1, bytes(5)), before=(LIVE,)),
    row("undefined flags of RST_STREAM", told("CANCEL"), frame(RST_STREAM, 0xFF, 1, b"\0\0\0\x08"), before=(LIVE,)),
    row("undefined flags of GOAWAY", "nothing", frame(GOAWAY, 0xFF, 0, bytes(8)), stream=0, alive="ping"),
    row("the reserved bit of PING is ignored", "PING ACK", frame(PING, 0, RESERVED, bytes(8)), stream=0),
    row("the reserved bit of DATA is ignored", "nothing", frame(DATA, 0, RESERVED | 1, b"x"), before=(LIVE,)),
    # §4.2
    row("DATA of 16,384 bytes are taken", "nothing", data(1, bytes(MAX_FRAME)), before=(LIVE,)),
    row(
        "larger DATA are an error",
        BY_SIZE + " | stream FRAME_SIZE_ERROR",
        data(1, TOO_MUCH),
        before=(LIVE,),
    ),
    row("larger HEADERS are an error of the connection", BY_SIZE, frame(HEADERS, 4, 1, TOO_MUCH), before=(LIVE,)),
    row("larger SETTINGS are an error of the connection", BY_SIZE, frame(SETTINGS, 0, 0, bytes(16_386)), stream=0),
    row("larger PING is an error of the connection", BY_SIZE, frame(PING, 0, 0, TOO_MUCH), stream=0),
    row("larger GOAWAY is an error of the connection", BY_SIZE, frame(GOAWAY, 0, 0, TOO_MUCH), stream=0),
    row("larger frames of unknown types are an error", BY_SIZE, frame(UNKNOWN, 0, 0, TOO_MUCH), stream=0),
    row(
        "what is too large is so by its header alone",
        BY_SIZE,
        frame(DATA, 0, 1, length=2**24 - 1),
        before=(LIVE,),
    ),
    row(
        "whatever MAX_FRAME_SIZE the peer announces, ours counts",
        BY_SIZE + " | stream FRAME_SIZE_ERROR",
        data(1, TOO_MUCH),
        before=(LIVE, settings((5, 2**24 - 1))),
    ),
]
SERVER = [
    row("undefined flags of HEADERS are ignored", "call", headers(1, flags=0xD2)),
    row("the reserved bit of HEADERS is ignored", "call", headers(RESERVED | 1)),
    row("DATA of no length are taken", "nothing", data(1), before=(OPEN,)),
]
CLIENT = [
    row("undefined flags of HEADERS are ignored", "head", headers(1, RESPONSE, flags=0xD2), before=(opened(),)),
    row("the reserved bit of HEADERS is ignored", "head", headers(RESERVED | 1, RESPONSE), before=(opened(),)),
    row(
        "so it is on trailers",
        "status OK",
        headers(RESERVED | 1, TRAILERS, end=True),
        before=(opened(), headers(1, RESPONSE)),
    ),
]


@both_roles
@each(EITHER)
def test_frames_to_either_role(role: Role, row: Row) -> None:
    judge(role, row)


@each(SERVER)
def test_frames_to_a_server(row: Row) -> None:
    judge("server", row)


@each(CLIENT)
def test_frames_to_a_client(row: Row) -> None:
    judge("client", row)
