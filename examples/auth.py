"""Authentication with interceptors on both sides: ``python -m examples.auth``."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio

from echo.rpc import ClientStream, GRPCError, Server, ServerStream, Status
from echo.rpc.testing import memory_channel_to
from examples.pb.todo.v1 import AddRequest, TodosStub
from examples.todo_server import Todos

TOKENS = {"sesame": "ada"}


@asynccontextmanager
async def authenticated(call: ServerStream[Any, Any]) -> AsyncIterator[None]:
    """Refuse calls of any kind without a known token."""
    assert call.metadata is not None
    kind, _, token = str(call.metadata.get("authorization", "")).partition(" ")
    if kind != "Bearer" or token not in TOKENS:
        raise GRPCError(Status.UNAUTHENTICATED, "a valid token is required")
    yield


@asynccontextmanager
async def with_token(call: ClientStream[Any, Any]) -> AsyncIterator[None]:
    """Add a token to every call."""
    call.metadata["authorization"] = "Bearer sesame"
    yield


async def main() -> None:
    """Call with a token and without one."""
    server = Server([Todos()], interceptors=[authenticated])
    async with memory_channel_to(server, interceptors=[with_token]) as channel:
        print(await TodosStub(channel).add(AddRequest("with a token")))
    async with memory_channel_to(server) as channel:
        try:
            await TodosStub(channel).add(AddRequest("without"))
        except GRPCError as error:
            print(f"{error.status.name}: {error.message}")


if __name__ == "__main__":
    anyio.run(main, backend="trio")
