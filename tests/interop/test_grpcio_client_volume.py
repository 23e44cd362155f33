"""Large messages, many messages and many calls of a stock grpcio client at our server, compressed ones among them."""

import grpc
import pytest
import trio

from echo.rpc import Cardinality, Limits
from tests.interop.from_grpcio import CLIENT_STREAM, KINDS, SERVER_STREAM, UNARY, failure, replies, start
from tests.support.grpcio import PATIENCE, Dynamic, Message, StreamMessage, grpcio_client, in_thread
from tests.support.leaks import settles
from tests.support.ours import our_server

LIMIT = Limits().max_message_size
MEGABYTE = "é" * 500_000


@KINDS
async def test_a_megabyte_goes_each_way(kind: Cardinality) -> None:
    async with our_server(descriptors=False) as ours, grpcio_client(ours.port) as client:
        answers = await in_thread(replies, kind, start(client, kind, [StreamMessage(message=MEGABYTE)]))
        assert {answer.response for answer in answers} == {MEGABYTE}


@KINDS
async def test_a_message_above_the_limit_is_refused_and_the_connection_lives_on(kind: Cardinality) -> None:
    async with our_server(descriptors=False) as ours, grpcio_client(ours.port) as client:
        overhead = len(StreamMessage(message="x" * LIMIT).SerializeToString()) - LIMIT
        at_the_limit = StreamMessage(message="x" * (LIMIT - overhead))
        above = StreamMessage(message="x" * (LIMIT - overhead + 1))
        error = await in_thread(failure, kind, start(client, kind, [above]))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        reply = await in_thread(client.recorder(CLIENT_STREAM), iter([at_the_limit, StreamMessage()]), timeout=PATIENCE)
        assert reply.sequence_number == 2
        assert ours.server.connections == 1


@pytest.mark.parametrize(("limit", "at_once"), [(100, 100), (2_000, 1_000)])
async def test_a_thousand_calls_at_once_succeed_on_one_connection(limit: int, at_once: int) -> None:
    async with our_server(descriptors=False, max_concurrent_streams=limit) as ours, grpcio_client(ours.port) as client:
        ours.recorder.gate = trio.Event()

        def begin() -> list[Dynamic]:
            stub = client.recorder(UNARY)
            return [stub.future(StreamMessage(message=f"call {number}"), timeout=PATIENCE) for number in range(1_000)]

        calls = await in_thread(begin)
        await settles(lambda: ours.server.calls, at_once, "calls at once")
        assert ours.server.connections == 1
        ours.recorder.gate.set()
        answers = await in_thread(lambda: [call.result() for call in calls])
        assert [answer.response for answer in answers] == [f"call {number}" for number in range(1_000)]
        assert ours.server.connections == 1


@pytest.mark.slow
async def test_a_hundred_thousand_messages_arrive_in_order() -> None:
    total = 100_000
    async with our_server(descriptors=False) as ours, grpcio_client(ours.port) as client:
        call = start(client, SERVER_STREAM, [StreamMessage(message="m")], want_replies=str(total))

        def count() -> int:
            number = 0
            for number, answer in enumerate(call, 1):
                assert answer.sequence_number == number
            return number

        assert await in_thread(count) == total
        assert call.code() is grpc.StatusCode.OK


async def test_compressed_messages_are_taken_and_inflated_within_the_limit() -> None:
    async with (
        our_server(descriptors=False) as ours,
        grpcio_client(ours.port, compression=grpc.Compression.Gzip) as client,
    ):
        reply = await in_thread(client.get_reply, Message(message=MEGABYTE), timeout=PATIENCE)
        assert reply.response == f"from server:{MEGABYTE}"
        messages = [StreamMessage(message="x" * size, stream_id="a") for size in (1, 10_000, 100)]
        answers: list[Dynamic] = await in_thread(
            lambda: list(client.bidirectional_stream(iter(messages), timeout=PATIENCE))
        )
        assert [answer.response for answer in answers] == [f"from server: {message.message}" for message in messages]
        call = client.get_reply.future(Message(message="x" * (LIMIT + 1)), timeout=PATIENCE)
        error = await in_thread(failure, UNARY, call)
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "decompressed" in error.details()  # So it did travel compressed.
