"""Calls with many requests or replies by stubs generated for grpcio: grpc.aio's behaviour, see `conftest`."""

import asyncio
import warnings
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import grpc
import pytest

from tests.rpc.grpcio_style.conftest import Library, in_its_loop, open_ours
from tests.rpc.grpcio_style.servicers import Deaf, Todo, Todos
from tests.support.generated import protobuf
from tests.support.services import on_both_loops

# Many replies


@in_its_loop
async def test_replies_are_iterated(library: Library) -> None:
    async with library.open_stub(Todos()) as stub:
        call = stub.Count(Todo(title="a", number=3))
        assert [reply.number async for reply in call] == [0, 1, 2]
        assert await call.code() is grpc.StatusCode.OK


@in_its_loop
async def test_a_loop_over_replies_may_be_left_and_taken_up_again(library: Library) -> None:
    async with library.open_stub(Todos()) as stub:
        call = stub.Count(Todo(title="a", number=3))
        with warnings.catch_warnings(record=True) as warned:  # Trio's, of async generators.
            warnings.simplefilter("always")
            async for reply in call:
                assert reply.number == 0
                break
        assert [str(warning.message) for warning in warned] == []
        assert [reply.number async for reply in call] == [1, 2]


@in_its_loop
async def test_replies_are_read_one_by_one_up_to_the_end(library: Library) -> None:
    async with library.open_stub(Todos()) as stub:
        call = stub.Count(Todo(title="a", number=2))
        assert [(await call.read()).number, (await call.read()).number] == [0, 1]
        assert await call.read() is grpc.aio.EOF
        assert await call.read() is grpc.aio.EOF


@in_its_loop
async def test_replies_stay_to_be_read_after_the_call_has_ended(library: Library) -> None:
    async with library.open_stub(Todos()) as stub:
        call = stub.Count(Todo(title="a", number=2))
        first = await call.read()
        await anyio.sleep(0.05)
        assert [first.number, (await call.read()).number] == [0, 1]
        assert await call.read() is grpc.aio.EOF
        assert call.done()


@in_its_loop
async def test_a_status_comes_after_the_replies(library: Library) -> None:
    async with library.open_stub(Todos()) as stub:
        call = stub.Count(Todo(title="ABORTED", number=2))
        assert [(await call.read()).number, (await call.read()).number] == [0, 1]
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call.read()
        assert (raised.value.code(), raised.value.details()) == (grpc.StatusCode.ABORTED, "as you said")


