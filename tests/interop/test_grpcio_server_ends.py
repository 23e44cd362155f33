"""Calls of ours that end early at a stock grpcio server: by deadline, by cancelling, and because it stops."""

from functools import partial

import pytest
import trio
import trio.testing

from echo.pb.com.gopay.echo.streaming import StreamMessage
from echo.rpc import Cardinality, Channel, GRPCError, Status
from tests.interop.to_grpcio import BIDI, KINDS, PATHS, UNARY, Metadata, channel_to, converse, failure, request
from tests.support.grpcio import GrpcioServer, grpcio_server, in_thread
from tests.support.leaks import settles
from tests.support.recording import DEADLINE, SLEEPING, WAIT, Seen
from tests.support.tcp import reserved_port


async def waiting(server: GrpcioServer) -> Seen:
    """The next call, once its handler waits."""
    seen = await server.calls.next()
    with trio.fail_after(30):
        await seen.waiting.wait()
    return seen


async def test_a_deadline_is_known_to_the_server_and_ends_the_call() -> None:
    ended: dict[Cardinality, Status] = {}
    async with grpcio_server() as server, channel_to(server.port) as channel:

        async def call(kind: Cardinality) -> None:
            ended[kind] = (await failure(channel, kind, metadata={WAIT: SLEEPING}, timeout=DEADLINE)).status

        await converse(channel, UNARY, "hi")  # So that there is a connection.
        await server.calls.next()
        async with trio.open_nursery() as nursery:
            for kind in Cardinality:
                nursery.start_soon(call, kind)
            for _ in Cardinality:
                await (await server.calls.next()).is_cancelled_in(DEADLINE)
        assert ended == dict.fromkeys(Cardinality, Status.DEADLINE_EXCEEDED)
        assert channel.calls == 0


@pytest.mark.parametrize("how", ["cancelled", "left", "scope cancelled"])
@pytest.mark.parametrize("kind", list(PATHS), ids=lambda kind: kind.name.lower())
async def test_cancelling_is_seen_by_the_server(kind: Cardinality, how: str) -> None:
    async with grpcio_server() as server, channel_to(server.port) as channel:
        with trio.CancelScope() as scope:
            async with request(channel, kind, {WAIT: SLEEPING}) as stream:
                await stream.send_message(StreamMessage(stream_id="a"))
                seen = await waiting(server)
                assert not seen.ended.is_set()
                if how == "cancelled":
                    await stream.cancel()
                    with pytest.raises(GRPCError) as raised:
                        await stream.recv_message()
                    assert raised.value.status is Status.CANCELLED
                elif how == "scope cancelled":
                    scope.cancel()
                    await stream.recv_message()
        with trio.fail_after(30):
            await seen.ended.wait()
        assert seen.cancelled.is_set()
        assert (await converse(channel, UNARY, "again"))[0] == ["from server:again"]


@KINDS
async def test_closing_the_channel_is_seen_by_the_server_and_the_caller(kind: Cardinality) -> None:
    outcomes: list[Status] = []

    async def call(channel: Channel) -> None:
        outcomes.append((await failure(channel, kind, metadata={WAIT: SLEEPING})).status)

    async with grpcio_server() as server, trio.open_nursery() as nursery:
        async with channel_to(server.port) as channel:
            nursery.start_soon(call, channel)
            seen = await waiting(server)
        with trio.fail_after(30):
            await seen.ended.wait()
        assert seen.cancelled.is_set()
    assert outcomes == [Status.UNAVAILABLE]


@KINDS
async def test_a_caller_that_is_cancelled_is_seen_by_the_server(kind: Cardinality) -> None:
    metadata: Metadata = {WAIT: SLEEPING}
    async with grpcio_server() as server, channel_to(server.port) as channel:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(converse, channel, kind, "hi", metadata)
            seen = await waiting(server)
            nursery.cancel_scope.cancel()
        with trio.fail_after(30):
            await seen.ended.wait()
        assert seen.cancelled.is_set()


@KINDS
async def test_a_server_that_stops_ends_the_call_and_is_found_again_on_the_same_port(kind: Cardinality) -> None:
    with reserved_port() as port:
        async with channel_to(port) as channel:
            outcomes: list[Status] = []

            async def call() -> None:
                outcomes.append((await failure(channel, kind, metadata={WAIT: SLEEPING})).status)

            async with grpcio_server(port) as server:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(call)
                    seen = await waiting(server)
                    await in_thread(server.stop)
                assert outcomes in ([Status.UNAVAILABLE], [Status.CANCELLED])
                assert channel.calls == 0
                with trio.fail_after(30):
                    await seen.ended.wait()
            await settles(lambda: channel.connections, 0, "connections of the channel")
            error = await failure(channel, kind)
            assert error.status is Status.UNAVAILABLE
            async with grpcio_server(port):
                with trio.fail_after(30):  # The channel lets a moment pass between attempts to connect.
                    while (await outcome_of(channel)) is Status.UNAVAILABLE:
                        await trio.testing.wait_all_tasks_blocked(0.01)
                assert (await converse(channel, UNARY, "there you are"))[0] == ["from server:there you are"]


async def outcome_of(channel: Channel) -> Status:
    try:
        await converse(channel, UNARY, "are you there?")
    except GRPCError as error:
        return error.status
    return Status.OK


async def test_a_server_that_stops_with_grace_lets_the_call_finish() -> None:
    async with (
        grpcio_server() as server,
        channel_to(server.port) as channel,
        trio.open_nursery() as nursery,
        request(channel, BIDI) as stream,
    ):
        await stream.send_message(StreamMessage(stream_id="a", message="one"))
        assert await stream.recv_message() is not None
        nursery.start_soon(partial(in_thread, server.stop, 20.0))
        late = Status.OK
        while late is Status.OK:  # Until the server has said so.
            try:
                with trio.move_on_after(2) as patience:
                    await converse(channel, UNARY, "too late?")
            except GRPCError as error:
                late = error.status
            if patience.cancelled_caught:
                # Now and then grpcio accepts a connection in the moment it closes its port, and never speaks on it.
                late = Status.UNAVAILABLE
        assert late in (Status.UNAVAILABLE, Status.CANCELLED)  # The latter while it is about to say so.
        await stream.send_message(StreamMessage(stream_id="a", message="last"), end=True)
        assert [reply.response async for reply in stream] == ["from server: last"]
