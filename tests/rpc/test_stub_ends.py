"""How calls of bound stubs end: by the server, by their messages, by their caller, or with their block."""

import gc
import math
import weakref
from collections.abc import AsyncIterator
from typing import Any, cast

import anyio
import pytest

from echo.pb.com.gopay.echo import Message
from echo.pb.com.gopay.echo.streaming import StreamingServerBase, StreamingServerStub, StreamMessage
from echo.rpc import ClientStream, GRPCError, ProtocolError, Status
from echo.rpc.stubs import bind
from echo.rpc.testing import memory_channel
from echo.services import StreamingEchoService
from tests.support.services import on_both_loops
from tests.support.stubs import (
    EACH_WAY,
    Broken,
    Call,
    Endless,
    Hasty,
    Refusing,
    Source,
    bound,
    closing,
    named,
    replies_to,
    summary,
)


@EACH_WAY
@on_both_loops
async def test_the_server_s_error_ends_the_call_though_its_messages_are_not_all_made(call: Call) -> None:
    async with bound() as (stub, _):
        source = Source(StreamMessage(stream_id="a"), StreamMessage(message="nameless"))
        with pytest.raises(GRPCError, match="stream_id is required"):
            await call(stub, source())
        assert source.closed.is_set()


@EACH_WAY
@on_both_loops
async def test_the_server_s_early_end_with_ok_is_an_end_too(call: Call) -> None:
    async with bound(Hasty()) as (stub, _):
        source = Source(*named("first", "second"))
        assert [reply.response for reply in await call(stub, source())] == ["first"]
        assert source.closed.is_set()


@on_both_loops
async def test_replies_that_came_before_an_error_are_heard_before_it() -> None:
    async with bound() as (stub, _):
        messages = [*named("one", "two"), StreamMessage(message="nameless")]
        async with closing(stub.bidirectional_stream(messages)) as replies:
            assert (await anext(replies)).response == "from server: one"
            assert (await anext(replies)).response == "from server: two"
            with pytest.raises(GRPCError, match="stream_id is required"):
                await anext(replies)


@on_both_loops
async def test_a_message_produced_after_the_server_ended_with_ok_is_no_error() -> None:
    over = anyio.Event()

    async def messages() -> AsyncIterator[StreamMessage]:
        yield StreamMessage(stream_id="a", message="first")
        await over.wait()
        yield StreamMessage(stream_id="a", message="too late")

    async with bound(Hasty()) as (stub, _), closing(stub.bidirectional_stream(messages())) as replies:
        assert (await anext(replies)).response == "first"
        await anyio.wait_all_tasks_blocked()
        over.set()
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(StopAsyncIteration):
            await anext(replies)


@EACH_WAY
@pytest.mark.parametrize("service", [Hasty(), Refusing()], ids=["ok", "error"])
@on_both_loops
async def test_an_endless_iterator_of_messages_is_closed_with_the_call(
    call: Call, service: StreamingServerBase
) -> None:
    closed = False

    async def messages() -> AsyncIterator[StreamMessage]:
        nonlocal closed
        try:
            while True:
                yield StreamMessage(stream_id="a", message="x" * 10_000)
        finally:
            closed = True

    async with bound(service) as (stub, _):
        if isinstance(service, Hasty):
            assert len(await call(stub, messages())) == 1
        else:
            with pytest.raises(GRPCError, match="no"):
                await call(stub, messages())
        assert closed


@EACH_WAY
@on_both_loops
async def test_an_error_from_closing_the_messages_is_not_hidden(call: Call) -> None:
    async def messages() -> AsyncIterator[StreamMessage]:
        try:
            yield StreamMessage(stream_id="a")
            await anyio.sleep(math.inf)
        finally:
            raise Broken("on closing")

    async with bound(Hasty()) as (stub, _):
        with pytest.raises(Broken, match="on closing"):
            await call(stub, messages())


@EACH_WAY
@pytest.mark.parametrize("error", [Broken("no more"), GRPCError(Status.DATA_LOSS, "of another call")], ids=type)
@on_both_loops
async def test_an_error_from_producing_messages_reaches_the_caller_and_cancels_the_call(
    call: Call, error: Exception
) -> None:
    endless = Endless()

    async def messages() -> AsyncIterator[StreamMessage]:
        yield StreamMessage(stream_id="a")
        await endless.took.wait()
        raise error from ValueError("the cause")

    async with bound(endless) as (stub, _):
        with pytest.raises(type(error)) as raised:
            await call(stub, messages())
        assert raised.value is error
        assert isinstance(raised.value.__cause__, ValueError)
        await endless.cancelled.wait()


@EACH_WAY
@on_both_loops
async def test_messages_of_a_wrong_type_are_errors_and_the_stub_continues(call: Call) -> None:
    async with bound() as (stub, _):
        with pytest.raises(TypeError, match="StreamMessage"):
            await call(stub, cast("list[StreamMessage]", [Message("hi")]))
        assert len(await call(stub, named("right"))) == 1


