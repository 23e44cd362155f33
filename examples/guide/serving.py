"""A server that stops gracefully."""

import anyio
from anyio.abc import SocketAttribute, TaskStatus

from echo.rpc import Keepalive, Limits, Servable, Server, open_channel, open_tcp_listener
from echo.rpc.health import Health
from examples.pb.todo.v1 import AddRequest, TodosStub
from examples.todo_server import Todos


# --8<-- [start:serve]
async def serve(stop: anyio.Event, *, task_status: TaskStatus[int] = anyio.TASK_STATUS_IGNORED) -> None:
    """Serve until `stop` is set, then give running calls ten seconds."""
    services: list[Servable] = [Todos()]  # The type lets there be services of several makes.
    health = Health(services)
    server = Server(
        [*services, health],
        limits=Limits(max_message_size=16 * 1024 * 1024),
        keepalive=Keepalive(time=60, timeout=20),
    )
    listener = await open_tcp_listener("127.0.0.1", 0)
    async with anyio.create_task_group() as tasks:
        await tasks.start(server.serve, listener)
        task_status.started(listener.extra(SocketAttribute.local_port))
        await stop.wait()
        health.drain()  # Clients that watch the server's health go to another server.
        await server.drain(grace=10)  # GOAWAY: no new calls; running ones may finish.


# --8<-- [end:serve]


async def main() -> None:
    """Serve, call, stop."""
    stop = anyio.Event()
    async with anyio.create_task_group() as tasks:
        port = await tasks.start(serve, stop)
        async with open_channel("127.0.0.1", port) as channel:
            print((await TodosStub(channel).add(AddRequest("stop"))).number)
        stop.set()


if __name__ == "__main__":
    anyio.run(main, backend="trio")
