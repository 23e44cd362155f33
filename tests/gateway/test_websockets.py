"""The three WebSocket routes over real sockets: messages, half-close, and a client that does not read."""

import json
from itertools import pairwise

import pytest
import trio

from tests.gateway.streaming import BIDIRECTIONAL, CLIENT, SERVER, Recorder, echoed, hello, without_time
from tests.support.gateway import running_gateway
from tests.support.quiet_clock import QuietClock
from tests.support.streams import standing_still
from tests.support.websocket import Closed, open_websocket

pytestmark = pytest.mark.usefixtures("nothing_left")


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


async def test_what_follows_the_request_on_server_is_ignored(clock: QuietClock) -> None:
    async with running_gateway() as gateway, open_websocket(gateway.port, SERVER) as socket:
        for message in (hello(), hello("another"), "not json", ""):
            await socket.send(message)
        for number in range(1, 6):
            assert without_time(await socket.receive()) == echoed(f"hi (echo {number}/5)", number)
        assert await socket.receive() == Closed(1000)


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
