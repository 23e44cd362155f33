"""A gateway whose connections are accepted by another process: they are served, drained and logged like its own."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing

from echo.gateway import serve_gateway
from echo.rpc import Server, open_tcp_listener
from echo.services import echo_services
from echo.settings import load_settings
from tests.support.gateway import http_get_on
from tests.support.handing import PassedOn
from tests.support.leaks import settles
from tests.support.serving import LOOPBACK, serving
from tests.support.tls import Certificates
from tests.support.websocket import Closed, open_websocket

pytestmark = pytest.mark.usefixtures("nothing_left")

BIDIRECTIONAL = "/ws/stream/bidirectional"
HELLO = '{"stream_id":"a","message":"hi"}'


class Running:
    """A gateway that is handed its connections; ``stop`` has it drain, ``others_serve`` says that others go on."""

    def __init__(self, source: PassedOn) -> None:
        self.source = source
        self.stop = trio.Event()
        self.stopped = trio.Event()
        self.others_serve = False

    async def run(self, environment: dict[str, str], *, task_status: trio.TaskStatus[list[str]]) -> None:
        serve = partial(serve_gateway, source=self.source, others_serve=lambda: self.others_serve)
        await serve(load_settings(environment), shutdown=self.stop.wait, task_status=task_status)
        self.stopped.set()


@asynccontextmanager
async def handed_over(**variables: str) -> AsyncIterator[Running]:
    server = Server(echo_services().services)
    async with serving(server) as port, trio.open_nursery() as nursery:
        running = Running(PassedOn(await open_tcp_listener(LOOPBACK, 0)))
        nursery.start_soon(running.source.run)
        environment = {"GRPC_SERVER_HOST": LOOPBACK, "GRPC_SERVER_PORT": str(port), **variables}
        assert await nursery.start(running.run, environment) == [], "it listens nowhere by itself"
        yield running
        running.stop.set()
        await running.stopped.wait()
        assert running.source.ended == running.source.begun


async def test_requests_and_websockets_are_served_and_their_ends_are_reported() -> None:
    async with handed_over() as running:
        port = running.source.port
        assert (await http_get_on(port, "/grpc/hi")).body.endswith(b":from server:hi:success:true")
        await settles(lambda: running.source.ended, 1, "connections ended")
        async with open_websocket(port, BIDIRECTIONAL) as websocket:
            await websocket.send(HELLO)
            assert '"response":"from server: hi"' in str(await websocket.receive())
            assert (running.source.begun, running.source.ended) == (2, 1)
            await websocket.close()
        await settles(lambda: running.source.ended, 2, "connections ended")


async def test_tls_is_spoken_here_and_a_handshake_that_fails_is_told_of(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    cert, key = certificates.server.cert, certificates.server.key
    async with handed_over(HTTP_CERT=cert, HTTP_KEY=key) as running:
        raw = await trio.open_tcp_stream(LOOPBACK, running.source.port)
        trusting = ssl.create_default_context(cafile=certificates.ca)
        stream = trio.SSLStream(raw, trusting, server_hostname="localhost", https_compatible=True)
        async with stream:
            await stream.send_all(b"GET /grpc/hi HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert b"".join([data async for data in stream]).endswith(b":from server:hi:success:true")
        async with await trio.open_tcp_stream(LOOPBACK, running.source.port) as plain:
            await plain.send_all(b"GET / HTTP/1.1\r\n\r\n")
            assert b"This port speaks TLS" in b"".join([data async for data in plain])
        await settles(lambda: running.source.ended, 2, "connections ended")


async def test_a_drain_takes_what_is_on_its_way_and_waits_for_what_is_open() -> None:
    async with handed_over(SHUTDOWN_GRACE="20s") as running, open_websocket(running.source.port, BIDIRECTIONAL) as old:
        await old.send(HELLO)
        await old.receive()
        running.stop.set()
        while (ready := await http_get_on(running.source.port, "/readyz")).status == 200:
            await trio.lowlevel.checkpoint()
        assert (ready.status, ready.body) == (503, b"the gateway is going away")
        assert (await http_get_on(running.source.port, "/grpc/hi")).status == 200
        assert not running.stopped.is_set()
        await old.send("")
        assert await old.receive() == Closed(1000)
        await running.stopped.wait()


async def test_while_others_serve_it_stays_ready_and_only_closes_what_is_open() -> None:
    async with handed_over(SHUTDOWN_GRACE="1s") as running, open_websocket(running.source.port, BIDIRECTIONAL) as old:
        await old.send(HELLO)
        await old.receive()
        running.others_serve = True
        running.stop.set()
        await trio.testing.wait_all_tasks_blocked()
        ready = await http_get_on(running.source.port, "/readyz")
        assert (ready.status, ready.headers["connection"]) == (200, "close")
        assert await old.receive() == Closed(1001, "going away")
