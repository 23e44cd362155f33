"""A gateway on real Hypercorn, on free ports of the loopback, in front of a server of the test's choice."""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection, HTTPResponse

import trio

from echo.gateway import serve_gateway
from echo.gateway.tracing import GatewayTracing
from echo.rpc import Limits, Servable, Server
from echo.services import echo_services
from echo.settings import load_settings
from tests.support.serving import LOOPBACK, serving


@dataclass
class Answer:
    """An HTTP response."""

    status: int
    body: bytes
    headers: dict[str, str]


@dataclass
class RunningGateway:
    """A running gateway.

    Attributes:
        port: The port it listens on.
        server: The gRPC server behind it.
        stop: Set it to make the gateway drain and end.
        stopped: Set once it has ended.
        scope: Cancel it to end the gateway at once.
    """

    port: int
    server: Server
    stop: trio.Event
    stopped: trio.Event
    scope: trio.CancelScope

    async def get(self, target: str, headers: Mapping[str, str] | None = None, method: str = "GET") -> Answer:
        return await http_get(self.port, target, headers, method)


def encoded(*headers: tuple[str, str]) -> list[tuple[bytes, bytes]]:
    """Headers in the form of an ASGI scope."""
    return [(name.encode(), value.encode("latin-1")) for name, value in headers]


async def http_get(port: int, target: str, headers: Mapping[str, str] | None = None, method: str = "GET") -> Answer:
    """Make one HTTP/1.1 request, with its target sent unchanged."""

    def request() -> Answer:
        connection = HTTPConnection(LOOPBACK, port, timeout=20)
        try:
            connection.request(method, target, headers=dict(headers or {}))
            response: HTTPResponse = connection.getresponse()
            body = response.read()
            return Answer(response.status, body, {name.lower(): value for name, value in response.getheaders()})
        finally:
            connection.close()

    return await trio.to_thread.run_sync(request)


async def http_get_on(port: int, target: str, headers: Mapping[str, str] | None = None) -> Answer:
    """The same without a thread, for tests whose clock is virtual."""
    lines = [f"GET {target} HTTP/1.1", "Host: gateway.test", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    async with await trio.open_tcp_stream(LOOPBACK, port) as stream:
        await stream.send_all("\r\n".join([*lines, "", ""]).encode("latin-1"))
        head, _, body = b"".join([data async for data in stream]).partition(b"\r\n\r\n")
    first, *fields = head.decode("latin-1").split("\r\n")
    found = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
    return Answer(int(first.split()[1]), body, found)


@asynccontextmanager
async def running_gateway(
    services: Iterable[Servable] | None = None, *, limits: Limits | None = None, **variables: str
) -> AsyncIterator[RunningGateway]:
    """A server with a gateway in front of it while the block runs. ``variables`` are the gateway's environment."""
    server = Server(echo_services().services if services is None else services, limits=limits or Limits())
    async with serving(server) as port, gateway_to(port, server, **variables) as gateway:
        yield gateway


@asynccontextmanager
async def gateway_to(
    port: int, server: Server | None = None, tracing: GatewayTracing | None = None, /, **variables: str
) -> AsyncIterator[RunningGateway]:
    """A gateway that calls the server on this port of the loopback."""
    environment = {
        "GRPC_SERVER_HOST": LOOPBACK,
        "GRPC_SERVER_PORT": str(port),
        "HTTP_BIND": LOOPBACK,
        "HTTP_PORT": "0",
        "SHUTDOWN_GRACE": "0s",
        **variables,
    }
    stop, stopped, scope = trio.Event(), trio.Event(), trio.CancelScope()
    async with trio.open_nursery() as nursery:

        async def run(*, task_status: trio.TaskStatus[list[str]]) -> None:
            with scope:
                settings = load_settings(environment)
                await serve_gateway(settings, shutdown=stop.wait, tracing=tracing, task_status=task_status)
            stopped.set()

        addresses = await nursery.start(partial(run))
        yield RunningGateway(int(addresses[0].rpartition(":")[2]), server or Server([]), stop, stopped, scope)
        stop.set()
