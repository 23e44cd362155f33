"""Large messages, many messages and many calls of ours at a stock grpcio server."""

import pytest
import trio

from echo.pb.com.gopay.echo import Message, ServerStub
from echo.pb.com.gopay.echo.streaming import StreamMessage
from echo.rpc import Cardinality, Status
from tests.interop.to_grpcio import (
    CLIENT_STREAM,
    KINDS,
    SERVER_STREAM,
    UNARY,
    as_stubs_want_it,
    channel_to,
    converse,
    failure,
    request,
)
from tests.support.grpcio import grpcio_server
from tests.support.leaks import settles
from tests.support.recording import REPLIES

LIMIT = 4 * 2**20  # Of both sides, by default.
MEGABYTE = "é" * 500_000


@KINDS
async def test_a_megabyte_goes_each_way(kind: Cardinality) -> None:
    async with grpcio_server() as server, channel_to(server.port) as channel:
        texts, _ = await converse(channel, kind, MEGABYTE, {REPLIES: "1"})
        assert (MEGABYTE in texts[0]) == (kind is not CLIENT_STREAM)
        assert len(texts) == 1


@KINDS
async def test_a_message_above_the_server_s_limit_is_refused_and_the_connection_lives_on(kind: Cardinality) -> None:
    async with grpcio_server() as server, channel_to(server.port) as channel:
        assert (await failure(channel, kind, "x" * LIMIT)).status is Status.RESOURCE_EXHAUSTED
        assert (await converse(channel, CLIENT_STREAM, "hi"))[0] == ["from server: received 1 messages"]
        assert channel.connections == 1


async def test_a_reply_above_our_limit_is_refused_and_the_connection_lives_on() -> None:
    async with grpcio_server() as server, channel_to(server.port) as channel:
        text = "x" * (LIMIT - 10)  # Fits, but the answer adds to it.
        assert (await failure(channel, UNARY, text)).status is Status.RESOURCE_EXHAUSTED
        assert (await converse(channel, UNARY, "hi"))[0] == ["from server:hi"]
        assert channel.connections == 1


async def test_a_thousand_calls_at_once_succeed_on_one_channel() -> None:
    replies: dict[int, str] = {}

    async with grpcio_server() as server, channel_to(server.port) as channel:

        async def call(number: int) -> None:
            replies[number] = (
                await ServerStub(as_stubs_want_it(channel)).get_reply(Message(f"call {number}"))
            ).response

        server.gate.clear()
        async with trio.open_nursery() as nursery:
            for number in range(1_000):
                nursery.start_soon(call, number)
            await settles(lambda: channel.calls, 1_000, "calls at once")
            server.gate.set()
        assert replies == {number: f"from server:call {number}" for number in range(1_000)}
        assert channel.connections == 1


@pytest.mark.slow
async def test_a_hundred_thousand_messages_arrive_in_order() -> None:
    total = 100_000
    async with grpcio_server() as server, channel_to(server.port) as channel:
        async with request(channel, CLIENT_STREAM) as stream:
            for number in range(1, total + 1):
                await stream.send_message(StreamMessage(stream_id="a", sequence_number=number, message="m"))
            await stream.end()
            reply = await stream.recv_message()
        assert reply is not None
        assert reply.sequence_number == total  # The server fails the call at the first one out of order.


async def test_ten_thousand_replies_arrive_in_order() -> None:
    total = 10_000
    async with (
        grpcio_server() as server,
        channel_to(server.port) as channel,
        request(channel, SERVER_STREAM, {REPLIES: str(total)}) as stream,
    ):
        await stream.send_message(StreamMessage(stream_id="a", message="m"))
        assert [reply.sequence_number async for reply in stream] == list(range(1, total + 1))
