"""Calls that end before both sides are done: by deadline, by leaving the block, by cancelling, by a reset."""

import math

import anyio
import pytest
import trio
import trio.testing
from anyio.abc import ByteStream
from h2.errors import ErrorCodes

from echo.rpc import Channel, ClientStream, GRPCError, Limits, Server, Status, StreamTerminatedError, open_channel_over
from echo.rpc.testing import memory_channel, memory_channel_to
from echo.transport.memory import memory_stream_pair
from echo.wire.client import ClientConnection
from echo.wire.head import Request
from echo.wire.stream import Stream as WireStream
from tests.support.services import (
    BIDI,
    CODEC,
    ECHO,
    SERVER_STREAM,
    UNARY,
    BytesStream,
    Run,
    Service,
    call,
    failure,
    on_both_loops,
    path,
)


@on_both_loops
async def test_a_waiter_gets_an_error_when_the_block_of_the_call_is_left() -> None:
    told: list[Status] = []

    async def receive(stream: ClientStream[bytes, bytes]) -> None:
        with pytest.raises(GRPCError, match="the caller left the call before its end") as raised:
            await stream.recv_message()
        told.append(raised.value.status)

    async with (
        memory_channel([ECHO], codec=CODEC) as channel,
        anyio.create_task_group() as tasks,
        call(channel, "All", BIDI) as stream,
    ):
        await stream.send_request()
        tasks.start_soon(receive, stream)
        await anyio.wait_all_tasks_blocked()
    assert told == [Status.CANCELLED]


@pytest.mark.parametrize("when", ["while it connects", "before it begins to"])
@pytest.mark.parametrize("service_config", [None, {"methodConfig": [{"name": [{}]}]}])
@on_both_loops
async def test_a_task_that_sends_when_the_block_of_the_call_was_left_leaves_no_call(
    when: str, service_config: dict[str, object] | None
) -> None:
    server, left = Server([ECHO], codec=CODEC), anyio.Event()

    async def dial() -> ByteStream:
        await left.wait()
        ours, theirs = memory_stream_pair()
        connections.start_soon(server.serve_connection, theirs)
        return ours

    async def send(stream: ClientStream[bytes, bytes]) -> None:
        with pytest.raises(GRPCError, match="the caller left the call before its end"):
            await stream.send_message(b"")

    async with (
        anyio.create_task_group() as connections,
        open_channel_over(dial, "memory", codec=CODEC, service_config=service_config) as channel,
    ):
        async with anyio.create_task_group() as senders:
            async with call(channel, "All", BIDI) as stream:
                senders.start_soon(send, stream)
                if when == "while it connects":
                    await anyio.wait_all_tasks_blocked()
            left.set()
        await anyio.wait_all_tasks_blocked()
        assert channel.calls == server.calls == 0


@on_both_loops
async def test_the_deadline_cancels_the_handler_and_fails_the_call() -> None:
    seen: list[str] = []

    async def sleep(stream: BytesStream) -> None:
        assert stream.deadline is not None
        assert 0 < stream.deadline.time_remaining() <= 0.3
        seen.append("begun")
        try:
            await anyio.sleep(math.inf)
        finally:
            seen.append("cancelled")

    async with memory_channel([Service(Sleep=(UNARY, sleep))], codec=CODEC) as channel:
        await channel.connect()  # The deadline is to pass later than that.
        assert (await failure(channel, "Sleep", timeout=0.3)).status is Status.DEADLINE_EXCEEDED
        await anyio.wait_all_tasks_blocked()
    assert seen in (["begun", "cancelled"], [])  # On a busy machine the handler may be too late to begin.


@on_both_loops
async def test_a_passed_deadline_is_reported_once() -> None:
    async def wait(stream: BytesStream) -> None:
        await anyio.sleep_forever()

    async with memory_channel([Service(Wait=(BIDI, wait))], codec=CODEC) as channel:
        await channel.connect()  # The deadlines are to pass later than that.
        async with call(channel, "Wait", BIDI, timeout=0.3) as stream:
            await stream.send_message(b"")
            with pytest.raises(GRPCError, match="DEADLINE_EXCEEDED"):
                await stream.recv_message()
        async with call(channel, "Wait", BIDI, timeout=0.3) as stream:
            with pytest.raises(GRPCError, match="DEADLINE_EXCEEDED"):
                for _ in range(100):  # More than the windows hold.
                    await stream.send_message(bytes(10_000))


