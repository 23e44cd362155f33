"""The WebSocket routes over real sockets: every row of the contract's tables."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from itertools import pairwise

import pytest
import trio
import trio.testing

from echo.pb.com.gopay.echo.streaming import StreamingServerBase, StreamMessage, StreamResponse
from echo.rpc import GRPCError, Status
from tests.support.gateway import gateway_to, running_gateway
from tests.support.leaks import settles
from tests.support.quiet_clock import QuietClock
from tests.support.streams import standing_still
from tests.support.websocket import Closed, Rejected, open_websocket

BIDIRECTIONAL = "/ws/stream/bidirectional"
SERVER = "/ws/stream/server"
CLIENT = "/ws/stream/client"

INVALID = '{"stream_id":"","sequence_number":0,"timestamp":0,"response":"invalid message format","success":false}'


def hello(text: str = "hi", stream_id: str = "a") -> str:
    return json.dumps({"stream_id": stream_id, "message": text})


def without_time(text: object) -> str:
    """A response with its timestamp, which must be one of about now, set to 0; otherwise byte for byte."""
    assert isinstance(text, str)
    timestamp = json.loads(text)["timestamp"]
    assert 1_700_000_000_000_000_000 < timestamp < 4_000_000_000_000_000_000
    return text.replace(f'"timestamp":{timestamp}', '"timestamp":0')


def echoed(text: str, number: int) -> str:
    return (
        f'{{"stream_id":"a","sequence_number":{number},"timestamp":0,"response":"from server: {text}","success":true}}'
    )


class Recorder(StreamingServerBase):
    """The streaming methods, telling what their handlers see, and failing or waiting on demand."""

    def __init__(self) -> None:
        self.received: list[str] = []
        self.started = trio.Event()
        self.cancelled = trio.Event()
        self.completed = trio.Event()
        self.arrived = trio.Event()

    def _take(self, message: StreamMessage) -> None:
        self.received.append(message.message)
        self.arrived.set()
        if message.message in Status.__members__:
            raise GRPCError(Status[message.message], "é" * 100)

    @contextmanager
    def _watch(self) -> Iterator[None]:
        self.started.set()
        try:
            yield
        except (trio.Cancelled, GeneratorExit):  # The latter where the runtime closes a generator.
            self.cancelled.set()
            raise
        else:
            self.completed.set()

    async def client_stream(self, stream_message_iterator: AsyncIterator[StreamMessage]) -> StreamResponse:
        number = 0
        with self._watch():
            async for message in stream_message_iterator:
                self._take(message)
                number += 1
                if message.message == "hang":
                    await trio.sleep_forever()
        return StreamResponse(sequence_number=number, timestamp=1_750_000_000_000_000_000)

    async def server_stream(self, stream_message: StreamMessage) -> AsyncIterator[StreamResponse]:
        assert stream_message.message
        number = 0
        with self._watch():
            while True:
                number += 1
                yield StreamResponse(sequence_number=number, response="x" * 10_000)
                self.received.append(str(number))

    async def bidirectional_stream(
        self, stream_message_iterator: AsyncIterator[StreamMessage]
    ) -> AsyncIterator[StreamResponse]:
        with self._watch():
            async for message in stream_message_iterator:
                self._take(message)
                if message.message == "hang":
                    await trio.sleep_forever()
                yield StreamResponse(response=message.message)


pytestmark = pytest.mark.usefixtures("nothing_left")


# The three routes


async def test_bidirectional_answers_each_message_as_it_comes() -> None:
    async with running_gateway() as gateway, open_websocket(gateway.port, BIDIRECTIONAL) as socket:
        for number in range(1, 4):
            await socket.send(hello(f"<é✓ {number}>"))
            assert without_time(await socket.receive()) == echoed(f"<é✓ {number}>", number)


async def test_server_sends_five_echoes_a_second_apart_and_closes(clock: QuietClock) -> None:
    async with running_gateway() as gateway, open_websocket(gateway.port, SERVER) as socket:
        await socket.send(hello())
        times = []
        for number in range(1, 6):
            assert without_time(await socket.receive()) == echoed(f"hi (echo {number}/5)", number)
            times.append(trio.current_time())
        assert await socket.receive() == Closed(1000)
        assert trio.current_time() - times[-1] < 0.5
        assert all(1 <= later - earlier < 1.5 for earlier, later in pairwise(times))


@pytest.mark.parametrize("half_close", ["", b"", '{"half_close":true}', b'{"half_close":true}'])
async def test_client_sends_the_summary_at_half_close_and_closes(half_close: str | bytes) -> None:
    async with running_gateway() as gateway, open_websocket(gateway.port, CLIENT) as socket:
        for _ in range(3):
            await socket.send(hello())
        await socket.send(half_close)
        assert without_time(await socket.receive()) == echoed("received 3 messages", 3)
        assert await socket.receive() == Closed(1000)


async def test_client_sends_a_summary_of_nothing_too() -> None:
    async with running_gateway() as gateway, open_websocket(gateway.port, CLIENT) as socket:
        await socket.send("")
        assert '"response":"from server: received 0 messages"' in str(await socket.receive())
        assert await socket.receive() == Closed(1000)


@pytest.mark.parametrize("half_close", ["", b"", '{"half_close":true}'])
async def test_bidirectional_half_close_lets_responses_come_and_closes(half_close: str | bytes) -> None:
    async with running_gateway() as gateway, open_websocket(gateway.port, BIDIRECTIONAL) as socket:
        for number in range(10):
            await socket.send(hello(str(number)))
        await socket.send(half_close)
        for number in range(10):
            assert without_time(await socket.receive()) == echoed(str(number), number + 1)
        assert await socket.receive() == Closed(1000)


async def test_a_binary_message_is_taken_like_a_text_one() -> None:
    async with running_gateway() as gateway, open_websocket(gateway.port, BIDIRECTIONAL) as socket:
        await socket.send(hello().encode())
        assert without_time(await socket.receive()) == echoed("hi", 1)


# Events and what the client gets


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


async def test_messages_after_the_half_close_are_told_to_be_none() -> None:
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


@pytest.mark.parametrize(
    ("variables", "origin", "accepted"),
    [
        ({}, "http://gateway.test", True),
        ({}, "http://evil.test", False),
        ({}, "null", False),
        ({"HTTP_ALLOWED_ORIGINS": "https://app.test"}, "https://app.test", True),
        ({"HTTP_ALLOWED_ORIGINS": "https://app.test"}, "https://other.test", False),
        ({"HTTP_ALLOWED_ORIGINS": "*"}, "https://other.test", True),
    ],
)
async def test_origins_are_checked_before_the_upgrade(variables: dict[str, str], origin: str, accepted: bool) -> None:
    async with running_gateway(None, limits=None, **variables) as gateway:
        if accepted:
            async with open_websocket(gateway.port, BIDIRECTIONAL, [("Origin", origin)]) as socket:
                await socket.send(hello())
                assert without_time(await socket.receive()) == echoed("hi", 1)
        else:
            with pytest.raises(Rejected) as rejected:
                async with open_websocket(gateway.port, BIDIRECTIONAL, [("Origin", origin)]):
                    pass
            assert rejected.value.status == 403


async def test_a_malformed_deadline_is_refused_before_the_upgrade() -> None:
    async with running_gateway() as gateway:
        with pytest.raises(Rejected) as rejected:
            async with open_websocket(gateway.port, BIDIRECTIONAL, [("Grpc-Timeout", "soon")]):
                pass
        assert rejected.value.status == 400
        assert b'"status":"INVALID_ARGUMENT"' in rejected.value.body


async def test_unknown_routes_are_refused_before_the_upgrade() -> None:
    async with running_gateway() as gateway:
        with pytest.raises(Rejected) as rejected:
            async with open_websocket(gateway.port, "/ws/stream/nothing"):
                pass
        assert rejected.value.status == 404


async def test_a_deadline_ends_the_call(clock: QuietClock) -> None:
    recorder = Recorder()
    async with (
        running_gateway([recorder]) as gateway,
        open_websocket(gateway.port, BIDIRECTIONAL, [("Grpc-Timeout", "1H")]) as socket,
    ):
        assert await socket.receive() == Closed(1011, "DEADLINE_EXCEEDED: the deadline passed")
        await recorder.cancelled.wait()


async def test_the_request_id_comes_back_with_the_upgrade() -> None:
    async with (
        running_gateway() as gateway,
        open_websocket(gateway.port, BIDIRECTIONAL, [("X-Request-Id", "mine")]) as socket,
    ):
        assert socket.headers["x-request-id"] == "mine"


# Clients that leave


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


async def test_a_client_that_left_does_not_hold_its_call_for_ever(clock: QuietClock) -> None:
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


# Backpressure


async def test_a_client_that_does_not_read_stops_the_server_and_misses_nothing() -> None:
    recorder = Recorder()
    async with running_gateway([recorder]) as gateway, open_websocket(gateway.port, SERVER) as socket:
        await socket.send(hello())
        await recorder.started.wait()
        # Until the socket's buffers, the windows and ours are full.
        sent = await standing_still(lambda: len(recorder.received))
        assert sent * 10_000 < 16_000_000
        numbers = [json.loads(str(await socket.receive()))["sequence_number"] for _ in range(sent + 100)]
        assert numbers == list(range(1, sent + 101))
