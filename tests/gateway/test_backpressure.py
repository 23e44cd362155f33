"""Backpressure end to end: an end that does not read holds up the other, with a bounded number of bytes in between.

Over HTTP/2 these bytes are bounded by the windows of the gateway and the server: a few hundred KiB. Over HTTP/1.1 the
kernel's buffers come on top, each of which may grow to some MiB.
"""

import json
import math
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final, Protocol

import pytest
import trio

from echo.pb.com.gopay.echo.streaming import StreamingServerBase, StreamMessage, StreamResponse
from tests.support.gateway import running_gateway
from tests.support.http2 import open_http2, websocket_over
from tests.support.quiet_clock import QuietClock
from tests.support.streams import HELLO, Patient, standing_still
from tests.support.websocket import Closed, open_websocket

pytestmark = pytest.mark.usefixtures("nothing_left")

KIB: Final = 1024
PAYLOAD: Final = 10_000  # Bytes of a message, in both directions.


class Client(Protocol):
    """Either kind of client."""

    async def send(self, message: str | bytes) -> None: ...

    async def receive(self) -> str | Closed: ...


Opened = Callable[[int, str], AbstractAsyncContextManager[Client]]


@asynccontextmanager
async def over_http1(port: int, target: str) -> AsyncIterator[Client]:
    async with open_websocket(port, target, buffer=4096) as socket:
        yield socket


@asynccontextmanager
async def over_http2(port: int, target: str) -> AsyncIterator[Client]:
    async with open_http2(port) as http2:
        yield await websocket_over(http2, target)


# The most that may lie between two ends, one of which does not read: what the windows, the outbox and one message for
# each hand it goes through add up to; and the kernel's share, as `tcp_wmem` and `tcp_rmem` usually stand.
BETWEEN: Final = 512 * KIB
both = pytest.mark.parametrize(
    ("opened", "most"),
    [
        pytest.param(over_http1, BETWEEN + 12 * 1024 * KIB, id="HTTP/1.1"),
        pytest.param(over_http2, BETWEEN, id="HTTP/2"),
    ],
)


async def test_a_response_that_the_kernel_takes_in_part_is_sent_to_its_end_without_another(clock: QuietClock) -> None:
    async with running_gateway() as gateway, over_http1(gateway.port, "/ws/stream/bidirectional") as client:
        await client.send(json.dumps({"stream_id": "a", "message": "x" * 4_000_000}))
        assert len(str(await client.receive())) > 4_000_000
        assert trio.current_time() < 20  # The next ping would take it along.


@both
async def test_a_client_that_does_not_read_stops_the_handler_and_then_misses_nothing(opened: Opened, most: int) -> None:
    service = Patient()
    async with running_gateway([service]) as gateway, opened(gateway.port, "/ws/stream/server") as client:
        await client.send(HELLO)
        await service.started.wait()
        expected = 1
        for _ in range(3):  # It stops, it goes on where it was, it stops again.
            sent = await service.stands_still()
            assert 0 < (sent - expected) * PAYLOAD < most
            for _ in range(sent - expected + 20):
                assert json.loads(str(await client.receive()))["sequence_number"] == expected
                expected += 1


class Sleeper(StreamingServerBase):
    """Takes one message and no more, until it is woken; then says which ones came."""

    def __init__(self) -> None:
        self.awake = trio.Event()

    async def bidirectional_stream(
        self, stream_message_iterator: AsyncIterator[StreamMessage]
    ) -> AsyncIterator[StreamResponse]:
        async for message in stream_message_iterator:
            await self.awake.wait()
            yield StreamResponse(sequence_number=message.sequence_number)


@both
async def test_a_handler_that_does_not_read_stops_the_client_and_then_misses_nothing(opened: Opened, most: int) -> None:
    service, sent, last = Sleeper(), 0, math.inf
    async with running_gateway([service]) as gateway, opened(gateway.port, "/ws/stream/bidirectional") as client:

        async def send() -> None:
            nonlocal sent
            while sent < last:
                await client.send(json.dumps({"sequence_number": sent + 1, "message": "x" * PAYLOAD}))
                sent += 1
            await client.send("")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            stuck = await standing_still(lambda: sent)
            assert 0 < stuck * PAYLOAD < most
            last = stuck + 100
            service.awake.set()
        numbers = [json.loads(str(await client.receive()))["sequence_number"] for _ in range(sent)]
        assert numbers == list(range(1, sent + 1))
        assert await client.receive() == Closed(1000)


@both
async def test_a_writer_that_is_held_up_holds_up_nobody_else(opened: Opened, most: int) -> None:
    service = Patient()
    async with running_gateway([service]) as gateway, opened(gateway.port, "/ws/stream/server") as held:
        await held.send(HELLO)
        await service.stands_still()
        async with opened(gateway.port, "/ws/stream/bidirectional") as other:
            for _ in range(100):
                await other.send(HELLO)
                assert '"response":"hi"' in str(await other.receive())
