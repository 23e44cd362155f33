"""Connections: over TCP, ended from either side, and what they keep of their calls."""

import gc
from collections.abc import AsyncIterator
from contextvars import ContextVar

import anyio
import pytest
import trio
import trio.testing
from anyio.abc import ByteStream, SocketAttribute

from echo.pb.com.gopay.echo.streaming import StreamingServerBase, StreamMessage, StreamResponse
from echo.rpc import GRPCError, Server, ServerStream, Status, open_channel, open_channel_over, open_tcp_listener
from echo.rpc.testing import memory_channel, memory_channel_to
from echo.transport.memory import memory_stream_pair
from tests.support.services import BIDI, CODEC, ECHO, UNARY, Run, Service, call, on_both_loops, unary
from tests.support.serving import serving
from tests.support.waiting import Handler, outcome


@on_both_loops
async def test_calls_over_tcp() -> None:
    server = Server([ECHO], codec=CODEC)
    async with serving(server) as port, open_channel("127.0.0.1", port, codec=CODEC) as channel:
        assert await unary(channel, "One", b"x" * 1_000_000) == b"x" * 1_000_000
        assert (server.connections, channel.connections) == (1, 1)
    assert server.connections == 0


@on_both_loops
async def test_a_vanished_client_cancels_its_handlers() -> None:
    handler = Handler()
    server = Server([Service(Wait=(UNARY, handler))], codec=CODEC)
    streams: list[ByteStream] = []
    async with anyio.create_task_group() as connections:

        async def dial() -> ByteStream:
            ours, theirs = memory_stream_pair()
            streams.append(ours)
            connections.start_soon(server.serve_connection, theirs)
            return ours

        outcomes: list[Status | bytes] = []
        async with open_channel_over(dial, "memory", codec=CODEC) as channel, anyio.create_task_group() as tasks:
            tasks.start_soon(outcome, channel, "Wait", outcomes)
            await handler.started.wait()
            await streams[0].aclose()
            await handler.cancelled.wait()
        assert outcomes == [Status.UNAVAILABLE]
    assert server.connections == 0


@on_both_loops
async def test_leaving_the_channel_s_block_ends_what_is_open() -> None:
    handler = Handler()
    server = Server([Service(Wait=(BIDI, handler))], codec=CODEC)
    with pytest.raises(LookupError):
        async with memory_channel_to(server, codec=CODEC) as channel, call(channel, "Wait", BIDI) as stream:
            await stream.send_request()
            await handler.started.wait()
            raise LookupError
    assert handler.cancelled.is_set()
    assert (server.calls, server.connections, channel.calls, channel.connections) == (0, 0, 0, 0)


@on_both_loops
async def test_cancelling_the_server_cancels_its_handlers() -> None:
    handler = Handler()
    server = Server([Service(Wait=(UNARY, handler))], codec=CODEC)
    outcomes: list[Status | bytes] = []
    async with anyio.create_task_group() as serving_tasks:
        listener = await open_tcp_listener("127.0.0.1", 0)
        await serving_tasks.start(server.serve, listener)
        async with (
            open_channel("127.0.0.1", listener.extra(SocketAttribute.local_port), codec=CODEC) as channel,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(outcome, channel, "Wait", outcomes)
            await handler.started.wait()
            serving_tasks.cancel_scope.cancel()
            with anyio.CancelScope(shield=True):
                await handler.cancelled.wait()
    assert (server.calls, server.connections) == (0, 0)


async def test_a_connection_that_speaks_nonsense_leaves_the_others_alone() -> None:
    server = Server([ECHO], codec=CODEC)
    async with serving(server) as port, open_channel("127.0.0.1", port, codec=CODEC) as channel:
        await unary(channel, "One")
        for nonsense in (b"GET / HTTP/1.1\r\n\r\n", b"\0" * 100, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 100):
            async with await anyio.connect_tcp("127.0.0.1", port) as stream:
                await stream.send(nonsense)
                with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                    while True:
                        await stream.receive()
        assert await unary(channel, "One", b"fine") == b"fine"
        assert server.connections == 1


async def test_calls_are_refused_once_the_channel_is_closed() -> None:
    async with memory_channel([ECHO], codec=CODEC) as channel:
        await unary(channel, "One")
    with pytest.raises(GRPCError, match="closed"):
        await unary(channel, "One")


def test_a_connection_does_not_inherit_the_context_of_its_first_call(run: Run) -> None:
    caller: ContextVar[str] = ContextVar("caller", default="nobody")
    seen = []

    async def main() -> None:
        server = Server([ECHO], codec=CODEC)
        async with anyio.create_task_group() as connections:

            async def dial() -> ByteStream:
                seen.append(caller.get())
                ours, theirs = memory_stream_pair()
                connections.start_soon(server.serve_connection, theirs)
                return ours

            caller.set("who opened it")
            async with open_channel_over(dial, "memory", codec=CODEC) as channel:
                caller.set("the first caller")
                assert await unary(channel, "One", b"x") == b"x"
            connections.cancel_scope.cancel()

    run(main)
    assert seen == ["who opened it"]


async def test_a_connection_keeps_nothing_of_ended_calls() -> None:
    class Announced(StreamingServerBase):  # Generated, so that its calls are announced.
        async def bidirectional_stream(
            self, stream_message_iterator: AsyncIterator[StreamMessage]
        ) -> AsyncIterator[StreamResponse]:
            async for _ in stream_message_iterator:
                yield StreamResponse()

    def open_streams() -> list[object]:
        gc.collect()
        return [thing for thing in gc.get_objects() if isinstance(thing, ServerStream)]

    others = open_streams()  # Of earlier tests.
    async with memory_channel([Announced()]) as channel:
        for _ in range(3):
            request = channel.request(
                "/com.gopay.echo.streaming.StreamingServer/BidirectionalStream", BIDI, StreamMessage, StreamResponse
            )
            async with request as stream:
                await stream.send_message(StreamMessage(stream_id="a"), end=True)
                assert [len(reply.response) async for reply in stream] == [0]
        await trio.testing.wait_all_tasks_blocked()
        assert len(open_streams()) == len(others)
