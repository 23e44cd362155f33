"""A service with a unary method and a stream, on a port of its own: ``python -m examples.todo_server``."""

from collections.abc import AsyncIterator

import anyio
from anyio.abc import ByteStream, Listener, TaskStatus

from echo.rpc import GRPCError, Server, Status, open_tcp_listener
from echo.rpc.health import Health
from examples.pb.todo.v1 import AddRequest, Todo, TodosBase, WatchRequest


class Todos(TodosBase):
    """Keeps to-dos in memory."""

    def __init__(self) -> None:
        self._todos: list[Todo] = []
        self._added = anyio.Event()

    async def add(self, add_request: AddRequest) -> Todo:
        """Add a to-do. `GRPCError` ends the call with its status; other exceptions are logged and become INTERNAL."""
        if not add_request.title:
            raise GRPCError(Status.INVALID_ARGUMENT, "a to-do needs a title")
        todo = Todo(number=len(self._todos) + 1, title=add_request.title)
        self._todos.append(todo)
        self._added.set()
        self._added = anyio.Event()
        return todo

    async def watch(self, watch_request: WatchRequest) -> AsyncIterator[Todo]:  # noqa: ARG002 - it is empty
        """Send all to-dos, then new ones. When the client leaves, this is cancelled where it waits."""
        sent = 0
        while True:
            while sent < len(self._todos):
                yield self._todos[sent]
                sent += 1
            await self._added.wait()


async def serve(listener: Listener[ByteStream], *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
    """Serve until cancelled. Health is a service like any other."""
    todos = Todos()
    await Server([todos, Health([todos])]).serve(listener, task_status=task_status)


async def main() -> None:
    """Listen on port 50051 of this machine."""
    listener = await open_tcp_listener("127.0.0.1", 50051)
    print("serving on 127.0.0.1:50051; Ctrl-C stops it")
    await serve(listener)


if __name__ == "__main__":
    try:
        anyio.run(main, backend="trio")
    except* KeyboardInterrupt:  # In a group: Ctrl-C has ended the nurseries, too.
        pass
