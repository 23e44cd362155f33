"""Calls of `todo_server`: ``python -m examples.todo_client "buy milk"``."""

import sys

import anyio

from echo.rpc import GRPCError, bind, open_channel
from examples.pb.todo.v1 import AddRequest, TodosStub, WatchRequest


async def main(title: str, port: int = 50051) -> None:
    """Add a to-do, then print all to-dos for a second."""
    async with open_channel("127.0.0.1", port) as channel, bind(TodosStub, channel) as stub:
        try:
            added = await stub.add(AddRequest(title), timeout=5)
        except GRPCError as error:
            print(f"{error.status.name}: {error.message}")
            return
        print(f"added number {added.number}")

        # Leaving the block cancels the call, and with it the method on the server.
        with anyio.move_on_after(1):
            async for todo in stub.watch(WatchRequest()):
                print(f"{todo.number}. {todo.title}")


if __name__ == "__main__":
    anyio.run(main, " ".join(sys.argv[1:]), backend="trio")
