"""The same with echo: the service is the one for grpclib, unchanged."""

import anyio

from echo.rpc import Server, bind, open_channel, open_tcp_listener
from examples.moving.on_grpclib import Todos
from examples.pb.todo.v1 import AddRequest, TodosStub, WatchRequest


async def main(port: int) -> None:
    """Serve and call."""
    # --8<-- [start:main]
    server = Server([Todos()])
    async with anyio.create_task_group() as tasks:
        await tasks.start(server.serve, await open_tcp_listener("127.0.0.1", port))
        async with open_channel("127.0.0.1", port) as channel, bind(TodosStub, channel) as stub:
            print(await stub.add(AddRequest("buy milk"), timeout=5))
            async for todo in stub.watch(WatchRequest()):
                print(todo)
        await server.drain(grace=10)
    # --8<-- [end:main]


if __name__ == "__main__":
    anyio.run(main, 50061, backend="trio")
