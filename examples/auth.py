"""Authentication with interceptors on both sides: ``python -m examples.auth``."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

import anyio

from echo.rpc import ClientStream, GRPCError, Server, ServerStream, Status
from echo.rpc.testing import memory_channel_to
from examples.pb.todo.v1 import AddRequest, Todo, TodosStub
from examples.todo_server import Todos

TOKENS = {"sesame": "ada"}
caller = ContextVar[str]("caller")  # Each call has one of its own.


@asynccontextmanager
async def authenticated(call: ServerStream[Any, Any]) -> AsyncGenerator[None]:
    """Refuse calls of any kind without a known token, and tell the method who calls."""
    kind, _, token = str(call.metadata.get("authorization", "")).partition(" ")
    if kind != "Bearer" or token not in TOKENS:
        raise GRPCError(Status.UNAUTHENTICATED, f"{call.path} requires a valid token")
    caller.set(TOKENS[token])
    yield


class SignedTodos(Todos):
    """To-dos with the names of those who added them."""

    async def add(self, add_request: AddRequest) -> Todo:
        """Add a to-do."""
        return await super().add(AddRequest(f"{add_request.title} ({caller.get()})"))


@asynccontextmanager
async def with_token(call: ClientStream[Any, Any]) -> AsyncGenerator[None]:
    """Add a token to every call."""
    call.metadata["authorization"] = "Bearer sesame"
    yield


async def main() -> None:
    """Call with a token and without one."""
    server = Server([SignedTodos()], interceptors=[authenticated])
    async with memory_channel_to(server, interceptors=[with_token]) as channel:
        print(await TodosStub(channel).add(AddRequest("with a token")))
    async with memory_channel_to(server) as channel:
        try:
            await TodosStub(channel).add(AddRequest("without"))
        except GRPCError as error:
            print(f"{error.status.name}: {error.message}")


if __name__ == "__main__":
    anyio.run(main, backend="trio")
