"""The streaming echoes, as the contract has them. Time is virtual: nothing waits, and seconds are exact."""

import time
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing
from grpclib.events import SendInitialMetadata, listen
from hypothesis import given
from hypothesis import strategies as st

from echo.pb.com.gopay.echo.streaming import StreamMessage, StreamResponse
from echo.rpc import Cardinality, Channel, ClientStream, GRPCError, Server, Status
from echo.rpc.testing import memory_channel_to
from echo.services import StreamingEchoService
from tests.support.http2_frames import data
from tests.support.raw import raw_client
from tests.support.serving import serving
from tests.support.target import request

CLIENT = Cardinality.STREAM_UNARY
SERVER = Cardinality.UNARY_STREAM
BIDI = Cardinality.STREAM_STREAM

PATHS = {
    CLIENT: "/com.gopay.echo.streaming.StreamingServer/ClientStream",
    SERVER: "/com.gopay.echo.streaming.StreamingServer/ServerStream",
    BIDI: "/com.gopay.echo.streaming.StreamingServer/BidirectionalStream",
}
ALL = pytest.mark.parametrize("kind", list(PATHS), ids=lambda kind: kind.name.lower())
TAKING_MANY = pytest.mark.parametrize("kind", [CLIENT, BIDI], ids=lambda kind: kind.name.lower())

Stream = ClientStream[StreamMessage, StreamResponse]


class Echo:
    """A server in memory, and a channel to it."""

    def __init__(self, server: Server, channel: Channel) -> None:
        self.server = server
        self.channel = channel

    def call(self, kind: Cardinality, *, timeout: float | None = None) -> Stream:
        return self.channel.request(PATHS[kind], kind, StreamMessage, StreamResponse, timeout=timeout)


@asynccontextmanager
async def echo() -> AsyncIterator[Echo]:
    """On leaving, no call may be open on either side."""
    server = Server([StreamingEchoService()])
    async with memory_channel_to(server) as channel:
        yield Echo(server, channel)
        await trio.testing.wait_all_tasks_blocked()
        assert (channel.calls, server.calls) == (0, 0)


async def received(stream: Stream) -> StreamResponse:
    response = await stream.recv_message()
    assert response is not None
    return response


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


# All of them: what ends a call early


@ALL
async def test_a_message_without_a_stream_id_ends_the_call(kind: Cardinality) -> None:
    async with echo() as server:
        with pytest.raises(GRPCError) as raised:
            async with server.call(kind, timeout=5) as stream:
                await stream.send_message(StreamMessage(sequence_number=1, timestamp=1, message="hi"))
                await stream.recv_message()
        assert (raised.value.status, raised.value.message) == (Status.INVALID_ARGUMENT, "stream_id is required")


@TAKING_MANY
async def test_a_later_message_without_a_stream_id_ends_the_call_too(kind: Cardinality) -> None:
    async with echo() as server:
        with pytest.raises(GRPCError) as raised:
            async with server.call(kind, timeout=5) as stream:
                await stream.send_message(StreamMessage(stream_id="a"))
                await stream.send_message(StreamMessage())
                if kind is BIDI:
                    assert (await received(stream)).sequence_number == 1
                await stream.recv_message()
        assert (raised.value.status, raised.value.message) == (Status.INVALID_ARGUMENT, "stream_id is required")


async def test_the_deadline_passes_between_two_echoes(autojump_clock: trio.testing.MockClock) -> None:
    async with echo() as server:
        started = trio.current_time()
        numbers = []
        with pytest.raises(GRPCError) as raised:
            async with server.call(SERVER, timeout=2.5) as stream:
                await stream.send_message(StreamMessage(stream_id="a"))
                while True:
                    numbers.append((await received(stream)).sequence_number)
        assert raised.value.status is Status.DEADLINE_EXCEEDED
        assert numbers == [1, 2, 3]
        assert trio.current_time() - started == 2.5
        await trio.testing.wait_all_tasks_blocked()
        assert server.server.calls == 0


