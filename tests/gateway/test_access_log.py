"""The gateway's access log: one line for each request and WebSocket, with the request id of the server's log."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from echo.logs import open_access_log
from echo.rpc import Server
from echo.services import echo_services
from tests.support.gateway import RunningGateway, gateway_to, running_gateway
from tests.support.quiet_clock import QuietClock
from tests.support.serving import serving
from tests.support.streams import HELLO, Patient, Unhurried
from tests.support.websocket import Closed, Rejected, open_websocket

pytestmark = pytest.mark.usefixtures("nothing_left")

TRACE = "0af7651916cd43dd8448eb211c80319c"
HEADERS = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01", "x-request-id": "the-one", "x-forwarded-for": "192.0.2.1"}
BIDIRECTIONAL = "/ws/stream/bidirectional"


@asynccontextmanager
async def logging_both(**variables: str) -> AsyncIterator[RunningGateway]:
    """A gateway and its server, both with an access log in JSON."""
    server = Server(echo_services().services, access_log=open_access_log(wanted=True, log_format="json"))
    async with serving(server) as port, gateway_to(port, server, LOG_FORMAT="json", **variables) as gateway:
        yield gateway


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    found = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    return [line for line in found if line["logger"] == "echo.access"]


def websocket_line(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    return next(line for line in lines(capsys) if line["event"] == "websocket")


async def test_a_request_and_its_call_have_a_line_each_with_the_same_ids(capsys: pytest.CaptureFixture[str]) -> None:
    async with logging_both() as gateway:
        answer = await gateway.get("/grpc/hi%20there?x=1", HEADERS)
    call, request = lines(capsys)
    assert (call["event"], call["status"]) == ("call", "OK")
    assert request["event"] == "request"
    assert (request["method"], request["path"], request["status"]) == ("GET", "/grpc/hi%20there", 200)
    assert request["bytes_out"] == len(answer.body)
    assert request["forwarded_for"] == "192.0.2.1"
    assert str(request["peer"]).startswith("127.0.0.1:")
    assert isinstance(request["seconds"], float)
    for name in ("request_id", "trace_id"):
        assert call[name] == request[name] == {"request_id": "the-one", "trace_id": TRACE}[name]


async def test_a_websocket_s_line_counts_messages_and_bytes(capsys: pytest.CaptureFixture[str]) -> None:
    async with logging_both() as gateway:
        async with open_websocket(gateway.port, BIDIRECTIONAL, list(HEADERS.items())) as socket:
            received = 0
            for _ in range(3):
                await socket.send(HELLO)
                received += len(str(await socket.receive()))
            await socket.close(3000)
        logged: list[dict[str, object]] = []
        with trio.fail_after(20):
            while len(logged) < 2:  # The client hears that it is closed before either has its line.
                await trio.testing.wait_all_tasks_blocked(0.01)
                logged += lines(capsys)
    call, line = sorted(logged, key=lambda line: str(line["event"]))
    assert line["event"] == "websocket"
    assert (line["path"], line["status"], line["reason"]) == (BIDIRECTIONAL, 3000, "the client closed it")
    assert (line["messages_in"], line["messages_out"]) == (3, 3)
    assert (line["bytes_in"], line["bytes_out"]) == (3 * len(HELLO), received)
    assert (call["messages_in"], call["messages_out"]) == (3, 3)
    assert call["request_id"] == line["request_id"] == "the-one"


async def test_a_websocket_that_ends_well_is_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    async with running_gateway() as gateway, open_websocket(gateway.port, BIDIRECTIONAL) as socket:
        await socket.send("")
        assert await socket.receive() == Closed(1000, "")
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


async def test_the_reply_to_an_invalid_request_is_counted_too(capsys: pytest.CaptureFixture[str]) -> None:
    async with running_gateway(LOG_FORMAT="json") as gateway:
        async with open_websocket(gateway.port, "/ws/stream/server") as socket:
            await socket.send("not json")
            reply = str(await socket.receive())
            assert await socket.receive() == Closed(1007, "invalid message format")
        line = await ended_websocket(capsys)
    assert (line["messages_out"], line["bytes_out"]) == (1, len(reply))


async def test_a_call_that_fails_is_reported_with_its_close_and_in_the_log(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    async with logging_both() as gateway, open_websocket(gateway.port, BIDIRECTIONAL) as socket:
        await socket.send('{"message":"no stream id"}')
        assert await socket.receive() == Closed(1011, "INVALID_ARGUMENT: stream_id is required")
    line = websocket_line(capsys)
    assert (line["status"], line["reason"]) == (1011, "INVALID_ARGUMENT: stream_id is required")
    assert "closes with 1011: INVALID_ARGUMENT: stream_id is required" in caplog.text
    assert str(line["request_id"]) in caplog.text


async def test_a_refused_handshake_has_its_http_status(capsys: pytest.CaptureFixture[str]) -> None:
    async with running_gateway(LOG_FORMAT="json") as gateway:
        with pytest.raises(Rejected):
            async with open_websocket(gateway.port, BIDIRECTIONAL, [("origin", "http://evil.test")]):
                pass
    (line,) = lines(capsys)
    assert (line["event"], line["status"]) == ("websocket", 403)


async def ended_websocket(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    """Wait for a line: a client hears that it is closed before there is one."""
    with trio.fail_after(20):
        while not (logged := lines(capsys)):
            await trio.testing.wait_all_tasks_blocked(0.01)
    return logged[0]


UNMASKED, NOT_UTF8 = b"\x81\x02hi", b"\x81\x81\x00\x00\x00\x00\xff"


@pytest.mark.parametrize(("frame", "code"), [(UNMASKED, 1002), (NOT_UTF8, 1007)])
async def test_a_client_that_breaks_the_protocol_is_logged_with_the_code_that_it_got(
    frame: bytes, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running_gateway(LOG_FORMAT="json") as gateway, open_websocket(gateway.port, BIDIRECTIONAL) as socket:
        await socket.stream.send_all(frame)
        closed = await socket.receive()
        assert isinstance(closed, Closed)
        assert closed.code == code
        line = await ended_websocket(capsys)
    assert (line["status"], line["reason"]) == (code, f"the client broke the protocol: {closed.reason}")


async def test_a_client_that_leaves_without_a_close_frame_is_logged_as_such(capsys: pytest.CaptureFixture[str]) -> None:
    async with running_gateway(LOG_FORMAT="json") as gateway:
        async with open_websocket(gateway.port, BIDIRECTIONAL):
            pass
        line = await ended_websocket(capsys)
    assert (line["status"], line["reason"]) == (1006, "the client left without a close frame")


async def test_a_client_that_is_dropped_for_its_silence_is_logged_as_such(
    capsys: pytest.CaptureFixture[str], clock: QuietClock
) -> None:
    async with running_gateway(LOG_FORMAT="json") as gateway, open_websocket(gateway.port, BIDIRECTIONAL) as socket:
        async for _ in socket.stream:
            pass
    line = websocket_line(capsys)
    assert (line["status"], line["reason"]) == (1006, "dropped: the client showed no sign of life for 60 s")


async def test_a_client_that_is_dropped_as_it_reads_nothing_is_logged_as_such(
    capsys: pytest.CaptureFixture[str], clock: QuietClock
) -> None:
    service = Patient()
    async with (
        running_gateway([service], LOG_FORMAT="json", HTTP_PING_INTERVAL="off") as gateway,
        open_websocket(gateway.port, "/ws/stream/server", buffer=4096) as socket,
    ):
        await socket.send(HELLO)
        await service.ended.wait()
    line = websocket_line(capsys)
    assert (line["status"], line["reason"]) == (1006, "dropped: the client read nothing for 60 s")


async def test_calls_by_connect_are_requests_too(capsys: pytest.CaptureFixture[str]) -> None:
    async with running_gateway(LOG_FORMAT="json") as gateway:
        target = "/com.gopay.echo.Server/GetReply?connect=v1&encoding=json&message=%7B%7D"
        assert (await gateway.get(target)).status == 200
    (line,) = lines(capsys)
    assert (line["path"], line["status"]) == ("/com.gopay.echo.Server/GetReply", 200)


async def test_a_client_that_leaves_is_told_of(capsys: pytest.CaptureFixture[str], clock: QuietClock) -> None:
    async with running_gateway([Unhurried()], LOG_FORMAT="json") as gateway:
        async with await trio.open_tcp_stream("127.0.0.1", gateway.port) as stream:
            await stream.send_all(b"GET /grpc/100 HTTP/1.1\r\nHost: x\r\nX-Request-Id: the-one\r\n\r\n")
            await trio.sleep(1)
        await trio.sleep(1)
    (line,) = lines(capsys)
    assert line["reason"] == "the client left before the response was complete"
    assert line["request_id"] == "the-one"  # It leads to the call in the server's log.
    assert "status" not in line


async def test_it_can_be_turned_off(capsys: pytest.CaptureFixture[str]) -> None:
    async with running_gateway(LOG_FORMAT="json", ACCESS_LOG="off") as gateway:
        assert (await gateway.get("/grpc/hi")).status == 200
    assert lines(capsys) == []
