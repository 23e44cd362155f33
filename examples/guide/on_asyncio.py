"""echo in a program written for asyncio: task groups and timeouts of asyncio's own."""

import asyncio

from echo.rpc import bind
from echo.rpc.testing import memory_channel
from examples.pb.todo.v1 import AddRequest, TodosStub, WatchRequest
from examples.todo_server import Todos


async def main() -> None:
    """Make two calls at once, then watch until a timeout."""
    # --8<-- [start:asyncio]
    async with memory_channel([Todos()]) as channel:
        stub = TodosStub(channel)
        async with asyncio.TaskGroup() as tasks:
            calls = [tasks.create_task(stub.add(AddRequest(title))) for title in ("buy milk", "drink it")]
        print(sorted(call.result().number for call in calls))

        # A timeout of asyncio's cancels the call, and with it the method on the server.
        try:
            async with asyncio.timeout(0.1), bind(TodosStub, channel) as streams:
                async for todo in streams.watch(WatchRequest()):
                    print(f"{todo.number}. {todo.title}")
        except TimeoutError:
            print("that is all")
    # --8<-- [end:asyncio]


if __name__ == "__main__":
    asyncio.run(main())
