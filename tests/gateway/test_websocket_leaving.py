"""Clients that leave a WebSocket, politely or not: what becomes of the call on each route."""

import pytest
import trio

from tests.gateway.streaming import BIDIRECTIONAL, CLIENT, SERVER, Recorder, hello
from tests.support.gateway import running_gateway
from tests.support.leaks import settles
from tests.support.quiet_clock import QuietClock
from tests.support.websocket import open_websocket

pytestmark = pytest.mark.usefixtures("nothing_left")


@pytest.mark.parametrize("politely", [True, False])
async def test_leaving_bidirectional_cancels_the_call(politely: bool) -> None:
    recorder = Recorder()
    async with running_gateway([recorder]) as gateway:
        async with open_websocket(gateway.port, BIDIRECTIONAL) as socket:
            await recorder.started.wait()
            if politely:
                await socket.close()
        await recorder.cancelled.wait()
        assert not recorder.completed.is_set()
        await settles(lambda: gateway.server.calls, 0, "calls")


@pytest.mark.parametrize("politely", [True, False])
async def test_leaving_server_cancels_the_call(politely: bool) -> None:
    recorder = Recorder()
    async with running_gateway([recorder]) as gateway:
        async with open_websocket(gateway.port, SERVER) as socket:
            await socket.send(hello())
            await socket.receive()
            if politely:
                await socket.close()
        await recorder.cancelled.wait()


@pytest.mark.parametrize("politely", [True, False])
async def test_leaving_client_ends_its_side_and_the_call_completes(politely: bool) -> None:
    recorder = Recorder()
    async with running_gateway([recorder]) as gateway:
        async with open_websocket(gateway.port, CLIENT) as socket:
            await socket.send(hello("one"))
            await socket.send(hello("two"))
            if politely:
                await socket.close()
        await recorder.completed.wait()
        assert recorder.received == ["one", "two"]
        assert not recorder.cancelled.is_set()


async def test_a_client_that_left_does_not_hold_its_call_forever(clock: QuietClock) -> None:
    recorder = Recorder()
    async with running_gateway([recorder], GRPC_CLIENT_TIMEOUT="30s") as gateway:
        async with open_websocket(gateway.port, CLIENT) as socket:
            await socket.send(hello("hang"))
            await recorder.arrived.wait()
        left_at = trio.current_time()
        await recorder.cancelled.wait()
        assert 30 <= trio.current_time() - left_at < 31


async def test_leaving_before_the_first_message_of_server_opens_no_call() -> None:
    recorder = Recorder()
    async with running_gateway([recorder]) as gateway:
        async with open_websocket(gateway.port, SERVER):
            pass
        async with open_websocket(gateway.port, BIDIRECTIONAL) as socket:
            await socket.send(hello())
            await socket.receive()
        assert gateway.server.connections == 1
