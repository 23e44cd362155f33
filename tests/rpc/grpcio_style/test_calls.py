"""Calls with one request and one reply by stubs generated for grpcio: grpc.aio's behaviour, see `conftest`."""

from typing import Any

import anyio
import anyio.lowlevel
import grpc
import pytest

from tests.rpc.grpcio_style.conftest import Library, in_its_loop, open_ours
from tests.rpc.grpcio_style.servicers import Deaf, Summary, Todo, Todos
from tests.support.generated import protobuf
from tests.support.services import on_both_loops


@in_its_loop
async def test_a_call_is_awaited(library: Library) -> None:
    async with library.open_stub(Todos()) as stub:
        call = stub.Add(Todo(title="a"))
        assert list((await call).titles) == ["a"]
        assert call.done()
        assert not call.cancelled()
        assert await call.code() is grpc.StatusCode.OK
        assert await call.details() == ""


@in_its_loop
async def test_a_call_may_be_awaited_again(library: Library) -> None:
    async with library.open_stub(Todos()) as stub:
        call = stub.Add(Todo(title="a"))
        assert await call == await call


@in_its_loop
async def test_metadata_arrives_both_ways(library: Library) -> None:
    servicer = Todos()

    async with library.open_stub(servicer) as stub:
        call = stub.Add(Todo(title="a"), metadata=(("x-a", "1"), ("x-a", "2"), ("x-b-bin", b"\x01\xfe")))
        initial = await call.initial_metadata()
        assert (initial["x-head"], initial["x-head-bin"]) == ("h", b"\x00\xff")
        assert (await call.trailing_metadata())["x-tail"] == "t"
        arrived = servicer.seen[0].invocation_metadata()
        pairs = [(key, value) for key, value in arrived if key.startswith("x-")]
        assert pairs == [("x-a", "1"), ("x-a", "2"), ("x-b-bin", b"\x01\xfe")]
        assert pairs == [(item.key, item.value) for item in arrived if item.key.startswith("x-")]
        assert isinstance(arrived, tuple)


@in_its_loop
async def test_text_in_metadata_may_be_bytes(library: Library) -> None:
    class Answering(Todos):
        async def Add(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
            context.set_trailing_metadata((("x-tail", b"t"),))
            return Summary(titles=[dict(context.invocation_metadata())["x-token"]])

    async with library.open_stub(Answering()) as stub:
        call = stub.Add(Todo(), metadata=(("x-token", b"a"),))
        assert list((await call).titles) == ["a"]
        assert (await call.trailing_metadata())["x-tail"] == "t"


@pytest.mark.parametrize("code", ["NOT_FOUND", "UNAUTHENTICATED", "DATA_LOSS"])
@in_its_loop
async def test_a_status_is_raised_with_its_message_details_and_metadata(library: Library, code: str) -> None:
    async with library.open_stub(Todos()) as stub:
        call = stub.Add(Todo(title=code))
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call
        assert raised.value.code() is grpc.StatusCode[code]
        assert raised.value.details() == "as you said"
        assert raised.value.trailing_metadata()["x-why"] == "asked"
        assert await call.code() is grpc.StatusCode[code]
        assert await call.details() == "as you said"
        assert (await call.trailing_metadata())["x-why"] == "asked"
        assert call.done()


@in_its_loop
async def test_a_timeout_ends_the_call(library: Library) -> None:
    async with library.open_stub(Deaf()) as stub:
        call = stub.Add(Todo(title="a"), timeout=0.05)
        assert 0 <= call.time_remaining() <= 0.05
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call
        assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


@in_its_loop
async def test_without_a_timeout_there_is_no_time_remaining(library: Library) -> None:
    async with library.open_stub(Todos()) as stub:
        call = stub.Add(Todo(title="a"))
        assert call.time_remaining() is None
        await call


@in_its_loop
async def test_cancel_ends_the_call_once(library: Library) -> None:
    async with library.open_stub(Deaf()) as stub:
        call = stub.Add(Todo(title="a"))
        assert call.cancel()
        assert call.cancelled()
        assert call.done()
        assert not call.cancel()
        assert await call.code() is grpc.StatusCode.CANCELLED
        assert await call.details() == "Locally cancelled by application!"


@on_both_loops
async def test_cancelling_a_task_that_awaits_a_call_cancels_the_call() -> None:
    async with open_ours(Deaf()) as channel:
        call = protobuf("todo_pb2_grpc").TodosStub(channel).Add(Todo(title="a"))
        await call.wait_for_connection()
        with anyio.CancelScope() as scope:
            call.add_done_callback(lambda _: None)
            scope.cancel()
            await call
        assert call.cancelled()


@in_its_loop
async def test_callbacks_are_called_at_the_end(library: Library) -> None:
    async with library.open_stub(Todos()) as stub:
        call, told, heard = stub.Add(Todo(title="a")), [], anyio.Event()

        def note(ended: object) -> None:
            told.append(ended)
            heard.set()

        call.add_done_callback(note)
        await call
        await heard.wait()
        assert told == [call]
        call.add_done_callback(told.append)
        await anyio.lowlevel.checkpoint()
        assert told == [call, call]


@in_its_loop
async def test_wait_for_connection_returns_once_there_is_one(library: Library) -> None:
    async with library.open_stub(Todos()) as stub:
        call = stub.Count(Todo(title="a", number=1))
        await call.wait_for_connection()
        assert [reply.number async for reply in call] == [0]


@in_its_loop
async def test_gzip_is_one_of_the_ways_to_compress(library: Library) -> None:
    async with library.open_stub(Todos()) as stub:
        summary = await stub.Add(Todo(title="a" * 5_000), compression=grpc.Compression.Gzip)
        assert list(summary.titles) == ["a" * 5_000]


@in_its_loop
async def test_many_calls_at_once(library: Library) -> None:
    async with library.open_stub(Todos()) as stub:
        calls = [stub.Add(Todo(title=str(number))) for number in range(100)]
        assert [(await call).titles[0] for call in calls] == [str(number) for number in range(100)]
