"""A channel to several servers."""

import anyio
from anyio.abc import SocketAttribute

from echo.rpc import Keepalive, Server, open_channel, open_tcp_listener
from examples.pb.todo.v1 import AddRequest, TodosStub
from examples.todo_server import Todos


async def main() -> None:
    """Call two servers in turn."""
    async with anyio.create_task_group() as tasks:
        hosts = []
        for _ in range(2):
            listener = await open_tcp_listener("127.0.0.1", 0)
            await tasks.start(Server([Todos()]).serve, listener)
            hosts.append(f"127.0.0.1:{listener.extra(SocketAttribute.local_port)}")
        # --8<-- [start:channel]
        async with open_channel(
            hosts,  # Such as ["a.example:8081", "b.example:8081"], or one name with several addresses.
            balance="round_robin",
            wait_for_ready=True,  # Wait for a server until the call's deadline instead of failing at once.
            compression="gzip",
            keepalive=Keepalive(time=30, timeout=10),
        ) as channel:
            stub = TodosStub(channel)
            numbers = [(await stub.add(AddRequest("hello"), timeout=5)).number for _ in range(4)]
        # --8<-- [end:channel]
        print(numbers)
        tasks.cancel_scope.cancel()


if __name__ == "__main__":
    anyio.run(main, backend="trio")
