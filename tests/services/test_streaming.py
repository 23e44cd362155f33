"""The streaming echoes, as the contract has them. Time is virtual: nothing waits, and seconds are exact."""

import time
import tracemalloc

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from echo.pb.com.gopay.echo.streaming import StreamMessage, StreamResponse
from echo.rpc import Cardinality
from tests.support.streaming_echo import BIDI, CLIENT, SERVER, echo, received

# BidirectionalStream


async def test_bidirectional_answers_each_message_at_once_and_ends_with_the_client() -> None:
    async with echo() as server, server.call(BIDI) as stream:
        for number, text in enumerate(["hi", "", "Grüße 🌍"], 1):
            before = time.time_ns()
            await stream.send_message(StreamMessage(stream_id="a", sequence_number=70, timestamp=7, message=text))
            response = await received(stream)
            assert before <= response.timestamp <= time.time_ns()
            response.timestamp = 0
            assert response == StreamResponse(
                stream_id="a", sequence_number=number, response=f"from server: {text}", success=True
            )
        await stream.end()
        assert await stream.recv_message() is None


async def test_bidirectional_without_a_message_ends_with_ok() -> None:
    async with echo() as server, server.call(BIDI) as stream:
        await stream.send_request(end=True)
        assert await stream.recv_message() is None
        await stream.recv_trailing_metadata()


async def test_bidirectional_counts_each_call_from_one_and_names_the_stream_of_each_message() -> None:
    async with echo() as server, server.call(BIDI) as one, server.call(BIDI) as other:
        for stream, stream_id, number in ((one, "a", 1), (one, "b", 2), (other, "a", 1), (one, "a", 3)):
            await stream.send_message(StreamMessage(stream_id=stream_id))
            response = await received(stream)
            assert (response.stream_id, response.sequence_number) == (stream_id, number)


@given(texts=st.lists(st.text(), max_size=20))
async def test_bidirectional_echoes_any_texts_in_order(texts: list[str]) -> None:
    async with echo() as server, server.call(BIDI) as stream:
        await stream.send_request()
        for text in texts:
            await stream.send_message(StreamMessage(stream_id="a", message=text))
        await stream.end()
        assert [response.response async for response in stream] == [f"from server: {text}" for text in texts]


@pytest.mark.parametrize("kind", [CLIENT, BIDI], ids=lambda kind: kind.name.lower())
async def test_an_idle_stream_keeps_nothing_of_its_last_message(kind: Cardinality) -> None:
    size = 200_000
    message = StreamMessage(stream_id="a", message="x" * size)
    async with echo() as server, server.call(kind) as stream:
        await stream.send_message(StreamMessage(stream_id="a"))
        await trio.testing.wait_all_tasks_blocked()
        tracemalloc.start()
        try:
            await stream.send_message(message)
            if kind is BIDI:
                await received(stream)
                await received(stream)
            await trio.testing.wait_all_tasks_blocked()
            assert tracemalloc.get_traced_memory()[0] < size
        finally:
            tracemalloc.stop()


# ServerStream


async def test_server_stream_echoes_five_times_a_second_apart(autojump_clock: trio.testing.MockClock) -> None:
    async with echo() as server, server.call(SERVER) as stream:
        started = trio.current_time()
        await stream.send_message(StreamMessage(stream_id="a", sequence_number=70, message="hi"))
        for number in range(1, 6):
            before = time.time_ns()
            response = await received(stream)
            assert trio.current_time() - started == number - 1
            assert before <= response.timestamp <= time.time_ns()
            response.timestamp = 0
            assert response == StreamResponse(
                stream_id="a", sequence_number=number, response=f"from server: hi (echo {number}/5)", success=True
            )
        assert await stream.recv_message() is None
        assert trio.current_time() - started == 4  # No wait after the last.


async def test_server_streams_run_side_by_side(autojump_clock: trio.testing.MockClock) -> None:
    async with echo() as server:
        started = trio.current_time()
        async with trio.open_nursery() as nursery:

            async def call() -> None:
                async with server.call(SERVER) as stream:
                    await stream.send_message(StreamMessage(stream_id="a"))
                    assert len([response async for response in stream]) == 5

            for _ in range(10):
                nursery.start_soon(call)
        assert trio.current_time() - started == 4


# ClientStream


@pytest.mark.parametrize("count", [1, 2, 100])
async def test_client_stream_sums_up_at_half_close(count: int) -> None:
    async with echo() as server, server.call(CLIENT) as stream:
        for number in range(count):
            await stream.send_message(StreamMessage(stream_id=f"stream {number}", sequence_number=70, message="hi"))
        await trio.testing.wait_all_tasks_blocked()
        assert server.server.calls == 1  # It waits for more, or for the end.
        before = time.time_ns()
        await stream.end()
        summary = await received(stream)
        assert before <= summary.timestamp <= time.time_ns()
        summary.timestamp = 0
        assert summary == StreamResponse(
            stream_id="stream 0",
            sequence_number=count,
            response=f"from server: received {count} messages",
            success=True,
        )


async def test_client_stream_of_no_messages_has_a_summary_without_a_stream_id() -> None:
    async with echo() as server, server.call(CLIENT) as stream:
        await stream.send_request(end=True)
        summary = await received(stream)
        assert summary.timestamp
        summary.timestamp = 0
        assert summary == StreamResponse(response="from server: received 0 messages", success=True)
