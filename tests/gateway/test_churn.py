"""Many sockets that come and go at random: every handler soon notices, and nothing is left over."""

import random
import statistics
from collections.abc import AsyncIterator

import pytest
import trio

from echo.pb.com.gopay.echo.streaming import StreamingServerBase, StreamMessage, StreamResponse
from tests.support.gateway import running_gateway
from tests.support.leaks import settles
from tests.support.quiet_clock import QuietClock
from tests.support.websocket import WebSocket, open_websocket

pytestmark = pytest.mark.usefixtures("nothing_left")

ROUNDS = 3
SOCKETS = 100


class Doorman(StreamingServerBase):
    """Echoes, and notes when each handler ended, by the text of its first message."""

    def __init__(self) -> None:
        self.left_at: dict[str, float] = {}

    async def bidirectional_stream(
        self, stream_message_iterator: AsyncIterator[StreamMessage]
    ) -> AsyncIterator[StreamResponse]:
        name = ""
        try:
            async for message in stream_message_iterator:
                name = name or message.message
                yield StreamResponse(response=message.message)
        finally:
            self.left_at[name] = trio.current_time()


async def leave(socket: WebSocket, how: int) -> None:
    if how == 0:
        await socket.close()
    elif how == 1:
        await socket.reset()
    elif how == 2:
        await socket.stream.send_eof()
    elif how == 3:
        await socket.stream.send_all(b"\xff\xff\xff")
    # Else it just goes.


async def test_every_drop_is_noticed_and_nothing_is_left(clock: QuietClock) -> None:
    doorman, chance, dropped_at = Doorman(), random.Random(1), dict[str, float]()

    async def client(port: int, name: str) -> None:
        async with open_websocket(port, "/ws/stream/bidirectional") as socket:
            for _ in range(chance.randrange(1, 4)):
                await socket.send(f'{{"stream_id":"a","message":"{name}"}}')
                assert f'"response":"{name}"' in str(await socket.receive())
                for _ in range(chance.randrange(20)):
                    await trio.lowlevel.checkpoint()
            dropped_at[name] = trio.current_time()
            await leave(socket, chance.randrange(5))

    async with running_gateway([doorman]) as gateway:
        for number in range(ROUNDS):
            async with trio.open_nursery() as nursery:
                for index in range(SOCKETS):
                    nursery.start_soon(client, gateway.port, f"{number}-{index}")
        await settles(lambda: gateway.server.calls, 0, "calls")
        assert doorman.left_at.keys() == dropped_at.keys()
        assert statistics.median(doorman.left_at[name] - dropped_at[name] for name in dropped_at) < 0.1
