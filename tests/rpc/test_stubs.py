"""Bound stubs: what generated streaming methods do once a block owns their calls, on trio and on asyncio."""

import gc
import math
import weakref
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterable,
    Mapping,
)
from contextlib import aclosing, asynccontextmanager
from typing import Any, cast

import anyio
import pytest
from grpclib.events import RecvRequest, listen

from echo.pb.com.gopay.echo import Message, ServerStub
from echo.pb.com.gopay.echo.streaming import StreamingServerBase, StreamingServerStub, StreamMessage, StreamResponse
from echo.rpc import Channel, ClientStream, Deadline, GRPCError, ProtocolError, Server, Status
from echo.rpc.stubs import bind
from echo.rpc.testing import memory_channel, memory_channel_to
from echo.services import EchoService, StreamingEchoService

Run = Callable[[Callable[[], Awaitable[None]]], None]
Messages = Iterable[StreamMessage] | AsyncIterable[StreamMessage]
Call = Callable[[StreamingServerStub, Messages], Coroutine[None, None, list[StreamResponse]]]


class Endless(StreamingServerBase):
    """Sends without end, or waits for ever once it has taken a message; knows whether it is being cancelled."""

    def __init__(self) -> None:
        self.took = anyio.Event()
        self.cancelled = anyio.Event()

    async def client_stream(self, stream_message_iterator: AsyncIterator[StreamMessage]) -> StreamResponse:
        await self._wait(stream_message_iterator)
        return StreamResponse()

    async def server_stream(self, stream_message: StreamMessage) -> AsyncIterator[StreamResponse]:
        try:
            while True:
                yield StreamResponse(response=stream_message.message)
        finally:
            self.cancelled.set()

    async def bidirectional_stream(
        self, stream_message_iterator: AsyncIterator[StreamMessage]
    ) -> AsyncIterator[StreamResponse]:
        await self._wait(stream_message_iterator)
        yield StreamResponse()

    async def _wait(self, messages: AsyncIterator[StreamMessage]) -> None:
        try:
            async for _ in messages:
                self.took.set()
            await anyio.sleep(math.inf)
        except anyio.get_cancelled_exc_class():
            self.cancelled.set()
            raise


class Hasty(StreamingServerBase):
    """Answers the first message and ends, whatever may follow."""

    async def client_stream(self, stream_message_iterator: AsyncIterator[StreamMessage]) -> StreamResponse:
        message = await anext(stream_message_iterator)
        return StreamResponse(response=message.message)

    async def bidirectional_stream(
        self, stream_message_iterator: AsyncIterator[StreamMessage]
    ) -> AsyncIterator[StreamResponse]:
        message = await anext(stream_message_iterator)
        yield StreamResponse(response=message.message)


class Refusing(StreamingServerBase):
    """Refuses after the first message."""

    async def client_stream(self, stream_message_iterator: AsyncIterator[StreamMessage]) -> StreamResponse:
        await anext(stream_message_iterator)
        raise GRPCError(Status.ABORTED, "no")

    async def bidirectional_stream(
        self, stream_message_iterator: AsyncIterator[StreamMessage]
    ) -> AsyncIterator[StreamResponse]:
        async for _ in stream_message_iterator:
            raise GRPCError(Status.ABORTED, "no")
        yield StreamResponse()


class Source:
    """Messages of a caller who then waits for ever; knows whether it was asked for them, and closed."""

    def __init__(self, *messages: StreamMessage) -> None:
        self._messages = messages
        self.waits = anyio.Event()
        self.closed = anyio.Event()

    async def __call__(self) -> AsyncGenerator[StreamMessage, None]:
        try:
            for message in self._messages:
                yield message
            self.waits.set()
            await anyio.sleep(math.inf)
        finally:
            self.closed.set()


def named(*texts: str) -> list[StreamMessage]:
    return [StreamMessage(stream_id="a", message=text) for text in texts]


def closing(replies: AsyncIterator[StreamResponse]) -> aclosing[AsyncGenerator[StreamResponse, None]]:
    """betterproto declares its generators as iterators."""
    return aclosing(cast("AsyncGenerator[StreamResponse, None]", replies))


async def summary(stub: StreamingServerStub, messages: Messages) -> list[StreamResponse]:
    return [await stub.client_stream(messages)]


async def replies_to(stub: StreamingServerStub, messages: Messages) -> list[StreamResponse]:
    return [reply async for reply in stub.bidirectional_stream(messages)]