def test_cancelling_between_replies_ends_the_method_at_the_server(library: Library) -> None:
    class Endless(Todos):
        async def Count(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: ARG002, N802
            try:
                while True:
                    yield Todo(title="again")
                    await anyio.sleep(0.001)
            finally:
                ended.set()

    ended: Any = None

    async def main(library: Library) -> None:
        nonlocal ended
        ended = anyio.Event()
        async with library.open_stub(Endless()) as stub:
            call = stub.Count(Todo(title="a"))
            assert (await call.read()).title == "again"
            call.cancel()
            await ended.wait()
            assert await call.code() is grpc.StatusCode.CANCELLED

    library.run(main)


# Many requests


async def generator(*titles: str) -> AsyncIterator[Any]:
    for title in titles:
        yield Todo(title=title)


def plain(*titles: str) -> Iterator[Any]:
    return (Todo(title=title) for title in titles)


@pytest.mark.parametrize("requests", [generator, plain])
@in_its_loop
async def test_requests_come_from_an_iterable(library: Library, requests: Any) -> None:
    async with library.open_stub(Todos()) as stub:
        assert list((await stub.AddAll(requests("a", "b"))).titles) == ["a", "b"]
        assert [reply.title async for reply in stub.Chat(requests("a", "b"))] == ["a", "b"]


@in_its_loop
async def test_requests_are_written_one_by_one(library: Library) -> None:
    async with library.open_stub(Todos()) as stub:
        call = stub.AddAll()
        await call.write(Todo(title="a"))
        await call.write(Todo(title="b"))
        await call.done_writing()
        assert list((await call).titles) == ["a", "b"]


@in_its_loop
async def test_reading_and_writing_take_turns(library: Library) -> None:
    async with library.open_stub(Todos()) as stub:
        call = stub.Chat()
        for title in "abc":
            await call.write(Todo(title=title))
            assert (await call.read()).title == title
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
        assert await call.code() is grpc.StatusCode.OK


@in_its_loop
async def test_writing_to_a_call_with_an_iterable_is_refused(library: Library) -> None:
    async with library.open_stub(Todos()) as stub:
        call = stub.AddAll(plain("a"))
        with pytest.raises(grpc.aio.UsageError):
            await call.write(Todo(title="b"))
        assert list((await call).titles) == ["a"]


@in_its_loop
async def test_writing_after_done_writing_is_refused(library: Library) -> None:
    async with library.open_stub(Deaf()) as stub:
        call = stub.Chat()
        await call.done_writing()
        with pytest.raises(asyncio.InvalidStateError):
            await call.write(Todo(title="b"))
        call.cancel()


@in_its_loop
async def test_writing_to_a_cancelled_call_fails(library: Library) -> None:
    async with library.open_stub(Deaf()) as stub:
        call = stub.Chat()
        await call.write(Todo(title="a"))
        call.cancel()
        assert await call.code() is grpc.StatusCode.CANCELLED
        assert call.done()


class Endless(Todos):
    """Replies until it is cancelled, and notes that."""

    def __init__(self) -> None:
        super().__init__()
        self.stopped = anyio.Event()

    async def Count(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: ARG002, N802
        try:
            while True:
                yield request
                await anyio.lowlevel.checkpoint()
        finally:
            self.stopped.set()


class Stuck(Todos):
    """Reads no request; ``stopped`` is set when the method is cancelled."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.stopped = anyio.Event(), anyio.Event()

    async def Chat(self, requests: Any, context: Any) -> None:  # noqa: ARG002, N802
        self.begun.set()
        try:
            await anyio.sleep_forever()
        finally:
            self.stopped.set()


@in_its_loop
async def test_cancelling_a_task_that_writes_cancels_the_call(library: Library) -> None:
    servicer = Stuck()
    async with library.open_stub(servicer) as stub:
        call = stub.Chat()
        await servicer.begun.wait()
        with anyio.move_on_after(0.1):
            while True:
                await call.write(Todo(title="a" * 100_000))
        assert call.cancelled()
        await servicer.stopped.wait()


@on_both_loops
async def test_reading_a_cancelled_call_says_that_it_was_cancelled_here() -> None:
    """With grpc.aio it raises `asyncio.CancelledError`."""

    async with open_ours(Todos()) as channel:
        call = protobuf("todo_pb2_grpc").TodosStub(channel).Count(Todo(title="a", number=1_000_000))
        await call.read()
        await anyio.wait_all_tasks_blocked()
        call.cancel()
        with pytest.raises(grpc.aio.AioRpcError) as raised:  # Though more replies have arrived.
            await call.read()
        assert raised.value.details() == await call.details() == "Locally cancelled by application!"


@pytest.mark.parametrize("code", [grpc.StatusCode.NOT_FOUND, grpc.StatusCode.DEADLINE_EXCEEDED])
@on_both_loops
async def test_requests_that_depend_on_replies_do_not_change_how_the_call_ends(code: grpc.StatusCode) -> None:
    """With grpc.aio it is sometimes CANCELLED."""

    class Once(Todos):
        async def Chat(self, requests: Any, context: Any) -> None:  # noqa: N802
            async for request in requests:
                await context.write(request)
                if code is grpc.StatusCode.NOT_FOUND:
                    await context.abort(code)
                await anyio.sleep_forever()

    calls: list[Any] = []

    async def requests() -> AsyncIterator[Any]:
        yield Todo()
        while (reply := await calls[-1].read()) is not grpc.aio.EOF:
            yield reply

    async with open_ours(Once()) as channel:
        stub = protobuf("todo_pb2_grpc").TodosStub(channel)
        for _ in range(5):  # The reader and the call itself learn of its end in either order.
            calls.append(stub.Chat(requests(), timeout=10 if code is grpc.StatusCode.NOT_FOUND else 0.03))
            assert await calls[-1].code() is code


@on_both_loops
async def test_a_reply_that_cannot_be_decoded_ends_the_call() -> None:
    """With grpc.aio it is None, and the call goes on."""

    def decode(data: bytes) -> Any:
        raise ValueError(data)

    servicer = Endless()
    async with open_ours(servicer) as channel:
        call = channel.unary_stream("/tests.todo.v1.Todos/Count", Todo.SerializeToString, decode)(Todo())
        for _ in range(2):
            with pytest.raises(grpc.aio.AioRpcError, match="not a valid decode"):
                await call.read()
        assert call.done()
        assert await call.code() is grpc.StatusCode.INTERNAL
        await servicer.stopped.wait()


@pytest.mark.parametrize("replies", [0, 1])
@on_both_loops
async def test_an_error_in_the_iterable_of_requests_is_raised_where_replies_are_read(replies: int) -> None:
    """With grpc.aio it is only logged, and the call cancelled."""

    received = anyio.Event()

    async def requests() -> AsyncIterator[Any]:
        for number in range(replies):
            yield Todo(number=number)
        await received.wait()
        raise KeyError("lost")

    async with open_ours(Todos()) as channel:
        call = protobuf("todo_pb2_grpc").TodosStub(channel).Chat(requests())
        for number in range(replies):
            assert (await call.read()).number == number
        received.set()
        with pytest.raises(KeyError, match="lost"):
            await call.read()
        with pytest.raises(KeyError, match="lost"):  # Afterwards, too.
            await call.read()
