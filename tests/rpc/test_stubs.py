"""Bound stubs: what generated streaming methods do once a block owns their calls, on trio and on asyncio."""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import anyio
import pytest
from grpclib.events import RecvRequest, listen

from echo.pb.com.gopay.echo import Message, ServerStub
from echo.pb.com.gopay.echo.streaming import StreamingServerStub, StreamMessage, StreamResponse
from echo.rpc import Deadline, GRPCError, Server, Status
from echo.rpc.stubs import bind
from echo.rpc.testing import memory_channel, memory_channel_to
from echo.services import EchoService, StreamingEchoService
from tests.support.services import on_both_loops
from tests.support.stubs import EACH_WAY, Call, Endless, Source, bound, closing, named

# What calls do


@on_both_loops
async def test_replies_come_while_messages_are_still_being_made() -> None:
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


@on_both_loops
async def test_many_messages_keep_their_order() -> None:
    texts = [f"{number} {'x' * 1000}" for number in range(500)]  # More than every window.
    async with bound() as (stub, _):
        replies = [reply.response async for reply in stub.bidirectional_stream(named(*texts))]
        assert replies == [f"from server: {text}" for text in texts]


@pytest.mark.parametrize("count", [0, 1, 3])
@on_both_loops
async def test_messages_may_come_from_any_iterable(count: int) -> None:
    messages = named(*"x" * count)

    async def generator() -> AsyncGenerator[StreamMessage, None]:
        for message in messages:
            yield message

    class Asynchronous:
        def __aiter__(self) -> AsyncIterator[StreamMessage]:
            return generator()

    async with bound() as (stub, _):
        for source in (messages, iter(messages), generator(), Asynchronous()):
            assert (await stub.client_stream(source)).sequence_number == count
        for source in (messages, iter(messages), generator(), Asynchronous()):
            assert len([reply async for reply in stub.bidirectional_stream(source)]) == count


@on_both_loops
async def test_a_server_stream_and_unary_calls_work_too() -> None:
    async with bound(Endless(), EchoService()) as (stub, channel):
        async with closing(stub.server_stream(*named("hi"))) as replies:
            assert [(await anext(replies)).response for _ in range(3)] == ["hi", "hi", "hi"]
        async with bind(ServerStub, channel) as unary:
            assert (await unary.get_reply(Message("hi"))).response == "from server:hi"


def test_a_bound_stub_is_an_instance_of_its_class() -> None:
    async def main() -> None:
        async with bound() as (stub, _):
            assert isinstance(stub, StreamingServerStub)
            assert type(stub).__name__ == "StreamingServerStub"

    anyio.run(main)


@on_both_loops
async def test_calls_of_one_stub_do_not_mix() -> None:
    async with bound() as (stub, _), anyio.create_task_group() as tasks:

        async def converse(name: str) -> None:
            texts = [f"{name} {number}" for number in range(50)]
            replies = [reply.response async for reply in stub.bidirectional_stream(named(*texts))]
            assert replies == [f"from server: {text}" for text in texts]

        for number in range(20):
            tasks.start_soon(converse, f"task {number}")


# Timeouts and metadata


@EACH_WAY
@on_both_loops
async def test_the_stub_s_timeout_counts_for_calls_without_one(call: Call) -> None:
    async with bound(Endless(), timeout=0.02) as (stub, _):
        source = Source()
        with pytest.raises(GRPCError) as raised:
            await call(stub, source())
        assert raised.value.status is Status.DEADLINE_EXCEEDED
        assert source.closed.is_set() or not source.begun  # It may be late already on a busy machine.


@on_both_loops
async def test_a_call_s_own_timeout_overrides_the_stub_s() -> None:
    async with bound(timeout=0.0) as (stub, _):
        with pytest.raises(GRPCError, match="deadline"):
            await stub.client_stream(named("x"))
        assert (await stub.client_stream(named("x"), timeout=60)).sequence_number == 1


@on_both_loops
async def test_the_stub_s_deadline_counts_for_calls_without_one() -> None:
    server = Server([StreamingEchoService()])
    async with memory_channel_to(server) as channel:
        past, ahead = Deadline.from_timeout(0), Deadline.from_timeout(5)
        async with bind(StreamingServerStub, channel, deadline=past) as stub:
            with pytest.raises(GRPCError, match="deadline"):
                await stub.client_stream(named("x"))
            assert (await stub.client_stream(named("x"), deadline=ahead)).sequence_number == 1


@on_both_loops
async def test_the_stub_s_metadata_go_along_with_calls_without_any() -> None:
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


# Subclasses


@on_both_loops
async def test_calls_that_a_subclass_begins_late_do_not_mix() -> None:
    class Late(StreamingServerStub):
        async def bidirectional_stream(self, *args: Any, **options: Any) -> AsyncIterator[StreamResponse]:
            await anyio.wait_all_tasks_blocked()
            async with closing(super().bidirectional_stream(*args, **options)) as replies:
                async for reply in replies:
                    yield reply

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


@on_both_loops
async def test_helpers_that_a_subclass_adds_work_bound() -> None:
    class Twice(StreamingServerStub):
        async def twice(self, message: StreamMessage) -> AsyncIterator[str]:
            for _ in range(2):
                async for reply in self.bidirectional_stream([message]):
                    yield reply.response

    async with memory_channel([StreamingEchoService()]) as channel, bind(Twice, channel) as stub:
        assert [text async for text in stub.twice(*named("hi"))] == ["from server: hi"] * 2
