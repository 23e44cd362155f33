"""The last connections: those in the kernel's queue when a drain begins are served, whatever errors accept(2) gives."""

import socket
from contextlib import ExitStack
from pathlib import Path

import anyio
import pytest
import trio
import trio.testing
from anyio.abc import ByteStream, SocketAttribute
from anyio.lowlevel import checkpoint

from echo.rpc import Server, open_tcp_listener, open_unix_listener
from tests.support.accepting import EXHAUSTED, FOR_EVER, GONE, FaultyAccept, connected, reset
from tests.support.leaks import no_leaks, settles
from tests.support.services import ECHO, BytesCodec, Run
from tests.support.serving import LOOPBACK

CODEC = BytesCodec()
ERRORS = pytest.mark.parametrize("name", [*GONE, *EXHAUSTED])


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> FaultyAccept:
    return FaultyAccept(monkeypatch)


@pytest.mark.parametrize("times", [1, 3])
@ERRORS
async def test_waiting_clients_are_served_during_a_drain_although_accept_fails(
    faulty: FaultyAccept, name: str, times: int, mock_clock: trio.testing.MockClock
) -> None:
    mock_clock.rate = 100
    server = Server([ECHO], codec=CODEC)
    listener = await open_tcp_listener(LOOPBACK, 0)
    async with trio.open_nursery() as nursery:
        await nursery.start(server.serve, listener)
        await trio.testing.wait_all_tasks_blocked()
        faulty.fail(name, times)
        with connected(listener.extra(SocketAttribute.local_port)) as client:
            nursery.start_soon(server.drain, 1_000)  # Which runs before the server can look at its sockets again.
            client.setblocking(False)
            await trio.lowlevel.wait_readable(client)
            assert client.recv(9)[3] == 4  # SETTINGS: it is not reset.


async def test_a_drain_is_not_over_before_the_last_connections_are(mock_clock: trio.testing.MockClock) -> None:
    mock_clock.rate = 100
    for _ in range(10):  # Each time, trio may run the tasks in another order.
        server = Server([ECHO], codec=CODEC)
        listener = await open_tcp_listener(LOOPBACK, 0)
        async with trio.open_nursery() as nursery:
            await nursery.start(server.serve, listener)
            await trio.testing.wait_all_tasks_blocked()
            with connected(listener.extra(SocketAttribute.local_port)) as client:
                await server.drain(1_000)
                client.setblocking(False)
                assert client.recv(9)[3] == 4


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_a_client_that_connects_just_when_the_listener_is_retired_is_not_lost(
    kind: str, run: Run, tmp_path: Path
) -> None:
    """It has been accepted by the time, or it is one of the last; on asyncio, accepting takes several turns."""

    async def accepted_within(turns: int) -> int:
        path = tmp_path / f"{turns}.sock"
        listener = await (open_tcp_listener(LOOPBACK, 0) if kind == "tcp" else open_unix_listener(path))
        accepted: list[socket.socket] = []
        with socket.socket(socket.AF_INET if kind == "tcp" else socket.AF_UNIX) as client:
            async with listener, anyio.create_task_group() as tasks:
                tasks.start_soon(listener.accept, accepted.append)
                await anyio.wait_all_tasks_blocked()
                client.connect(listener.extra(SocketAttribute.local_address))
                for _ in range(turns):
                    await checkpoint()
                listener.retire()
        for connection in accepted:
            connection.close()
        return len(accepted)

    async def test() -> None:
        assert [await accepted_within(turns) for turns in range(8)] == [1] * 8

    run(test)


def test_a_server_that_is_drained_before_it_has_started_accepts_nothing(run: Run) -> None:
    """As when a program is told to stop while it is still starting."""

    async def test() -> None:
        server = Server([ECHO], codec=CODEC)
        await server.drain(1)
        listener = await open_tcp_listener(LOOPBACK, 0)
        port = listener.extra(SocketAttribute.local_port)
        async with anyio.create_task_group() as tasks:
            await tasks.start(server.serve, listener)
        with pytest.raises(OSError, match="connect"):
            await anyio.connect_tcp(LOOPBACK, port)

    run(test)


async def test_a_client_that_left_before_accept_does_not_affect_others() -> None:
    server = Server([ECHO], codec=CODEC)
    listener = await open_tcp_listener(LOOPBACK, 0)
    port = listener.extra(SocketAttribute.local_port)
    async with no_leaks(), trio.open_nursery() as nursery:
        await nursery.start(server.serve, listener)
        await trio.testing.wait_all_tasks_blocked()
        with ExitStack() as clients:
            # Of the first few, some are accepted as ever, before the drain begins.
            first, gone, last = [
                [clients.enter_context(connected(port)) for _ in range(number)] for number in (3, 2, 1)
            ]
            for client in gone:
                reset(client)
            nursery.start_soon(server.drain, 5)
            for client in first + last:
                client.setblocking(False)
                await trio.lowlevel.wait_readable(client)
                assert client.recv(9)[3] == 4


@pytest.mark.parametrize("kind", ["tcp", "unix"])
async def test_the_last_connections_are_served_like_the_others(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "echo.sock"
    listener = await (open_tcp_listener(LOOPBACK, 0) if kind == "tcp" else open_unix_listener(path))
    nodelay = True if kind == "tcp" else None
    told: list[tuple[bool | None, bool]] = []

    async def handle(stream: ByteStream) -> None:
        async with stream:
            raw = stream.extra(SocketAttribute.raw_socket)
            option = raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0 if kind == "tcp" else None
            told.append((option, raw.getblocking()))

    async with listener, trio.open_nursery() as nursery:
        nursery.start_soon(listener.serve, handle)
        await trio.testing.wait_all_tasks_blocked()
        clients = [socket.socket(socket.AF_INET if kind == "tcp" else socket.AF_UNIX) for _ in range(3)]
        for client in clients:
            client.connect(str(path) if kind == "unix" else (LOOPBACK, listener.extra(SocketAttribute.local_port)))
        listener.retire()
    for client in clients:
        client.close()
    assert told == [(nodelay, False)] * 3


async def test_a_shortage_during_a_drain_delays_nothing_if_no_client_waits(
    faulty: FaultyAccept, quiet_clock: trio.abc.Clock
) -> None:
    server = Server([])
    async with trio.open_nursery() as nursery:
        await nursery.start(server.serve, await open_tcp_listener(LOOPBACK, 0))
        faulty.fail("EMFILE", FOR_EVER)
        await server.drain(60)
        assert trio.current_time() < 1


async def test_a_shortage_that_lasts_ends_with_the_grace(
    faulty: FaultyAccept, mock_clock: trio.testing.MockClock
) -> None:
    server = Server([])
    listener = await open_tcp_listener(LOOPBACK, 0)
    async with trio.open_nursery() as nursery:
        await nursery.start(server.serve, listener)
        await trio.testing.wait_all_tasks_blocked()
        faulty.fail("EMFILE", FOR_EVER)
        with connected(listener.extra(SocketAttribute.local_port)):
            ended = trio.Event()

            async def drain() -> None:
                await server.drain(10)
                ended.set()

            nursery.start_soon(drain)
            for _ in range(2):
                await trio.testing.wait_all_tasks_blocked(0.01)
                assert not ended.is_set()
                mock_clock.jump(5.1)
            await settles(ended.is_set, True, "drained")
