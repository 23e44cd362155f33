"""Each test here runs three times: with grpc.aio's own channel and server, and with ours on trio and on asyncio.

So what a test asserts is how grpc.aio behaves, and that ours does the same.
"""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any

import anyio
import grpc
import pytest
import trustme
from anyio.abc import SocketAttribute

from echo.rpc import Server, open_channel, open_tcp_listener
from echo.rpc.testing import memory_channel_to
from tests.support.generated import protobuf

Opening = Callable[..., AbstractAsyncContextManager[Any]]
Register = Callable[[Any, Any], None]


@dataclass(frozen=True)
class Library:
    """Runs programs that are written for grpc.aio's stubs.

    Attributes:
        name: ``grpc.aio`` or ``echo``.
        backend: The event loop's.
        open_channel: Serves a servicer for the length of a block, and gives a channel to it; over TLS if it is told so,
            and registered by another function than the generated one if there is one.
        channel_to: Gives a channel to ``HOST:PORT``.
    """

    name: str
    backend: str
    open_channel: Opening
    channel_to: Opening

    @asynccontextmanager
    async def open_stub(self, servicer: Any) -> AsyncIterator[Any]:
        async with self.open_channel(servicer) as channel:
            yield protobuf("todo_pb2_grpc").TodosStub(channel)

    def run(self, main: Callable[["Library"], Awaitable[None]]) -> None:
        async def bounded() -> None:
            with anyio.fail_after(30):
                await main(self)

        anyio.run(bounded, backend=self.backend)


def in_its_loop(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Decorates an async test: it runs in its library's event loop."""

    @wraps(test)
    def run(library: Library, **fixtures: object) -> None:
        library.run(lambda library: test(library=library, **fixtures))

    return run


class Tls:
    """An authority, and a certificate of its for localhost, in both libraries' forms."""

    def __init__(self) -> None:
        authority = trustme.CA()
        certificate = authority.issue_cert("localhost")
        chain = b"".join(pem.bytes() for pem in certificate.cert_chain_pems)
        self.server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        certificate.configure_cert(self.server)
        self.client = ssl.create_default_context()
        authority.configure_trust(self.client)
        for context in (self.server, self.client):
            context.set_alpn_protocols(["h2"])
        self.server_credentials = grpc.ssl_server_credentials([(certificate.private_key_pem.bytes(), chain)])
        self.channel_credentials = grpc.ssl_channel_credentials(authority.cert_pem.bytes())


@asynccontextmanager
async def open_grpcio(servicer: Any, tls: Tls | None = None, register: Register | None = None) -> AsyncIterator[Any]:
    server = grpc.aio.server()
    (register or protobuf("todo_pb2_grpc").add_TodosServicer_to_server)(servicer, server)
    if tls is None:
        port = server.add_insecure_port("localhost:0")
        opening = grpc.aio.insecure_channel(f"localhost:{port}")
    else:
        port = server.add_secure_port("localhost:0", tls.server_credentials)
        opening = grpc.aio.secure_channel(f"localhost:{port}", tls.channel_credentials)
    await server.start()
    try:
        async with opening as channel:
            yield channel
    finally:
        await server.stop(None)


@asynccontextmanager
async def open_ours(servicer: Any, tls: Tls | None = None, register: Register | None = None) -> AsyncIterator[Any]:
    server = Server([])
    (register or protobuf("todo_pb2_grpc").add_TodosServicer_to_server)(servicer, server)
    if tls is None:
        async with memory_channel_to(server) as channel:
            yield channel
        return
    listener = await open_tcp_listener("127.0.0.1", 0, tls=tls.server)
    async with anyio.create_task_group() as tasks:
        await tasks.start(server.serve, listener)
        port = listener.extra(SocketAttribute.local_port)
        async with open_channel("localhost", port, tls=tls.client) as channel:
            yield channel
        tasks.cancel_scope.cancel()


def ours_on(backend: str) -> Library:
    return Library("echo", backend, open_ours, open_channel)


LIBRARIES = [
    Library("grpc.aio", "asyncio", open_grpcio, grpc.aio.insecure_channel),
    ours_on("trio"),
    ours_on("asyncio"),
]


@pytest.fixture(params=LIBRARIES, ids=lambda library: f"{library.name} on {library.backend}")
def library(request: pytest.FixtureRequest) -> Library:
    found: Library = request.param
    return found