EACH_WAY = pytest.mark.parametrize("call", [summary, replies_to], ids=["client_stream", "bidirectional_stream"])


@asynccontextmanager
async def bound(
    *services: StreamingServerBase | EchoService,
    timeout: float | None = None,
    metadata: Mapping[str, str] | None = None,
) -> AsyncIterator[tuple[StreamingServerStub, Channel]]:
    """A bound stub to services in memory. On leaving, no call may be open on either side."""
    server = Server(services or [StreamingEchoService()])
    async with memory_channel_to(server) as channel:
        async with bind(StreamingServerStub, channel, timeout=timeout, metadata=metadata) as stub:
            yield stub, channel
        assert channel.calls == 0
        await anyio.wait_all_tasks_blocked()
        assert server.calls == 0


# What calls do


def test_replies_come_while_messages_are_still_being_made(run: Run) -> None:
    async def main() -> None:
        heard = anyio.Event()

        async def messages() -> AsyncIterator[StreamMessage]:
            yield StreamMessage(stream_id="a", message="one")
            await heard.wait()
            yield StreamMessage(stream_id="a", message="two")

        async with bound() as (stub, _):
            replies = []
            async for reply in stub.bidirectional_stream(messages()):
                replies.append(reply.response)
                heard.set()
            assert replies == ["from server: one", "from server: two"]

    run(main)


def test_many_messages_keep_their_order(run: Run) -> None:
    async def main() -> None:
        texts = [f"{number} {'x' * 1000}" for number in range(500)]  # More than every window.
        async with bound() as (stub, _):
            replies = [reply.response async for reply in stub.bidirectional_stream(named(*texts))]
            assert replies == [f"from server: {text}" for text in texts]

    run(main)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_messages_may_come_from_any_iterable(run: Run, count: int) -> None:
    messages = named(*"x" * count)

    async def generator() -> AsyncGenerator[StreamMessage, None]:
        for message in messages:
            yield message

    class Asynchronous:
        def __aiter__(self) -> AsyncIterator[StreamMessage]:
            return generator()

    async def main() -> None:
        async with bound() as (stub, _):
            for source in (messages, iter(messages), generator(), Asynchronous()):
                assert (await stub.client_stream(source)).sequence_number == count
            for source in (messages, iter(messages), generator(), Asynchronous()):
                assert len([reply async for reply in stub.bidirectional_stream(source)]) == count

    run(main)


def test_a_server_stream_and_unary_calls_work_too(run: Run) -> None:
    async def main() -> None:
        async with bound(Endless(), EchoService()) as (stub, channel):
            async with closing(stub.server_stream(*named("hi"))) as replies:
                assert [(await anext(replies)).response for _ in range(3)] == ["hi", "hi", "hi"]
            async with bind(ServerStub, channel) as unary:
                assert (await unary.get_reply(Message("hi"))).response == "from server:hi"

    run(main)


def test_a_bound_stub_is_an_instance_of_its_class() -> None:
    async def main() -> None:
        async with bound() as (stub, _):
            assert isinstance(stub, StreamingServerStub)
            assert type(stub).__name__ == "StreamingServerStub"

    anyio.run(main)


def test_calls_of_one_stub_do_not_mix(run: Run) -> None:
    async def main() -> None:
        async with bound() as (stub, _), anyio.create_task_group() as tasks:

            async def converse(name: str) -> None:
                texts = [f"{name} {number}" for number in range(50)]
                replies = [reply.response async for reply in stub.bidirectional_stream(named(*texts))]
                assert replies == [f"from server: {text}" for text in texts]

            for number in range(20):
                tasks.start_soon(converse, f"task {number}")

    run(main)


# Timeouts and metadata


@EACH_WAY
def test_the_stub_s_timeout_counts_for_calls_without_one(run: Run, call: Call) -> None:
    async def main() -> None:
        async with bound(Endless(), timeout=0.02) as (stub, _):
            source = Source()
            with pytest.raises(GRPCError) as raised:
                await call(stub, source())
            assert raised.value.status is Status.DEADLINE_EXCEEDED
            assert source.closed.is_set()

    run(main)


def test_a_call_s_own_timeout_counts_before_the_stub_s(run: Run) -> None:
    async def main() -> None:
        async with bound(timeout=0.0) as (stub, _):
            with pytest.raises(GRPCError, match="deadline"):
                await stub.client_stream(named("x"))
            assert (await stub.client_stream(named("x"), timeout=5)).sequence_number == 1

    run(main)


