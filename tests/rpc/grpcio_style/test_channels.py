"""What programs do with a channel besides making calls: grpc.aio's behaviour, see `conftest`."""

from typing import Any

import anyio
import grpc
import pytest

from tests.rpc.grpcio_style.conftest import Library, in_its_loop
from tests.rpc.grpcio_style.servicers import Todo, Todos
from tests.support.generated import protobuf
from tests.support.tcp import reserved_port

IDLE, CONNECTING, READY, FAILURE, SHUTDOWN = grpc.ChannelConnectivity


class Waiting(Todos):
    """Answers when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.called, self.answer = anyio.Event(), anyio.Event()

    async def Add(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.called.set()
        await self.answer.wait()
        return await super().Add(request, context)


@in_its_loop
async def test_a_channel_does_not_connect_before_it_is_told_to(library: Library) -> None:
    async with library.open_channel(Todos()) as channel:
        assert channel.get_state() is IDLE
        assert channel.get_state(try_to_connect=True) is IDLE
        await channel.wait_for_state_change(IDLE)
        while (state := channel.get_state(try_to_connect=True)) is not READY:
            await channel.wait_for_state_change(state)
        await protobuf("todo_pb2_grpc").TodosStub(channel).Add(Todo(title="a"))
    assert channel.get_state() is SHUTDOWN


@in_its_loop
async def test_channel_ready_connects(library: Library) -> None:
    async with library.open_channel(Todos()) as channel:
        await channel.channel_ready()
        assert channel.get_state() is READY
        await channel.channel_ready()


@in_its_loop
async def test_a_call_that_waits_for_a_closed_channel_gets_an_error_that_says_so(library: Library) -> None:
    async with library.open_channel(Todos()) as channel:
        await channel.close()
        assert channel.get_state() is SHUTDOWN
        with pytest.raises(grpc.aio.UsageError, match="Channel is closed"):
            await channel.channel_ready()


@pytest.mark.parametrize("method", ["Add", "Count", "AddAll", "Chat"])
@in_its_loop
async def test_calls_on_a_closed_channel_are_refused_where_they_are_made(library: Library, method: str) -> None:
    async with library.open_channel(Todos()) as channel:
        await channel.close()
        with pytest.raises(grpc.aio.UsageError, match="Channel is closed"):
            getattr(protobuf("todo_pb2_grpc").TodosStub(channel), method)(Todo())


@in_its_loop
async def test_closing_a_channel_ends_its_calls(library: Library) -> None:
    servicer = Waiting()

    async with library.open_channel(servicer) as channel:
        call = protobuf("todo_pb2_grpc").TodosStub(channel).Add(Todo(title="a"))
        await servicer.called.wait()
        await channel.close()
        assert await call.code() in (grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE)


@in_its_loop
async def test_calls_may_finish_within_the_grace_of_closing(library: Library) -> None:
    servicer = Waiting()

    async def close(channel: Any) -> None:
        await channel.close(5)

    async with library.open_channel(servicer) as channel, anyio.create_task_group() as tasks:
        call = protobuf("todo_pb2_grpc").TodosStub(channel).Add(Todo(title="a"))
        await servicer.called.wait()
        tasks.start_soon(close, channel)
        await anyio.wait_all_tasks_blocked()
        servicer.answer.set()
        assert list((await call).titles) == ["a"]


@in_its_loop
async def test_a_channel_closes_at_the_end_of_its_block(library: Library) -> None:
    async with library.open_channel(Todos()) as channel:
        async with channel as same:
            assert same is channel
            await channel.channel_ready()
        assert channel.get_state() is SHUTDOWN


@pytest.mark.parametrize(
    ("wait_for_ready", "code"),
    [(None, "UNAVAILABLE"), (False, "UNAVAILABLE"), (True, "DEADLINE_EXCEEDED")],
)
@in_its_loop
async def test_a_call_waits_for_a_connection_if_it_is_told_to(
    library: Library, wait_for_ready: bool | None, code: str
) -> None:
    with reserved_port() as port:
        async with library.channel_to(f"127.0.0.1:{port}") as channel:
            call = (
                protobuf("todo_pb2_grpc")
                .TodosStub(channel)
                .Add(Todo(title="a"), timeout=5 if code == "UNAVAILABLE" else 0.2, wait_for_ready=wait_for_ready)
            )
            assert (await call.code()).name == code
