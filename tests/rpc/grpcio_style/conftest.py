"""Each test here runs three times: with grpc.aio's own channel and server, and with ours on trio and on asyncio.

So what a test asserts is how grpc.aio behaves, and that ours does the same.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
import grpc
import pytest

from echo.rpc import Server
from echo.rpc.testing import memory_channel_to
from tests.support.generated import protobuf

Opening = Callable[..., AbstractAsyncContextManager[Any]]


@dataclass(frozen=True)
class Library:
    """Runs programs that are written for grpc.aio's stubs.

    Attributes:
        name: ``grpc.aio`` or ``echo``.
        backend: The event loop's.
        open_stub: Serves a servicer for the length of a block, and gives a stub that calls it.
    """

    name: str
    backend: str
    open_stub: Opening

    def run(self, main: Callable[["Library"], Awaitable[None]]) -> None:
        async def bounded() -> None:
            with anyio.fail_after(10):
                await main(self)

        anyio.run(bounded, backend=self.backend)


@asynccontextmanager
async def open_grpcio(servicer: Any) -> AsyncIterator[Any]:
    made = protobuf("todo_pb2_grpc")
    server = grpc.aio.server()
    made.add_TodosServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield made.TodosStub(channel)
    finally:
        await server.stop(None)


@asynccontextmanager
async def open_ours(servicer: Any) -> AsyncIterator[Any]:
    made = protobuf("todo_pb2_grpc")
    server = Server([])
    made.add_TodosServicer_to_server(servicer, server)
    async with memory_channel_to(server) as channel:
        yield made.TodosStub(channel)


LIBRARIES = [
    Library("grpc.aio", "asyncio", open_grpcio),
    Library("echo", "trio", open_ours),
    Library("echo", "asyncio", open_ours),
]


@pytest.fixture(params=LIBRARIES, ids=lambda library: f"{library.name} on {library.backend}")
def library(request: pytest.FixtureRequest) -> Library:
    found: Library = request.param
    return found