def test_the_stub_s_deadline_counts_for_calls_without_one(run: Run) -> None:
    async def main() -> None:
        server = Server([StreamingEchoService()])
        async with memory_channel_to(server) as channel:
            past, ahead = Deadline.from_timeout(0), Deadline.from_timeout(5)
            async with bind(StreamingServerStub, channel, deadline=past) as stub:
                with pytest.raises(GRPCError, match="deadline"):
                    await stub.client_stream(named("x"))
                assert (await stub.client_stream(named("x"), deadline=ahead)).sequence_number == 1

    run(main)


def test_the_stub_s_metadata_go_along_with_calls_without_any(run: Run) -> None:
    async def main() -> None:
        seen = []

        async def note(event: RecvRequest) -> None:
            seen.append(event.metadata.get("who"))

        server = Server([StreamingEchoService()])
        listen(server, RecvRequest, note)
        async with (
            memory_channel_to(server) as channel,
            bind(StreamingServerStub, channel, metadata={"who": "stub"}) as stub,
        ):
            await stub.client_stream([])
            await stub.client_stream([], metadata={"who": "call"})
            assert [reply async for reply in stub.bidirectional_stream([])] == []
        assert seen == ["stub", "call", "stub"]

    run(main)


# How calls end


@EACH_WAY
def test_the_server_s_error_ends_the_call_though_its_messages_are_not_all_made(run: Run, call: Call) -> None:
    async def main() -> None:
        async with bound() as (stub, _):
            source = Source(StreamMessage(stream_id="a"), StreamMessage(message="nameless"))
            with pytest.raises(GRPCError, match="stream_id is required"):
                await call(stub, source())
            assert source.closed.is_set()

    run(main)


@EACH_WAY
def test_the_server_s_early_end_with_ok_is_an_end_too(run: Run, call: Call) -> None:
    async def main() -> None:
        async with bound(Hasty()) as (stub, _):
            source = Source(*named("first", "second"))
            assert [reply.response for reply in await call(stub, source())] == ["first"]
            assert source.closed.is_set()

    run(main)


def test_replies_that_came_before_an_error_are_heard_before_it(run: Run) -> None:
    async def main() -> None:
        async with bound() as (stub, _):
            messages = [*named("one", "two"), StreamMessage(message="nameless")]
            async with closing(stub.bidirectional_stream(messages)) as replies:
                assert (await anext(replies)).response == "from server: one"
                assert (await anext(replies)).response == "from server: two"
                with pytest.raises(GRPCError, match="stream_id is required"):
                    await anext(replies)

    run(main)


def test_a_message_made_after_the_server_s_end_with_ok_is_no_error(run: Run) -> None:
    async def main() -> None:
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

    run(main)


@EACH_WAY
@pytest.mark.parametrize("service", [Hasty(), Refusing()], ids=["ok", "error"])
def test_messages_made_without_end_are_closed_when_the_call_is(
    run: Run, call: Call, service: StreamingServerBase
) -> None:
    async def main() -> None:
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

    run(main)


class Broken(Exception):
    """What a caller's code may raise."""


@EACH_WAY
def test_what_closing_the_messages_raises_is_not_hidden(run: Run, call: Call) -> None:
    async def messages() -> AsyncIterator[StreamMessage]:
        try:
            yield StreamMessage(stream_id="a")
            await anyio.sleep(math.inf)
        finally:
            raise Broken("on closing")

    async def main() -> None:
        async with bound(Hasty()) as (stub, _):
            with pytest.raises(Broken, match="on closing"):
                await call(stub, messages())

    run(main)


@EACH_WAY
@pytest.mark.parametrize("error", [Broken("no more"), GRPCError(Status.DATA_LOSS, "of another call")], ids=type)
def test_what_making_messages_raises_reaches_the_caller_and_cancels_the_call(
    run: Run, call: Call, error: Exception
) -> None:
    async def main() -> None:
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

    run(main)


@EACH_WAY
def test_messages_of_a_wrong_type_are_told_and_the_stub_goes_on(run: Run, call: Call) -> None:
    async def main() -> None:
        async with bound() as (stub, _):
            with pytest.raises(TypeError, match="StreamMessage"):
                await call(stub, cast("list[StreamMessage]", [Message("hi")]))
            assert len(await call(stub, named("right"))) == 1

    run(main)