@TAKING_MANY
async def test_the_deadline_passes_while_the_service_waits_for_a_message(
    kind: Cardinality, autojump_clock: trio.testing.MockClock
) -> None:
    async with echo() as server:
        started = trio.current_time()
        with pytest.raises(GRPCError) as raised:
            async with server.call(kind, timeout=3) as stream:
                await stream.send_message(StreamMessage(stream_id="a"))
                if kind is BIDI:
                    await received(stream)
                await stream.recv_message()
        assert raised.value.status is Status.DEADLINE_EXCEEDED
        assert trio.current_time() - started == 3


@ALL
async def test_a_client_that_cancels_ends_the_service_s_work_without_delay(
    kind: Cardinality, mock_clock: trio.testing.MockClock
) -> None:
    async with echo() as server, server.call(kind) as stream:
        await stream.send_message(StreamMessage(stream_id="a"))
        if kind is not CLIENT:
            await received(stream)
        await trio.testing.wait_all_tasks_blocked()
        assert server.server.calls == 1  # It waits for a message, or a second that does not pass.
        await stream.cancel()
        await trio.testing.wait_all_tasks_blocked()
        assert server.server.calls == 0


@ALL
async def test_a_client_that_vanishes_ends_the_service_s_work_without_delay(
    kind: Cardinality, mock_clock: trio.testing.MockClock
) -> None:
    server = Server([StreamingEchoService()])
    async with memory_channel_to(server) as channel:
        with pytest.raises(GRPCError) as raised:
            async with Echo(server, channel).call(kind) as stream:
                await stream.send_message(StreamMessage(stream_id="a"))
                if kind is not CLIENT:
                    await received(stream)
                await trio.testing.wait_all_tasks_blocked()
                assert server.calls == 1
                channel.close()
                await trio.testing.wait_all_tasks_blocked()
                assert (server.calls, server.connections) == (0, 0)
                await stream.recv_message()
        assert raised.value.status is Status.UNAVAILABLE


# The head of the response


@ALL
async def test_a_call_is_announced_before_its_first_response(kind: Cardinality) -> None:
    async with echo() as ours, ours.call(kind) as stream:
        await stream.send_request()
        with trio.fail_after(20):
            await stream.recv_initial_metadata()
        assert stream.initial_metadata is not None
        await stream.cancel()


async def test_the_head_can_be_waited_for_while_another_task_waits_for_messages() -> None:
    async with echo() as ours, ours.call(BIDI) as stream:
        replies: list[str] = []

        async def receive() -> None:
            replies.extend([reply.response async for reply in stream])

        await stream.send_request()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            with trio.fail_after(20):
                await stream.recv_initial_metadata()
            await stream.send_message(StreamMessage(stream_id="a", message="hi"))
            await stream.end()
        assert replies == ["from server: hi"]


async def test_a_call_that_fails_before_its_handler_waits_is_answered_by_trailers_alone() -> None:
    server = Server([StreamingEchoService()])
    async with serving(server) as port, raw_client(port) as client:
        empty = data(1, b"\0\0\0\0\0", end=True)
        await client.send(client.head(1, request(PATHS[BIDI])) + empty)
        (head,) = (await client.heard(1)).heads
        assert (head[":status"], head["grpc-message"]) == ("200", "stream_id is required")


async def test_the_head_leaves_with_a_first_response_that_is_made_at_once() -> None:
    server = Server([StreamingEchoService()])
    async with serving(server) as port, raw_client(port) as client:
        await client.send(client.head(1, request(PATHS[BIDI])) + data(1, b"\0\0\0\0\3\x0a\1a"))
        await client.until(lambda: 1 in client.streams and client.streams[1].data)
        assert client.streams[1].heads == [
            {":status": "200", "content-type": "application/grpc", "grpc-accept-encoding": "identity,gzip"}
        ]


async def test_listeners_to_the_head_of_a_response_are_asked_before_it_is_announced() -> None:
    async def add(event: SendInitialMetadata) -> None:
        event.metadata["added"] = "by a listener"

    async with echo() as ours:
        listen(ours.server, SendInitialMetadata, add)
        async with ours.call(BIDI) as stream:
            await stream.send_request()
            await stream.recv_initial_metadata()
            assert stream.initial_metadata == {"added": "by a listener"}
            await stream.cancel()
