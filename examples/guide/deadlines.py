"""Deadlines: a timeout that is sent to the server, and a cancel scope that only this program knows."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

import anyio

from echo.rpc import Deadline, GRPCError, Server, ServerStream, bind
from echo.rpc.testing import memory_channel, memory_channel_to
from examples.pb.todo.v1 import AddRequest, Todo, TodosBase, TodosStub, WatchRequest


class Slow(TodosBase):
    """Takes an hour, and prints a line when it is cancelled."""

    async def add(self, add_request: AddRequest) -> Todo:
        """Take an hour."""
        try:
            await anyio.sleep(3600)
        finally:
            print(f"stopped adding {add_request.title}")
        return Todo(1, add_request.title)

    async def watch(self, watch_request: WatchRequest) -> AsyncIterator[Todo]:  # noqa: ARG002 - it is empty
        """Send one to-do, then nothing."""
        yield Todo(1, "wait")
        await anyio.sleep_forever()


# --8<-- [start:propagated]
deadline: ContextVar[Deadline | None] = ContextVar("deadline", default=None)


@asynccontextmanager
async def with_deadline(call: ServerStream[Any, Any]) -> AsyncGenerator[None]:
    """An interceptor, by which a method of a generated base class learns its deadline."""
    deadline.set(call.deadline)
    yield


class Front(TodosBase):
    """Has another server do it, in the time that is left."""

    def __init__(self, backend: TodosStub) -> None:
        """Call this stub, which the program has bound: a method that yields must not hold a nursery open."""
        self._backend = backend

    async def add(self, add_request: AddRequest) -> Todo:
        """Add a to-do there."""
        return await self._backend.add(add_request, deadline=deadline.get())

    async def watch(self, watch_request: WatchRequest) -> AsyncIterator[Todo]:
        """Watch there."""
        async for todo in self._backend.watch(watch_request, deadline=deadline.get()):
            yield todo

    # --8<-- [end:propagated]


async def main() -> None:
    """Run out of time both ways, and through another server."""
    # --8<-- [start:deadlines]
    async with memory_channel([Slow()]) as channel, bind(TodosStub, channel) as stub:
        # `timeout` travels with the call as grpc-timeout: the server cancels the method when it has passed.
        try:
            await stub.add(AddRequest("by timeout"), timeout=0.1)
        except GRPCError as error:
            print(error.status.name)  # DEADLINE_EXCEEDED

        # A cancel scope ends everything inside it. The server sees that the call is cancelled.
        with anyio.move_on_after(0.1) as scope:
            async for todo in stub.watch(WatchRequest()):
                print(todo.title)
        assert scope.cancelled_caught
    # --8<-- [end:deadlines]

    async with memory_channel([Slow()]) as backend, bind(TodosStub, backend) as backend_stub:
        front = Server([Front(backend_stub)], interceptors=[with_deadline])
        async with memory_channel_to(front) as channel, bind(TodosStub, channel) as stub:
            try:
                await stub.add(AddRequest("through two servers"), timeout=0.1)
            except GRPCError as error:
                print(error.status.name)
            try:
                async for todo in stub.watch(WatchRequest(), timeout=0.1):
                    print(todo.title)
            except GRPCError as error:
                print(error.status.name)


if __name__ == "__main__":
    anyio.run(main, backend="trio")
