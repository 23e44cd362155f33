"""What a WebSocket's client gets for messages that are invalid or too large, and for calls that fail."""

from collections.abc import AsyncIterator

import pytest

from echo.pb.com.gopay.echo.streaming import StreamingServerBase, StreamMessage, StreamResponse
from tests.gateway.streaming import BIDIRECTIONAL, CLIENT, INVALID, SERVER, Recorder, echoed, hello, without_time
from tests.support.gateway import gateway_to, running_gateway
from tests.support.quiet_clock import QuietClock
from tests.support.websocket import Closed, open_websocket

pytestmark = pytest.mark.usefixtures("nothing_left")


async def test_invalid_json_is_told_and_the_stream_goes_on() -> None:
    async with running_gateway() as gateway:
        async with open_websocket(gateway.port, BIDIRECTIONAL) as socket:
            for _ in range(3):
                await socket.send("nonsense")
                assert await socket.receive() == INVALID
            await socket.send(hello())
            assert without_time(await socket.receive()) == echoed("hi", 1)
        async with open_websocket(gateway.port, CLIENT) as socket:
            await socket.send(hello())
            await socket.send("nonsense")
            assert await socket.receive() == INVALID
            await socket.send("")
            assert without_time(await socket.receive()) == echoed("received 1 messages", 1)


@pytest.mark.parametrize("first", ["nonsense", "", '{"half_close":true}'])
async def test_invalid_json_on_server_is_told_and_closes_1007(first: str) -> None:
    async with running_gateway() as gateway, open_websocket(gateway.port, SERVER) as socket:
        await socket.send(first)
        assert await socket.receive() == INVALID
        closed = await socket.receive()
        assert isinstance(closed, Closed)
        assert closed.code == 1007


async def test_messages_after_the_half_close_are_answered_as_invalid() -> None:
    async with running_gateway([Recorder()]) as gateway, open_websocket(gateway.port, BIDIRECTIONAL) as socket:
        await socket.send(hello("hang"))
        await socket.send("")
        await socket.send("")
        await socket.send(hello("late"))
        assert await socket.receive() == INVALID


@pytest.mark.parametrize("target", [BIDIRECTIONAL, CLIENT])
async def test_a_call_that_fails_closes_1011_with_its_status(target: str) -> None:
    async with running_gateway() as gateway, open_websocket(gateway.port, target) as socket:
        await socket.send('{"message":"no stream id"}')
        assert await socket.receive() == Closed(1011, "INVALID_ARGUMENT: stream_id is required")


async def test_the_server_route_too_closes_1011_with_the_status() -> None:
    async with running_gateway() as gateway, open_websocket(gateway.port, SERVER) as socket:
        await socket.send("{}")
        assert await socket.receive() == Closed(1011, "INVALID_ARGUMENT: stream_id is required")


async def test_a_long_reason_is_cut_on_a_character_boundary() -> None:
    async with running_gateway([Recorder()]) as gateway, open_websocket(gateway.port, BIDIRECTIONAL) as socket:
        await socket.send(hello("RESOURCE_EXHAUSTED"))
        assert await socket.receive() == Closed(1011, "RESOURCE_EXHAUSTED: " + "é" * 51)


async def test_a_handler_s_bug_is_internal_and_says_nothing() -> None:
    class Buggy(StreamingServerBase):
        async def bidirectional_stream(
            self, stream_message_iterator: AsyncIterator[StreamMessage]
        ) -> AsyncIterator[StreamResponse]:
            async for message in stream_message_iterator:
                yield StreamResponse(response=message.message)
                raise RuntimeError("secret")

    async with running_gateway([Buggy()]) as gateway, open_websocket(gateway.port, BIDIRECTIONAL) as socket:
        await socket.send(hello())
        await socket.receive()
        assert await socket.receive() == Closed(1011, "INTERNAL: internal server error")


@pytest.mark.parametrize("target", [BIDIRECTIONAL, CLIENT, SERVER])
async def test_an_unreachable_backend_closes_1011(target: str) -> None:
    async with gateway_to(1) as gateway, open_websocket(gateway.port, target) as socket:
        if target == SERVER:
            await socket.send(hello())
        assert await socket.receive() == Closed(1011, "gRPC connection failed")


@pytest.mark.parametrize("target", [BIDIRECTIONAL, CLIENT, SERVER])
async def test_a_message_over_the_limit_closes_1009(target: str) -> None:
    async with (
        running_gateway(GRPC_MAX_MESSAGE_SIZE="100KiB") as gateway,
        open_websocket(gateway.port, target) as socket,
    ):
        await socket.send(hello("x" * 200_000))
        closed = await socket.receive()
        assert isinstance(closed, Closed)
        assert closed.code == 1009


async def test_a_response_over_the_limit_is_resource_exhausted() -> None:
    async with (
        running_gateway([Recorder()], GRPC_MAX_MESSAGE_SIZE="5KiB") as gateway,
        open_websocket(gateway.port, SERVER) as socket,
    ):
        await socket.send(hello())
        closed = await socket.receive()
        assert isinstance(closed, Closed)
        assert closed.code == 1011
        assert closed.reason.startswith("RESOURCE_EXHAUSTED: ")


async def test_a_fault_of_the_gateway_s_own_closes_1011(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr("echo.gateway.routes.relay", fail)
    async with running_gateway() as gateway:
        async with open_websocket(gateway.port, BIDIRECTIONAL) as socket:
            assert await socket.receive() == Closed(1011, "INTERNAL: the gateway failed")
        assert "secret" in caplog.text
        assert (await gateway.get("/healthz")).status == 200


async def test_a_deadline_ends_the_call(clock: QuietClock) -> None:
    recorder = Recorder()
    async with (
        running_gateway([recorder]) as gateway,
        open_websocket(gateway.port, BIDIRECTIONAL, [("Grpc-Timeout", "1H")]) as socket,
    ):
        assert await socket.receive() == Closed(1011, "DEADLINE_EXCEEDED: the deadline passed")
        await recorder.cancelled.wait()
