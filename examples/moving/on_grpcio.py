"""A to-do service with grpc.aio on asyncio."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc

from examples.pb_grpcio import todo_pb2, todo_pb2_grpc


class Todos(todo_pb2_grpc.TodosServicer):  # type: ignore[misc]  # Generated without types.
    """Numbers everything 1."""

    async def Add(self, request: Any, context: Any) -> Any:  # noqa: N802 - as generated
        """Add a to-do."""
        if not request.title:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "a to-do needs a title")
        return todo_pb2.Todo(number=1, title=request.title)

    async def Watch(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: ARG002, N802
        """Send one."""
        yield todo_pb2.Todo(number=1, title="buy milk")


async def main(port: int) -> None:
    """Serve and call."""
    # --8<-- [start:main]
    server = grpc.aio.server()
    todo_pb2_grpc.add_TodosServicer_to_server(Todos(), server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = todo_pb2_grpc.TodosStub(channel)
        print((await stub.Add(todo_pb2.AddRequest(title="buy milk"), timeout=5)).title)
        async for todo in stub.Watch(todo_pb2.WatchRequest()):
            print(todo.title)
    await server.stop(grace=10)
    # --8<-- [end:main]


if __name__ == "__main__":
    asyncio.run(main(50062))
