"""What comes back for every status and every kind of text, and which origins may ask, as a second client sees it.

That is the `websockets` library for WebSockets and h2 for requests; `test_websockets` and `test_http` use the first.
"""

import json
from collections.abc import AsyncIterator
from functools import partial
from typing import Final

import pytest
import trio
import trio.testing
from grpclib.const import Cardinality, Handler
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from echo.contract import HTTP_STATUS
from echo.pb.com.gopay.echo import Message, Response
from echo.pb.com.gopay.echo.streaming import StreamingServerBase, StreamMessage, StreamResponse
from echo.rpc import GRPCError, ServerStream, Status
from tests.support.gateway import RunningGateway, running_gateway
from tests.support.http2 import open_http2
from tests.support.quiet_clock import QuietClock
from tests.support.websocket import Closed, open_websocket

pytestmark = pytest.mark.usefixtures("nothing_left")

ROUTE: Final = "/ws/stream/bidirectional"
PATIENCE: Final = 20.0


class Failing(StreamingServerBase):
    """Fails with the status, and the text, that a message asks for."""

    async def bidirectional_stream(
        self, stream_message_iterator: AsyncIterator[StreamMessage]
    ) -> AsyncIterator[StreamResponse]:
        async for message in stream_message_iterator:
            yield StreamResponse(
                stream_id=message.stream_id,
                sequence_number=message.sequence_number,
                timestamp=message.timestamp,
                response=message.message,
                success=True,
            )
            if message.stream_id in Status.__members__:
                raise GRPCError(Status[message.stream_id], message.message)

    async def client_stream(self, stream_message_iterator: AsyncIterator[StreamMessage]) -> StreamResponse:
        async for message in stream_message_iterator:
            raise GRPCError(Status[message.stream_id], message.message)
        return StreamResponse()

    async def server_stream(self, stream_message: StreamMessage) -> AsyncIterator[StreamResponse]:
        yield StreamResponse(success=True)
        raise GRPCError(Status[stream_message.stream_id], stream_message.message)


def end_of(port: int, route: str, message: dict[str, object]) -> tuple[int, str]:
    """How the `websockets` library sees a WebSocket closed whose first message was this."""
    with connect(f"ws://127.0.0.1:{port}/ws/stream/{route}") as client:
        try:
            client.send(json.dumps(message))
            while True:
                client.recv(timeout=PATIENCE)
        except ConnectionClosed as closed:
            assert closed.rcvd is not None
            return closed.rcvd.code, closed.rcvd.reason


@pytest.mark.parametrize("route", ["bidirectional", "server", "client"])
async def test_every_status_that_is_an_error_closes_1011_with_its_name(route: str) -> None:
    async with running_gateway([Failing()]) as gateway:
        for status in Status:
            if status is not Status.OK:
                message: dict[str, object] = {"stream_id": status.name, "message": "sañd so"}
                closed = await trio.to_thread.run_sync(end_of, gateway.port, route, message)
                assert closed == (1011, f"{status.name}: sañd so")


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.OK])
async def test_every_status_has_its_code_over_http2(status: Status) -> None:
    class Refusing:
        def __mapping__(self) -> dict[str, Handler]:
            return {"/com.gopay.echo.Server/GetReply": Handler(self.serve, Cardinality.UNARY_UNARY, Message, Response)}

        async def serve(self, stream: ServerStream[Message, Response]) -> None:
            await stream.recv_message()
            raise GRPCError(status, "said <so>")

    async with running_gateway([Refusing()]) as gateway, open_http2(gateway.port) as connection:
        http_status, body = await connection.get("/grpc/x")
        assert http_status == HTTP_STATUS[status]
        assert body.decode() == f'{{"code":{status.value},"status":"{status.name}","message":"said <so>"}}'


@pytest.mark.parametrize("character", ["x", "é", "€", "𝄞"])
async def test_a_reason_is_cut_at_123_bytes_on_a_character_boundary(character: str) -> None:
    async with running_gateway([Failing()]) as gateway:
        for ahead in range(4):  # So that the cut comes at each byte of the character.
            text = "x" * ahead + character * 200
            message: dict[str, object] = {"stream_id": "ABORTED", "message": text}
            code, reason = await trio.to_thread.run_sync(end_of, gateway.port, "bidirectional", message)
            assert code == 1011
            assert f"ABORTED: {text}".startswith(reason)
            assert 123 - len(character.encode()) < len(reason.encode()) <= 123


TOP, BOTTOM = 2**63 - 1, -(2**63)


