"""Services and stubs of every generator that grpclib's users have, unchanged: one service, all four kinds of calls."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from echo.rpc import GRPCError, Status, bind
from echo.rpc.testing import memory_channel
from tests.support.generated import generated
from tests.support.services import Run

Opening = Callable[[], AbstractAsyncContextManager[Any]]


def betterproto2() -> Any:
    options = "client_generation=async,server_generation=async"
    return generated(
        "todo_betterproto2", "todo.v1", "--python_betterproto2_out={}", f"--python_betterproto2_opt={options}"
    )


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
    options = ("--python_out={}", "--grpclib_python_out={}")
    made, messages = generated("todo_grpclib", ".todo_grpc", *options), generated("todo_grpclib", ".todo_pb2", *options)

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


@pytest.mark.parametrize("opening", [open_betterproto2, open_grpclib], ids=["betterproto2", "grpclib's plugin"])
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
            with pytest.raises(GRPCError) as refused:
                await client.add(client.Todo())
            assert refused.value.status is Status.INVALID_ARGUMENT

    run(main)
