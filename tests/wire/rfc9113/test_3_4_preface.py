"""RFC 9113 §3.4, the connection preface: what must come first, from either side."""

import pytest

from tests.support.http2_frames import (
    PREFACE,
    SETTINGS,
    SETTINGS_ACK,
    data,
    goaway,
    ping,
    priority,
    rst_stream,
    settings,
    window_update,
)
from tests.support.reactions import BY_PROTOCOL, RESPONSE, Row, each, headers, judge, opened, row
from tests.support.rfc9113 import Endpoint, Role

SERVER = [
    row("preface and SETTINGS are answered", "SETTINGS, SETTINGS ACK", PREFACE + settings(), stream=0, begin=b""),
    row("frames may follow at once", "call", PREFACE + settings(), headers(1), begin=b""),
    row("an empty SETTINGS is enough", "call", headers(1), begin=PREFACE + settings()),
    row("a preface of other bytes is an error", BY_PROTOCOL, b"INVALID CONNECTION PREFACE\r\n\r\n", begin=b""),
    row("the first wrong byte is enough", BY_PROTOCOL, b"PRI * HTTP/2.0\r\n\r\nXX", begin=b""),
    row("TLS is an error", BY_PROTOCOL, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(32), begin=b""),
    row("frames without a preface are an error", BY_PROTOCOL, settings() + ping() * 2, begin=b""),
    row("HEADERS before SETTINGS are an error", BY_PROTOCOL, headers(1), begin=PREFACE),
    row("PING before SETTINGS is an error", BY_PROTOCOL, ping(), stream=0, begin=PREFACE),
    row("WINDOW_UPDATE before SETTINGS is an error", BY_PROTOCOL, window_update(0, 1), stream=0, begin=PREFACE),
    row("PRIORITY before SETTINGS is an error", BY_PROTOCOL, priority(1), begin=PREFACE),
    row("DATA before SETTINGS is an error", BY_PROTOCOL, data(1, b"x"), begin=PREFACE),
    row("RST_STREAM before SETTINGS is an error", BY_PROTOCOL, rst_stream(1), begin=PREFACE),
    row("GOAWAY before SETTINGS is an error", BY_PROTOCOL, goaway(), stream=0, begin=PREFACE),
    row("an acknowledgement before SETTINGS is an error", BY_PROTOCOL, SETTINGS_ACK, stream=0, begin=PREFACE),
]
CLIENT = [
    row("the server's SETTINGS are acknowledged", "SETTINGS ACK", settings(), stream=0, begin=b""),
    row("frames may follow at once", "head", settings(), headers(1, RESPONSE), before=(opened(),), begin=b""),
    row("HEADERS before SETTINGS are an error", BY_PROTOCOL, headers(1, RESPONSE), before=(opened(),), begin=b""),
    row("PING before SETTINGS is an error", BY_PROTOCOL, ping(), stream=0, begin=b""),
    row("WINDOW_UPDATE before SETTINGS is an error", BY_PROTOCOL, window_update(0, 1), stream=0, begin=b""),
    row("RST_STREAM before SETTINGS is an error", BY_PROTOCOL, rst_stream(1), before=(opened(),), begin=b""),
    row("an acknowledgement before SETTINGS is an error", BY_PROTOCOL, SETTINGS_ACK, stream=0, begin=b""),
    row(
        "HTTP/1.1 is an error",
        BY_PROTOCOL + " | connection FRAME_SIZE_ERROR",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        begin=b"",
    ),
    row(
        "TLS is an error",
        BY_PROTOCOL + " | connection FRAME_SIZE_ERROR",
        b"\x15\x03\x03\x00\x02\x02\x28" + bytes(9),
        begin=b"",
    ),
]


@each(SERVER)
def test_a_client_s_first_frames(row: Row) -> None:
    judge("server", row)


@each(CLIENT)
def test_a_server_s_first_frames(row: Row) -> None:
    judge("client", row)


@pytest.mark.parametrize("role", ["server", "client"])
def test_our_first_frame_is_settings_and_not_an_acknowledgement(role: Role) -> None:
    endpoint = Endpoint(role)
    assert endpoint.first.startswith(PREFACE) == (role == "client")
    assert endpoint.frames[0].name == "SETTINGS"


@pytest.mark.parametrize("role", ["server", "client"])
def test_each_settings_is_acknowledged_once_and_an_acknowledgement_never(role: Role) -> None:
    endpoint = Endpoint(role)
    endpoint.look()
    endpoint.feed(settings(), settings(), SETTINGS_ACK)
    assert [came.name for came in endpoint.frames if came.kind == SETTINGS] == ["SETTINGS ACK"] * 2
