"""Who speaks something other than HTTP/2 is named for it, whichever side it is, and wherever its bytes are cut."""

import pytest

from echo.wire.frames import PREFACE, ErrorCode
from tests.support.pair import Client, ConnectionFailed, Server, settings

TO_A_SERVER = {
    b"GET /grpc/hi HTTP/1.1\r\nHost: x\r\n\r\n": "the client speaks HTTP/1.1 ('GET /grpc/hi HTTP/1.1')",
    b"POST / HTTP/1.1\r\n\r\n": "the client speaks HTTP/1.1",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03": "the client speaks TLS, this port does not",
    b"SSH-2.0-OpenSSH_9.6\r\n": "the client does not speak HTTP/2",
    PREFACE + b"\0\0\x08\x06\0\0\0\0\0" + bytes(8): "first frame is not SETTINGS",
}
TO_A_CLIENT = {
    b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n": "the server speaks HTTP/1.1 ('HTTP/1.1 400 Bad Request')",
    b"\x15\x03\x01\x00\x02\x02\x46": "the server speaks TLS, this client does not",
    b"220 mail.test ESMTP ready\r\n": "the server does not speak HTTP/2",
}


def failure_of(side: Client | Server, data: bytes, size: int) -> ConnectionFailed:
    side.start()
    for start in range(0, len(data), size):
        for event in side.receive(data[start : start + size]):
            assert isinstance(event, ConnectionFailed)
            return event
    raise AssertionError("it was taken for HTTP/2")


@pytest.mark.parametrize("size", [1_000, 9])
@pytest.mark.parametrize("data", TO_A_SERVER)
def test_a_server_names_what_its_client_speaks(data: bytes, size: int) -> None:
    failure = failure_of(Server(), data, size)
    assert failure.error_code == ErrorCode.PROTOCOL_ERROR
    if size > len(data) or b"HTTP" not in data:
        assert TO_A_SERVER[data] in failure.reason


@pytest.mark.parametrize("size", [1_000, 9])
@pytest.mark.parametrize("data", TO_A_CLIENT)
def test_a_client_names_what_its_server_speaks(data: bytes, size: int) -> None:
    failure = failure_of(Client(), data, size)
    assert failure.error_code == ErrorCode.PROTOCOL_ERROR
    assert TO_A_CLIENT[data].split(" (")[0] in failure.reason


@pytest.mark.parametrize("size", [1, 5, 1_000])
def test_http2_is_taken_however_it_is_cut(size: int) -> None:
    for side, begin in ((Server(), PREFACE + settings({})), (Client(), settings({}))):
        side.start()
        events = [event for start in range(0, len(begin), size) for event in side.receive(begin[start : start + size])]
        assert [type(event).__name__ for event in events] == ["SettingsReceived"]
