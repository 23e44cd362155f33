"""One service in the code of every generator that grpclib's and grpcio's users use, called in all four ways.

`tests.support.generated` makes the code and has it found; nothing here needs pytest, or the generators.
"""

import importlib
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any

import anyio
import grpc
from anyio import to_thread

from echo.rpc import GRPCError, Server, Status, bind
from echo.rpc.testing import memory_channel, memory_channel_to

Opening = Callable[[], AbstractAsyncContextManager[Any]]


def todos_of(made: Any) -> Any:
    """The service from betterproto's base class or betterproto2's; the code is the same for both."""

    class Todos(made.TodosBase):  # type: ignore[misc]
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

    return Todos()


@asynccontextmanager
async def open_betterproto(package: str) -> AsyncIterator[Any]:
    made = importlib.import_module(f"{package}.tests.todo.v1")
    async with memory_channel([todos_of(made)]) as channel, bind(made.TodosStub, channel) as stub:

        class Client:
            Todo, HIGH = made.Todo, made.Priority.HIGH
            add, count, add_all, chat = stub.add, stub.count, stub.add_all, stub.chat

        yield Client


@asynccontextmanager
async def open_blocking() -> AsyncIterator[Any]:
    """betterproto2's stubs for grpcio's own channel. They block, so they are used in threads."""
    made = importlib.import_module("todo_betterproto2.tests.todo.v1")
    async with memory_channel([todos_of(made)]) as channel:
        stub = made.TodosSyncStub(channel)

        async def in_thread(method: Callable[[Any], Iterable[Any]], sent: Any) -> AsyncIterator[Any]:
            for reply in await to_thread.run_sync(lambda: list(method(sent))):
                yield reply

        class Client:
            Todo, HIGH = made.Todo, made.Priority.HIGH
            add, add_all = partial(to_thread.run_sync, stub.add), partial(to_thread.run_sync, stub.add_all)
            count, chat = partial(in_thread, stub.count), partial(in_thread, stub.chat)

        yield Client


@asynccontextmanager
async def open_grpclib() -> AsyncIterator[Any]:
    made, messages = importlib.import_module("todo_grpc"), importlib.import_module("todo_pb2")

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
    made, messages = importlib.import_module("todo_pb2_grpc"), importlib.import_module("todo_pb2")

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


MAKES: dict[str, Opening] = {
    "betterproto 2.0": partial(open_betterproto, "todo_betterproto"),
    "betterproto2": partial(open_betterproto, "todo_betterproto2"),
    "betterproto2, `SyncStub` in threads": open_blocking,
    "grpclib's plugin": open_grpclib,
    "grpcio": open_grpcio,
}


async def call_in_all_four_ways(opening: Opening) -> None:
    """Check the result of each kind of call, and of one that fails."""
    async with opening() as client:
        todo = client.Todo(title="a", number=3, priority=client.HIGH)
        summary = await client.add(todo)
        assert (list(summary.titles), dict(summary.numbers)) == (["a"], {"a": 3})
        counted = [(reply.number, reply.priority) async for reply in client.count(todo)]
        assert counted == [(0, client.HIGH), (1, client.HIGH), (2, client.HIGH)]
        assert list((await client.add_all([todo, todo])).titles) == ["a", "a"]
        assert [reply async for reply in client.chat([todo, todo])] == [todo, todo]
        try:
            await client.add(client.Todo())
        except (GRPCError, grpc.RpcError) as error:
            assert "a title is required" in str(error)
        else:
            raise AssertionError("the call was to fail")


if __name__ == "__main__":
    for backend in ("trio", "asyncio"):
        for make, opening in MAKES.items():
            anyio.run(call_in_all_four_ways, opening, backend=backend)
            print(f"{make} on {backend}")