def test_leaving_the_block_early_cancels_the_handler(run: Run) -> None:
    async def main() -> None:
        cancelled = anyio.Event()

        async def forever(stream: BytesStream) -> None:
            try:
                number = 0
                while True:
                    await stream.send_message(b"%d" % number)
                    number += 1
            finally:
                cancelled.set()

        server = Server([Service(Forever=(SERVER_STREAM, forever))], codec=CODEC)
        async with memory_channel_to(server, codec=CODEC) as channel:
            async with call(channel, "Forever", SERVER_STREAM) as stream:
                await stream.send_message(b"")
                assert await stream.recv_message() == b"0"
            await cancelled.wait()
            assert channel.calls == 0
            assert await unary_ok(channel, server)

    async def unary_ok(channel: Channel, server: Server) -> bool:
        return (await failure(channel, "Nothing")).status is Status.UNIMPLEMENTED and server.calls == 0

    run(main)


@on_both_loops
async def test_a_server_that_ends_early_with_ok_refuses_further_messages_only() -> None:
    async def one_is_enough(stream: BytesStream) -> None:
        await stream.send_message(await stream.recv_message() or b"")

    async with memory_channel([Service(Enough=(BIDI, one_is_enough))], codec=CODEC) as channel:
        async with call(channel, "Enough", BIDI) as stream:
            await stream.send_message(b"a")
            assert [message async for message in stream] == [b"a"]
            with pytest.raises(StreamTerminatedError):
                await stream.send_message(b"b")
        assert channel.calls == 0


@on_both_loops
async def test_a_half_close_followed_by_a_reset_does_not_look_like_a_complete_request() -> None:
    waiting, over = anyio.Event(), anyio.Event()
    told: list[str] = []

    async def wait(stream: BytesStream) -> None:
        waiting.set()
        try:
            await stream.recv_message()
            told.append("the end")
        except anyio.get_cancelled_exc_class():
            told.append("cancelled")
            raise
        finally:
            over.set()

    ours, theirs = memory_stream_pair()
    client = ClientConnection(Limits(), WireStream)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Server([Service(Wait=(BIDI, wait))], codec=CODEC).serve_connection, theirs)
        client.start()
        call = client.open(Request(path("Wait")))
        await ours.send(client.take_output())
        await waiting.wait()
        client.half_close(call)
        end = client.take_output()
        client.reset(call, ErrorCodes.CANCEL)
        await ours.send(end + client.take_output())  # As haproxy does when its client has reset a call.
        await over.wait()
        await ours.aclose()
    assert told == ["cancelled"]


@on_both_loops
async def test_cancelling_is_seen_by_the_handler() -> None:
    cancelled = anyio.Event()

    async def wait(stream: BytesStream) -> None:
        try:
            await stream.recv_message()
        finally:
            cancelled.set()

    async with (
        memory_channel([Service(Wait=(BIDI, wait))], codec=CODEC) as channel,
        call(channel, "Wait", BIDI) as stream,
    ):
        await stream.send_request()
        await anyio.wait_all_tasks_blocked()
        await stream.cancel()
        await cancelled.wait()
        with pytest.raises(GRPCError) as raised:
            await stream.recv_message()
        assert raised.value.status is Status.CANCELLED


@on_both_loops
async def test_a_server_that_resets_is_seen_as_cancelled() -> None:
    async def reset(stream: BytesStream) -> None:
        await stream.cancel()

    async with memory_channel([Service(Reset=(BIDI, reset))], codec=CODEC) as channel:
        with pytest.raises(GRPCError) as raised:
            async with call(channel, "Reset", BIDI) as stream:
                await stream.send_request()
                await stream.recv_message()
        assert raised.value.status is Status.CANCELLED


@on_both_loops
async def test_an_exception_of_the_block_is_raised_unchanged() -> None:
    with pytest.raises(LookupError):
        async with memory_channel([ECHO], codec=CODEC):
            raise LookupError


async def test_cancelling_a_call_lets_other_tasks_run() -> None:
    async with memory_channel([ECHO], codec=CODEC) as channel, call(channel, "One", UNARY) as stream:
        await stream.send_request()
        with trio.testing.assert_checkpoints():
            await stream.cancel()