def test_closing_the_replies_of_a_server_stream_ends_the_call_at_once(run: Run) -> None:
    async def main() -> None:
        endless = Endless()
        async with bound(endless) as (stub, channel):
            async with closing(stub.server_stream(*named("hi"))) as replies:
                await anext(replies)
                assert channel.calls == 1
            assert channel.calls == 0
            await endless.cancelled.wait()

    run(main)


def test_closing_the_replies_of_a_bidirectional_stream_closes_its_messages_too(run: Run) -> None:
    async def main() -> None:
        source = Source(*named("hi"))
        async with bound() as (stub, channel):
            async with closing(stub.bidirectional_stream(source())) as replies:
                await anext(replies)
                assert channel.calls == 1
            assert channel.calls == 0
            assert source.closed.is_set()

    run(main)


def test_replies_that_nobody_asks_for_are_no_call(run: Run) -> None:
    async def main() -> None:
        async with bound() as (stub, channel), closing(stub.bidirectional_stream(Source()())):
            await anyio.wait_all_tasks_blocked()
            assert channel.calls == 0

    run(main)


@EACH_WAY
def test_leaving_the_block_ends_the_calls_that_are_open(run: Run, call: Call) -> None:
    async def main() -> None:
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

    run(main)


@pytest.mark.parametrize("cancelled", [False, True])
def test_streams_that_were_left_early_end_with_the_block_at_the_latest(run: Run, cancelled: bool) -> None:
    async def main() -> None:
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

    run(main)


def test_nothing_is_kept_of_calls_that_are_over(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
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

    run(main)


@EACH_WAY
def test_a_stub_does_not_stream_outside_its_block(run: Run, call: Call) -> None:
    async def main() -> None:
        async with memory_channel([StreamingEchoService()]) as channel:
            async with bind(StreamingServerStub, channel) as stub:
                pass
            with pytest.raises(ProtocolError, match="block"):
                await call(stub, named("late"))
            assert channel.calls == 0

    run(main)


def test_exceptions_of_the_block_come_out_as_they_are(run: Run) -> None:
    async def main() -> None:
        source = Source(*named("hi"))
        with pytest.raises(Broken, match="mine"):
            async with bound() as (stub, _), closing(stub.bidirectional_stream(source())) as replies:
                await anext(replies)
                raise Broken("mine")
        assert source.closed.is_set()

    run(main)


@EACH_WAY
def test_cancelling_who_receives_ends_the_call(run: Run, call: Call) -> None:
    async def main() -> None:
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

    run(main)


@EACH_WAY
def test_a_call_that_cannot_be_made_says_so_and_makes_no_messages(run: Run, call: Call) -> None:
    async def main() -> None:
        source = Source(*named("hi"))
        async with bound() as (stub, channel):
            channel.close()
            with pytest.raises(GRPCError) as raised:
                await call(stub, source())
            assert raised.value.status is Status.UNAVAILABLE
        assert not source.waits.is_set()

    run(main)


def test_calls_that_a_subclass_begins_late_do_not_mix(run: Run) -> None:
    class Late(StreamingServerStub):
        async def bidirectional_stream(self, *args: Any, **options: Any) -> AsyncIterator[StreamResponse]:
            await anyio.wait_all_tasks_blocked()
            async with closing(super().bidirectional_stream(*args, **options)) as replies:
                async for reply in replies:
                    yield reply

    async def main() -> None:
        async with memory_channel([StreamingEchoService()]) as channel, bind(Late, channel) as stub:
            sources = [Source(*named("hi")), Source(*named("hi"))]
            streams = [stub.bidirectional_stream(source()) for source in sources]
            async with closing(streams[0]) as one, closing(streams[1]) as other:
                async with anyio.create_task_group() as tasks:

                    async def begin(stream: AsyncIterator[StreamResponse]) -> None:
                        await anext(stream)

                    tasks.start_soon(begin, one)
                    tasks.start_soon(begin, other)
                await one.aclose()
                assert channel.calls == 1
                assert [source.closed.is_set() for source in sources] == [True, False]
                await other.aclose()
                assert channel.calls == 0

    run(main)


def test_helpers_that_a_subclass_adds_work_bound(run: Run) -> None:
    class Twice(StreamingServerStub):
        async def twice(self, message: StreamMessage) -> AsyncIterator[str]:
            for _ in range(2):
                async for reply in self.bidirectional_stream([message]):
                    yield reply.response

    async def main() -> None:
        async with memory_channel([StreamingEchoService()]) as channel, bind(Twice, channel) as stub:
            assert [text async for text in stub.twice(*named("hi"))] == ["from server: hi"] * 2

    run(main)
