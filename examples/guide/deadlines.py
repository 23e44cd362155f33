"""Deadlines: a timeout that is sent to the server, and a cancel scope that only this program knows."""

from collections.abc import AsyncIterator

import anyio

from echo.rpc import GRPCError, bind
from echo.rpc.testing import memory_channel
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


async def main() -> None:
    """Run out of time both ways."""
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


if __name__ == "__main__":
    anyio.run(main, backend="trio")