@pytest.mark.parametrize(
    ("sent", "received"),
    [
        ("{}", '{"stream_id":"","sequence_number":0,"timestamp":0,"response":"","success":true}'),
        (
            '{"stream_id":"a","sequence_number":1,"timestamp":2,"message":"hi"}',
            '{"stream_id":"a","sequence_number":1,"timestamp":2,"response":"hi","success":true}',
        ),
        (
            ' { "message" : "<&>\\u2028é" , "extra" : [ 1 , { } ] , "streamId" : "a" , "sequenceNumber" : "7" } ',
            '{"stream_id":"a","sequence_number":7,"timestamp":0,"response":"<&>\u2028é","success":true}',
        ),
        (
            f'{{"sequence_number":{TOP},"timestamp":{BOTTOM}}}',
            f'{{"stream_id":"","sequence_number":{TOP},"timestamp":{BOTTOM},"response":"","success":true}}',
        ),
        (
            f'{{"sequence_number":"{BOTTOM}","timestamp":"{TOP}"}}',
            f'{{"stream_id":"","sequence_number":{BOTTOM},"timestamp":{TOP},"response":"","success":true}}',
        ),
        (
            '{"message":"\\"\\\\\\n\\t\\u0000\\ud834\\udd1e"}',
            '{"stream_id":"","sequence_number":0,"timestamp":0,"response":"\\"\\\\\\n\\t\\u0000𝄞","success":true}',
        ),
    ],
)
async def test_json_in_and_out_byte_for_byte(sent: str, received: str) -> None:
    def talk(port: int) -> list[object]:
        with connect(f"ws://127.0.0.1:{port}{ROUTE}") as client:
            answers: list[object] = []
            for message in (sent, sent.encode()):
                client.send(message)
                answers.append(client.recv(timeout=PATIENCE))
            return answers

    async with running_gateway([Failing()]) as gateway:
        assert await trio.to_thread.run_sync(talk, gateway.port) == [received, received]
        async with open_websocket(gateway.port, ROUTE) as socket:
            await socket.send(sent)
            assert await socket.receive() == received


@pytest.mark.parametrize(
    "sent",
    [
        "null",
        "[]",
        '"text"',
        '{"stream_id":1}',
        '{"message":null,"stream_id":[]}',
        '{"sequence_number":1.5}',
        '{"sequence_number":true}',
        f'{{"sequence_number":{TOP + 1}}}',
        f'{{"timestamp":"{BOTTOM - 1}"}}',
        '{"timestamp":"1e3"}',
        '{"message":"\\ud834"}',
        '{"half_close":"yes"}',
        '{"stream_id":"a"',
        '{"stream_id":"a"}}',
        "{'stream_id':'a'}",
        "[" * 100_000,
    ],
    ids=lambda sent: sent[:32],
)
async def test_what_is_no_message_is_told_and_harms_nothing(sent: str) -> None:
    def talk(port: int) -> list[object]:
        with connect(f"ws://127.0.0.1:{port}{ROUTE}") as client:
            answers: list[object] = []
            for message in (sent, sent.encode(), "{}"):
                client.send(message)
                answers.append(json.loads(client.recv(timeout=PATIENCE))["response"])
            return answers

    async with running_gateway([Failing()]) as gateway:
        told = "invalid message format"
        assert await trio.to_thread.run_sync(talk, gateway.port) == [told, told, ""]


async def test_a_deadline_that_passes_closes_1011(clock: QuietClock) -> None:
    async with (
        running_gateway([Failing()]) as gateway,
        open_websocket(gateway.port, ROUTE, [("Grpc-Timeout", "500m")]) as socket,
    ):
        opened_at = trio.current_time()
        assert await socket.receive() == Closed(1011, "DEADLINE_EXCEEDED: the deadline passed")
        assert 0.5 <= trio.current_time() - opened_at < 1


@pytest.mark.parametrize(
    ("variables", "headers", "status"),
    [
        ({}, {}, 101),
        ({}, {"Origin": "http://127.0.0.1:PORT"}, 101),
        ({}, {"Origin": "HTTP://127.0.0.1:PORT"}, 101),
        ({}, {"Origin": "http://127.0.0.1:1"}, 403),
        ({}, {"Origin": "https://127.0.0.1:PORT"}, 403),
        ({}, {"Origin": "https://127.0.0.1:PORT", "X-Forwarded-Proto": "https"}, 101),
        ({}, {"Origin": "null"}, 403),
        ({}, {"Origin": "http://127.0.0.1:PORT.evil.test"}, 403),
        ({"HTTP_ALLOWED_ORIGINS": "https://app.test,https://b.test"}, {"Origin": "https://b.test"}, 101),
        ({"HTTP_ALLOWED_ORIGINS": "https://app.test"}, {"Origin": "https://app.test.evil.test"}, 403),
        ({"HTTP_ALLOWED_ORIGINS": "https://app.test"}, {"Origin": "http://127.0.0.1:PORT"}, 101),
        ({"HTTP_ALLOWED_ORIGINS": "*"}, {"Origin": "https://evil.test"}, 101),
    ],
)
async def test_origins(variables: dict[str, str], headers: dict[str, str], status: int) -> None:
    def handshake(gateway: RunningGateway) -> int:
        given = {name: value.replace("PORT", str(gateway.port)) for name, value in headers.items()}
        try:
            with connect(f"ws://127.0.0.1:{gateway.port}{ROUTE}", additional_headers=given):
                return 101
        except InvalidStatus as refused:
            return refused.response.status_code

    async with running_gateway([Failing()], limits=None, **variables) as gateway:
        assert await trio.to_thread.run_sync(partial(handshake, gateway)) == status
