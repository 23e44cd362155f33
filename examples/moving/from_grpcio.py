"""The same with echo: the servicer and the stub are those for grpc.aio, unchanged."""

import anyio

from echo.rpc import Server, open_channel, open_tcp_listener
from examples.moving.on_grpcio import Todos
from examples.pb_grpcio import todo_pb2, todo_pb2_grpc


async def main(port: int) -> None:
    """Serve and call."""
    # --8<-- [start:main]
    server = Server([])
    todo_pb2_grpc.add_TodosServicer_to_server(Todos(), server)
    async with anyio.create_task_group() as tasks:
        await tasks.start(server.serve, await open_tcp_listener("127.0.0.1", port))
        async with open_channel("127.0.0.1", port) as channel:
            stub = todo_pb2_grpc.TodosStub(channel)
            print((await stub.Add(todo_pb2.AddRequest(title="buy milk"), timeout=5)).title)
            async for todo in stub.Watch(todo_pb2.WatchRequest()):
                print(todo.title)
        await server.drain(grace=10)
    # --8<-- [end:main]


if __name__ == "__main__":
    anyio.run(main, 50062, backend="trio")
