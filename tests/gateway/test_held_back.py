"""A path that holds requests back: the WebSocket is closed with an explanation instead of waiting forever."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio

from tests.support.gateway import RunningGateway, gateway_to, running_gateway
from tests.support.quiet_clock import QuietClock
from tests.support.raw import SETTINGS, SETTINGS_ACK, RawConnection
from tests.support.serving import LOOPBACK
from tests.support.streams import HELLO, Patient
from tests.support.websocket import Closed, open_websocket

pytestmark = pytest.mark.usefixtures("nothing_left")

TIMEOUT = 15
HELD_BACK = Closed(
    1011,
    "DEADLINE_EXCEEDED: no response began within 15 s; does a proxy on the path hold requests back until they end?",
)


@asynccontextmanager
async def gateway_to_nobody() -> AsyncIterator[RunningGateway]:
    """A gateway whose calls are accepted but never answered."""

    async def take(stream: trio.SocketStream) -> None:
        async with stream:
            connection = RawConnection(stream)
            await connection.send(SETTINGS, SETTINGS_ACK)
            await connection.listen(preface=True)

    async with trio.open_nursery() as nursery:
        listeners: list[trio.SocketListener] = await nursery.start(partial(trio.serve_tcp, take, 0, host=LOOPBACK))
        async with gateway_to(listeners[0].socket.getsockname()[1]) as gateway:
            yield gateway
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("kind", ["bidirectional", "server", "client"])
async def test_a_response_that_does_not_begin_ends_the_websocket(kind: str, clock: QuietClock) -> None:
    async with gateway_to_nobody() as gateway, open_websocket(gateway.port, f"/ws/stream/{kind}") as socket:
        await socket.send(HELLO)
        if kind == "client":
            await socket.send("")
        sent_at = trio.current_time()
        assert await socket.receive() == HELD_BACK
        assert TIMEOUT <= trio.current_time() - sent_at < TIMEOUT + 1


async def test_further_messages_give_the_response_no_more_time(clock: QuietClock) -> None:
    async with gateway_to_nobody() as gateway, open_websocket(gateway.port, "/ws/stream/bidirectional") as socket:
        await socket.send(HELLO)
        sent_at = trio.current_time()
        await trio.sleep(10)
        await socket.send(HELLO)
        assert await socket.receive() == HELD_BACK
        assert TIMEOUT <= trio.current_time() - sent_at < TIMEOUT + 1


@pytest.mark.parametrize("kind", ["bidirectional", "client"])
async def test_nothing_is_held_back_as_long_as_nothing_is_to_be_answered(kind: str, clock: QuietClock) -> None:
    async with gateway_to_nobody() as gateway, open_websocket(gateway.port, f"/ws/stream/{kind}") as socket:
        if kind == "client":
            await socket.send(HELLO)
        with trio.move_on_after(3600) as hour:
            await socket.receive()
        assert hour.cancelled_caught


async def test_a_response_that_has_begun_may_take_its_time(clock: QuietClock) -> None:
    async with (
        running_gateway([Patient()]) as gateway,
        open_websocket(gateway.port, "/ws/stream/bidirectional") as socket,
    ):
        await socket.send(HELLO)
        assert '"response":"hi"' in str(await socket.receive())
        await socket.send('{"stream_id":"a","message":"deaf"}')
        with trio.move_on_after(3600) as hour:
            await socket.receive()
        assert hour.cancelled_caught
