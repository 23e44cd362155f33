"""A process that was stopped, or busy, beyond a deadline: what has arrived meanwhile is read before it gives up."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import trio
import trio.testing
from anyio.abc import SocketStream

from echo.rpc import Keepalive, Limits, Server
from echo.transport.backend import current_backend
from echo.transport.handshake import accept_tls, connect_tls
from echo.transport.link import Link, link_over
from echo.wire.client import ClientConnection
from echo.wire.head import Request
from echo.wire.stream import Stream
from tests.support.http2_frames import INITIAL_WINDOW_SIZE, PING, parse, ping, settings
from tests.support.services import BIDI, BytesCodec, BytesStream, Service, path
from tests.support.tls import Certificates

CODEC = BytesCodec()
ROUNDS = 15  # Each time, trio may run the tasks in another order.


@asynccontextmanager
async def calling(server: Server) -> AsyncIterator[socket.socket]:
    """A client's socket that never waits; it calls ``Pour``."""
    ours, theirs = socket.socketpair()
    client = ClientConnection(Limits(), Stream)
    client.start()
    client.open(Request(path("Pour")))
    with ours:
        ours.setblocking(False)
        ours.send(client.take_output() + settings((INITIAL_WINDOW_SIZE, 0)))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.serve_connection, await SocketStream.from_socket(theirs))
            await trio.testing.wait_all_tasks_blocked()
            ours.recv(100_000)
            yield ours
            await trio.testing.wait_all_tasks_blocked()
            assert (server.connections, server.calls) == (1, 1)
            nursery.cancel_scope.cancel()


async def looks(seen_by: int) -> None:
    """Have what is sent after this found by this look of the event loop at its sockets.

    When a process goes on after SIGSTOP, that is the second: `epoll.poll` returns nothing if it was interrupted and its
    time is up.
    """
    for _ in range(seen_by - 1):
        await trio.lowlevel.checkpoint()


async def pour(stream: BytesStream) -> None:
    while True:
        await stream.send_message(b"x" * 10_000)


@pytest.mark.parametrize("seen_by", [1, 2])
async def test_a_ping_that_was_answered_while_we_were_stopped_keeps_the_connection(
    seen_by: int,
    mock_clock: trio.testing.MockClock,
) -> None:
    keepalive = Keepalive(time=10, timeout=5)
    async with calling(Server([Service(Pour=(BIDI, pour))], codec=CODEC, keepalive=keepalive)) as client:
        for _ in range(ROUNDS):
            mock_clock.jump(10)
            await trio.testing.wait_all_tasks_blocked()
            (sent,) = parse(client.recv(100_000))
            assert sent.kind == PING
            mock_clock.jump(5)
            await looks(seen_by)
            client.send(ping(sent.payload, ack=True))
            await trio.testing.wait_all_tasks_blocked()


@pytest.mark.parametrize("seen_by", [1, 2])
async def test_a_window_that_was_opened_while_we_were_stopped_keeps_the_call(
    seen_by: int,
    mock_clock: trio.testing.MockClock,
) -> None:
    limits = Limits(window_timeout=100)
    async with calling(Server([Service(Pour=(BIDI, pour))], codec=CODEC, limits=limits)) as client:
        for number in range(ROUNDS):
            mock_clock.jump(100)
            await looks(seen_by)
            client.send(settings((INITIAL_WINDOW_SIZE, 1_000 * number + 1)))
            await trio.testing.wait_all_tasks_blocked()


@asynccontextmanager
async def linked(stall: float, certificates: Certificates | None) -> AsyncIterator[tuple[Link, socket.socket]]:
    """A link, over TLS if there are certificates, and the client's socket, which never waits."""
    ours, theirs = socket.socketpair()
    accepted, connected = await SocketStream.from_socket(ours), await SocketStream.from_socket(theirs)
    link = link_over(accepted, stall, current_backend())
    if certificates is not None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(connect_tls, connected, certificates.calling(), "localhost")
            link = link_over(await accept_tls(accepted, certificates.serving(), 5), stall, current_backend())
    async with connected, link:
        yield link, theirs


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("seen_by", [1, 2])
async def test_a_write_that_could_go_on_while_we_were_stopped_keeps_the_connection(
    seen_by: int,
    tls: bool,
    mock_clock: trio.testing.MockClock,
    tmp_path: Path,
) -> None:
    def read() -> None:
        with suppress(BlockingIOError):
            while theirs.recv(2**20):
                pass

    async with linked(20, Certificates(tmp_path) if tls else None) as (link, theirs), trio.open_nursery() as nursery:
        nursery.start_soon(link.send, bytes(2**23))
        for _ in range(ROUNDS):
            await trio.testing.wait_all_tasks_blocked()
            mock_clock.jump(60)
            await looks(seen_by)
            read()
        await trio.testing.wait_all_tasks_blocked()
        assert nursery.child_tasks
        while nursery.child_tasks:
            read()
            await trio.testing.wait_all_tasks_blocked()
