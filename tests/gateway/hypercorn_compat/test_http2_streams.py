"""WebSockets that share a connection of HTTP/2 with each other and with requests."""

import json
from collections.abc import AsyncIterator

import pytest
import trio

from echo.gateway.hypercorn_compat import PATIENCE
from echo.pb.com.gopay.echo.streaming import StreamingServerBase, StreamMessage, StreamResponse
from tests.support.gateway import running_gateway
from tests.support.http2 import open_http2, websocket_over
from tests.support.quiet_clock import QuietClock, quiet
from tests.support.streams import HELLO, Patient

pytestmark = pytest.mark.usefixtures("nothing_left")

BIDIRECTIONAL = "/ws/stream/bidirectional"


@pytest.mark.slow
async def test_two_websockets_live_through_thousands_of_requests() -> None:
    async with running_gateway() as gateway, open_http2(gateway.port) as http2:
        sockets = [await websocket_over(http2, BIDIRECTIONAL) for _ in range(2)]
        for number in range(1, 11):
            for _ in range(500):
                assert await http2.get("/healthz") == (200, b"Hello!")
            for socket in sockets:
                await socket.send(HELLO)
                assert f'"sequence_number":{number}' in str(await socket.receive())


class Verbose(StreamingServerBase):
    """Sends much more than it receives."""

    async def bidirectional_stream(
        self, stream_message_iterator: AsyncIterator[StreamMessage]
    ) -> AsyncIterator[StreamResponse]:
        async for message in stream_message_iterator:
            yield StreamResponse(sequence_number=message.sequence_number, response="x" * 20_000)


async def test_answers_longer_than_their_messages_go_on(clock: QuietClock) -> None:
    async with running_gateway([Verbose()]) as gateway, open_http2(gateway.port) as http2:
        socket = await websocket_over(http2, BIDIRECTIONAL)
        for number in range(1500):  # It reads whenever it may not send.
            await socket.send(json.dumps({"sequence_number": number, "message": "y" * 200}))
        for number in range(1500):
            assert f'"sequence_number":{number},' in str(await socket.receive())
        assert trio.current_time() < PATIENCE


class Sleeper(StreamingServerBase):
    """Counts what a client stream brings, once it is woken."""

    def __init__(self) -> None:
        self.count = 0
        self.awake = trio.Event()
        self.ended = trio.Event()

    async def client_stream(self, stream_message_iterator: AsyncIterator[StreamMessage]) -> StreamResponse:
        await self.awake.wait()
        async for _ in stream_message_iterator:
            self.count += 1
        self.ended.set()
        return StreamResponse()


async def test_what_a_client_sends_before_it_leaves_arrives(clock: QuietClock) -> None:
    service, sent = Sleeper(), 0
    async with running_gateway([service]) as gateway:
        async with open_http2(gateway.port) as http2:
            socket = await websocket_over(http2, "/ws/stream/client")
            with trio.move_on_after(1):  # Until nobody takes more.
                while True:
                    await socket.send(HELLO.replace("hi", "x" * 1000))
                    sent += 1
        await trio.sleep(1)
        service.awake.set()
        await service.ended.wait()
        assert service.count == sent > 150


async def test_a_client_that_we_keep_from_answering_pings_is_not_missed(clock: QuietClock) -> None:
    service = Patient()
    async with running_gateway([service]) as gateway, open_http2(gateway.port) as http2:
        socket = await websocket_over(http2, BIDIRECTIONAL)
        await socket.send(HELLO)
        await socket.receive()
        await socket.send('{"message":"deaf"}')
        with trio.move_on_after(1):
            while True:
                await socket.send(HELLO.replace("hi", "x" * 1000))
        await trio.sleep(4 * PATIENCE)  # After 300 s, the call gives up on its server.
        await quiet()
        assert not service.ended.is_set()
