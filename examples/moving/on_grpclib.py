"""A to-do service with grpclib on asyncio."""

import asyncio
from collections.abc import AsyncIterator

from grpclib import GRPCError, Status
from grpclib.client import Channel
from grpclib.server import Server

from examples.pb.todo.v1 import AddRequest, Todo, TodosBase, TodosStub, WatchRequest


class Todos(TodosBase):
    """Numbers everything 1."""

    async def add(self, add_request: AddRequest) -> Todo:
        """Add a to-do."""
        if not add_request.title:
            raise GRPCError(Status.INVALID_ARGUMENT, "a to-do needs a title")
        return Todo(1, add_request.title)

    async def watch(self, watch_request: WatchRequest) -> AsyncIterator[Todo]:  # noqa: ARG002 - it is empty
        """Send one."""
        yield Todo(1, "buy milk")


async def main(port: int) -> None:
    """Serve and call."""
    # --8<-- [start:main]
    server = Server([Todos()])
    await server.start("127.0.0.1", port)
    channel = Channel("127.0.0.1", port)
    try:
        stub = TodosStub(channel)
        print(await stub.add(AddRequest("buy milk"), timeout=5))
        async for todo in stub.watch(WatchRequest()):
            print(todo)
    finally:
        channel.close()
        server.close()
        await server.wait_closed()
    # --8<-- [end:main]


if __name__ == "__main__":
    asyncio.run(main(50061))