@on_both_loops
async def test_closing_the_replies_of_a_server_stream_ends_the_call_at_once() -> None:
    endless = Endless()
    async with bound(endless) as (stub, channel):
        async with closing(stub.server_stream(*named("hi"))) as replies:
            await anext(replies)
            assert channel.calls == 1
        assert channel.calls == 0
        await endless.cancelled.wait()


@on_both_loops
async def test_closing_the_replies_of_a_bidirectional_stream_closes_its_messages_too() -> None:
    source = Source(*named("hi"))
    async with bound() as (stub, channel):
        async with closing(stub.bidirectional_stream(source())) as replies:
            await anext(replies)
            assert channel.calls == 1
        assert channel.calls == 0
        assert source.closed.is_set()


@on_both_loops
async def test_a_call_starts_only_when_a_reply_is_awaited() -> None:
    async with bound() as (stub, channel), closing(stub.bidirectional_stream(Source()())):
        await anyio.wait_all_tasks_blocked()
        assert channel.calls == 0


@EACH_WAY
@on_both_loops
async def test_leaving_the_block_ends_the_calls_that_are_open(call: Call) -> None:
    endless = Endless()
    source = Source(*named("hi"))
    told: list[Status] = []

    async def receive(stub: StreamingServerStub) -> None:
        with pytest.raises(GRPCError) as raised:
            await call(stub, source())
        told.append(raised.value.status)

    async with anyio.create_task_group() as tasks:
        async with bound(endless) as (stub, _):
            tasks.start_soon(receive, stub)
            await endless.took.wait()
            await source.waits.wait()
        assert source.closed.is_set()
        assert endless.cancelled.is_set()
    assert told == [Status.CANCELLED]


@pytest.mark.parametrize("cancelled", [False, True])
@on_both_loops
async def test_streams_that_were_left_early_end_with_the_block_at_the_latest(cancelled: bool) -> None:
    sources = [Source(*named("hi")), Source(*named("hi"))]
    async with memory_channel([StreamingEchoService()]) as channel:
        with anyio.CancelScope() as scope:
            async with bind(StreamingServerStub, channel) as stub:
                streams = [stub.bidirectional_stream(source()) for source in sources]
                for stream in streams:
                    await anext(stream)
                assert channel.calls == 2
                if cancelled:
                    scope.cancel()
                    await anyio.sleep(math.inf)
        assert channel.calls == 0
        assert all(source.closed.is_set() for source in sources)
        for stream in streams:
            with pytest.raises(GRPCError, match="cancelled"):
                await anext(stream)


@on_both_loops
async def test_nothing_is_kept_of_ended_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: weakref.WeakSet[object] = weakref.WeakSet()
    async with bound() as (stub, channel):
        request = channel.request

        def noted(*args: Any, **options: Any) -> ClientStream[Any, Any]:
            call = request(*args, **options)
            calls.add(call)
            return call

        monkeypatch.setattr(channel, "request", noted)
        for _ in range(10):
            await summary(stub, named("x"))
            await replies_to(stub, named("x"))
        gc.collect()
        assert len(calls) == 0


@EACH_WAY
@on_both_loops
async def test_a_stub_does_not_stream_outside_its_block(call: Call) -> None:
    async with memory_channel([StreamingEchoService()]) as channel:
        async with bind(StreamingServerStub, channel) as stub:
            pass
        with pytest.raises(ProtocolError, match="block"):
            await call(stub, named("late"))
        assert channel.calls == 0


@on_both_loops
async def test_exceptions_of_the_block_come_out_as_they_are() -> None:
    source = Source(*named("hi"))
    with pytest.raises(Broken, match="mine"):
        async with bound() as (stub, _), closing(stub.bidirectional_stream(source())) as replies:
            await anext(replies)
            raise Broken("mine")
    assert source.closed.is_set()


@EACH_WAY
@on_both_loops
async def test_cancelling_the_receiver_ends_the_call(call: Call) -> None:
    endless = Endless()
    source = Source(*named("hi"))
    async with bound(endless) as (stub, channel):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call, stub, source())
            await endless.took.wait()
            await source.waits.wait()
            tasks.cancel_scope.cancel()
        assert channel.calls == 0
        await endless.cancelled.wait()
        await source.closed.wait()


@EACH_WAY
@on_both_loops
async def test_a_call_that_cannot_be_made_raises_and_produces_no_messages(call: Call) -> None:
    source = Source(*named("hi"))
    async with bound() as (stub, channel):
        channel.close()
        with pytest.raises(GRPCError) as raised:
            await call(stub, source())
        assert raised.value.status is Status.UNAVAILABLE
    assert not source.waits.is_set()
