"""Unchanged services and stubs of every generator that grpclib's users use: one service, all four kinds of calls."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import anyio
import grpc
import pytest

from echo.pb.com.gopay.echo.streaming import StreamingServerStub, StreamMessage
from echo.rpc import GRPCError, Server, Status, bind
from echo.rpc.testing import memory_channel, memory_channel_to
from tests.support.generated import betterproto2, protobuf
from tests.support.services import Run

Opening = Callable[[], AbstractAsyncContextManager[Any]]


@asynccontextmanager
async def open_betterproto2() -> AsyncIterator[Any]:
    made = betterproto2()

    class Todos(made.TodosBase):  # type: ignore[misc, name-defined]
        async def add(self, message: Any) -> Any:
            if not message.title:
                raise GRPCError(Status.INVALID_ARGUMENT, "a title is required")
            return made.Summary(titles=[message.title], numbers={message.title: message.number})

        async def count(self, message: Any) -> AsyncIterator[Any]:
            for number in range(message.number):
                yield made.Todo(title=message.title, number=number, priority=message.priority)

        async def add_all(self, messages: AsyncIterator[Any]) -> Any:
            return made.Summary(titles=[message.title async for message in messages])

        async def chat(self, messages: AsyncIterator[Any]) -> AsyncIterator[Any]:
            async for message in messages:
                yield message

    async with memory_channel([Todos()]) as channel, bind(made.TodosStub, channel) as stub:

        class Client:
            Todo, HIGH = made.Todo, made.Priority.HIGH
            add, count, add_all, chat = stub.add, stub.count, stub.add_all, stub.chat

        yield Client


@asynccontextmanager
async def open_grpclib() -> AsyncIterator[Any]:
    made, messages = protobuf("todo_grpc"), protobuf("todo_pb2")

    class Todos(made.TodosBase):  # type: ignore[misc, name-defined]
        async def Add(self, stream: Any) -> None:  # noqa: N802 - as generated
            message = await stream.recv_message()
            if not message.title:
                raise GRPCError(Status.INVALID_ARGUMENT, "a title is required")
            await stream.send_message(messages.Summary(titles=[message.title], numbers={message.title: message.number}))

        async def Count(self, stream: Any) -> None:  # noqa: N802
            message = await stream.recv_message()
            for number in range(message.number):
                await stream.send_message(messages.Todo(title=message.title, number=number, priority=message.priority))

        async def AddAll(self, stream: Any) -> None:  # noqa: N802
            await stream.send_message(messages.Summary(titles=[message.title async for message in stream]))

        async def Chat(self, stream: Any) -> None:  # noqa: N802
            async for message in stream:
                await stream.send_message(message)

    async with memory_channel([Todos()]) as channel:
        stub = made.TodosStub(channel)

        async def stream(method: Any, sent: list[Any]) -> AsyncIterator[Any]:
            async with method.open() as call:
                for message in sent:
                    await call.send_message(message)
                await call.end()
                async for message in call:
                    yield message

        class Client:
            Todo, HIGH = messages.Todo, messages.PRIORITY_HIGH
            add, add_all = stub.Add, stub.AddAll

            @staticmethod
            def count(message: Any) -> AsyncIterator[Any]:
                return stream(stub.Count, [message])

            @staticmethod
            def chat(sent: list[Any]) -> AsyncIterator[Any]:
                return stream(stub.Chat, sent)

        yield Client


@asynccontextmanager
async def open_grpcio() -> AsyncIterator[Any]:
    made, messages = protobuf("todo_pb2_grpc"), protobuf("todo_pb2")

    class Todos(made.TodosServicer):  # type: ignore[misc, name-defined]
        async def Add(self, request: Any, context: Any) -> Any:  # noqa: N802 - as generated
            if not request.title:
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "a title is required")
            return messages.Summary(titles=[request.title], numbers={request.title: request.number})

        async def Count(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: ARG002, N802
            for number in range(request.number):
                yield messages.Todo(title=request.title, number=number, priority=request.priority)

        async def AddAll(self, requests: Any, context: Any) -> Any:  # noqa: ARG002, N802
            return messages.Summary(titles=[request.title async for request in requests])

        async def Chat(self, requests: Any, context: Any) -> AsyncIterator[Any]:  # noqa: ARG002, N802
            async for request in requests:
                yield request

    server = Server([])
    made.add_TodosServicer_to_server(Todos(), server)
    async with memory_channel_to(server) as channel:
        stub = made.TodosStub(channel)

        class Client:
            Todo, HIGH = messages.Todo, messages.PRIORITY_HIGH
            add, count, add_all, chat = stub.Add, stub.Count, stub.AddAll, stub.Chat

        yield Client


MAKES = {"betterproto2": open_betterproto2, "grpclib's plugin": open_grpclib, "grpcio": open_grpcio}


@pytest.mark.parametrize("opening", MAKES.values(), ids=MAKES)
def test_all_four_kinds_of_calls(run: Run, opening: Opening) -> None:
    async def main() -> None:
        async with opening() as client:
            todo = client.Todo(title="a", number=3, priority=client.HIGH)
            summary = await client.add(todo)
            assert (list(summary.titles), dict(summary.numbers)) == (["a"], {"a": 3})
            counted = [(reply.number, reply.priority) async for reply in client.count(todo)]
            assert counted == [(0, client.HIGH), (1, client.HIGH), (2, client.HIGH)]
            assert list((await client.add_all([todo, todo])).titles) == ["a", "a"]
            assert [reply async for reply in client.chat([todo, todo])] == [todo, todo]
            with pytest.raises((GRPCError, grpc.RpcError), match="a title is required"):
                await client.add(client.Todo())

    run(main)


def test_a_bidirectional_call_by_a_stub_that_is_not_bound_says_what_to_do_instead() -> None:
    async def main() -> None:
        made = betterproto2()
        async with memory_channel([]) as channel:
            for call in (
                made.TodosStub(channel).chat([made.Todo()]),
                StreamingServerStub(channel).bidirectional_stream([StreamMessage()]),
            ):
                with pytest.raises(RuntimeError, match=r"echo\.rpc\.bind"):
                    await anext(call)

    anyio.run(main, backend="trio")


def test_betterproto2_s_stubs_for_grpcio_work_too(run: Run) -> None:
    async def main() -> None:
        made = betterproto2()

        class Todos(made.TodosBase):  # type: ignore[misc, name-defined]
            async def add(self, message: Any) -> Any:
                return made.Summary(titles=[message.title])

        async with memory_channel([Todos()]) as channel:
            assert (await made.TodosSyncStub(channel).add(made.Todo(title="a"))).titles == ["a"]

    run(main)
