"""A peer that does not speak HTTP/2 is recognised, on either side, however its bytes are cut."""

import pytest
from hyperframe.frame import GoAwayFrame

from echo.wire.frames import PREFACE, ErrorCode
from echo.wire.preface import MAX_LINE
from tests.support.pair import Client, ConnectionFailed, Server, frames, settings

SETTINGS = b"\0\0\x18\x04"  # How our own begin.
GRPC = "this port speaks gRPC (HTTP/2)"
TO_A_SERVER = {
    b"GET /grpc/hi HTTP/1.1\r\nHost: x\r\n\r\n": f"the request 'GET /grpc/hi' arrived as HTTP/1.1, {GRPC}",
    b"POST /s/m HTTP/1.0\r\n\r\n": f"the request 'POST /s/m' arrived as HTTP/1.0, {GRPC}",
    b"GET /?token=secret HTTP/1.1\n\n": f"the request 'GET /' arrived as HTTP/1.1, {GRPC}",
    b"PROPFIND /\x1b[31m\xff HTTP/1.1\r\n": f"the request 'PROPFIND /\\x1b[31mÿ' arrived as HTTP/1.1, {GRPC}",
    b"PUT /%b HTTP/1.1\r\n" % (b"a" * 4000): f"the request 'PUT /{'a' * 75}' arrived as HTTP/1.1, {GRPC}",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03": "the client speaks TLS, this port speaks plain text",
    b"SSH-2.0-OpenSSH_9.6\r\n": "the client does not speak HTTP/2: it began with b'SSH-2.0-",
    b"HELO mail.test\r\n": "the client does not speak HTTP/2: it began with b'HELO mail.test\\r\\n'",
    b"PRI * HTTP/2.0\r\n\r\nXX": "the client does not speak HTTP/2",
    b"A" * 40: "the client does not speak HTTP/2",
    b"GET /" + b"a" * (MAX_LINE + 10): "the client does not speak HTTP/2",
    PREFACE + b"\0\0\x08\x06\0\0\0\0\0" + bytes(8): "the client's first frame is not SETTINGS",
}
TO_A_CLIENT = {
    b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n": (
        "it answered in HTTP/1 ('HTTP/1.1 400 Bad Request'), where HTTP/2 was expected"
    ),
    b"\x15\x03\x01\x00\x02\x02\x46": "it speaks TLS but was called in plain text",
    b"220 mail.test ESMTP ready\r\n": "it does not speak HTTP/2: it began with b'220 mail.test ESMTP read'",
}


def failure_of(side: Client | Server, data: bytes, size: int) -> ConnectionFailed:
    for start in range(0, len(data), size):
        for event in side.receive(data[start : start + size]):
            assert isinstance(event, ConnectionFailed)
            return event
    raise AssertionError("it was taken for HTTP/2")


@pytest.mark.parametrize("size", [10_000, 9, 1])
@pytest.mark.parametrize("data", TO_A_SERVER, ids=range(len(TO_A_SERVER)))
def test_a_server_reports_which_protocol_its_client_speaks(data: bytes, size: int) -> None:
    failure = failure_of(Server(), data, size)
    assert failure.error_code == ErrorCode.PROTOCOL_ERROR
    expected = TO_A_SERVER[data]
    assert failure.reason.startswith(expected if size > 9 else expected.partition(":")[0])
    assert failure.foreign == (data[: len(PREFACE)] != PREFACE)


def test_a_client_that_waits_after_a_few_wrong_bytes_is_refused_at_once() -> None:
    assert failure_of(Server(), b"PRI\0", 1).foreign


@pytest.mark.parametrize("size", [10_000, 9])
@pytest.mark.parametrize("data", TO_A_CLIENT)
def test_a_client_reports_which_protocol_its_server_speaks(data: bytes, size: int) -> None:
    client = Client()
    client.start()
    failure = failure_of(client, data, size)
    assert failure.error_code == ErrorCode.PROTOCOL_ERROR
    assert failure.foreign
    assert failure.reason.startswith(TO_A_CLIENT[data].split(" (")[0][:40])
    if size > len(data):
        assert failure.reason == TO_A_CLIENT[data]


ANSWER = (
    b"HTTP/1.1 505 HTTP Version Not Supported\r\n"
    b"content-type: text/plain; charset=utf-8\r\n"
    b"content-length: 152\r\n"
    b"grpc-message: This port speaks gRPC (HTTP/2); the request arrived as HTTP/1.0."
    b" A proxy in front of it has to forward HTTP/2 (nginx: grpc_pass instead of proxy_pass).\r\n"
    b"connection: close\r\n\r\n"
)
TEXT = (
    b"This port speaks gRPC (HTTP/2); the request arrived as HTTP/1.0."
    b" A proxy in front of it has to forward HTTP/2 (nginx: grpc_pass instead of proxy_pass).\n"
)


@pytest.mark.parametrize("size", [1_000, 1])
@pytest.mark.parametrize(("method", "body"), [(b"POST", TEXT), (b"HEAD", b"")])
def test_http1_is_answered_only_in_http1(method: bytes, body: bytes, size: int) -> None:
    server = Server()
    failure_of(server, method + b" /s/m HTTP/1.0\r\nHost: x\r\n\r\n", size)
    assert server.take_output() == ANSWER.replace(b"152", b"%d" % len(body)) + body


def test_the_answer_s_length_is_right() -> None:
    assert b"content-length: %d\r\n" % len(TEXT) in ANSWER


@pytest.mark.parametrize("said", ["nothing", "GOAWAY"])
def test_a_server_sends_nothing_before_the_client_s_preface_or_its_own_first_frame(said: str) -> None:
    server = Server()
    if said == "GOAWAY":
        server.goaway()
        server.ping(bytes(8))
    assert (SETTINGS in server.take_output()) == (said == "GOAWAY")
    server.receive(PREFACE + settings({}))
    assert (SETTINGS in server.take_output()) == (said == "nothing")


def test_http1_after_our_settings_is_refused_in_http2() -> None:
    server = Server()
    server.goaway(last_stream_id=1)
    server.take_output()
    failure_of(server, b"GET / HTTP/1.1\r\n\r\n", 1_000)
    (goaway,) = frames(server.take_output())
    assert isinstance(goaway, GoAwayFrame)
    assert b"arrived as HTTP/1.1" in goaway.additional_data


@pytest.mark.parametrize("size", [1, 5, 1_000])
def test_http2_is_accepted_however_it_is_split(size: int) -> None:
    for side, begin in ((Server(), PREFACE + settings({})), (Client(), settings({}))):
        events = [event for start in range(0, len(begin), size) for event in side.receive(begin[start : start + size])]
        assert [type(event).__name__ for event in events] == ["SettingsReceived"]
