"""Accepting, and the errors of accept(2): those of one connection, those of the process, and those of the socket."""

import socket
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
import trio
import trio.testing
from anyio.abc import SocketAttribute

from echo.rpc import Server, open_channel, open_tcp_listener, open_unix_listener
from echo.transport import accepting
from echo.transport import listener as under_test
from tests.support.accepting import EXHAUSTED, FOR_EVER, GONE, FaultyAccept, connected, no_descriptors
from tests.support.leaks import no_leaks, settles
from tests.support.services import ECHO, BytesCodec, Run, unary
from tests.support.serving import LOOPBACK

CODEC = BytesCodec()
ERRORS = pytest.mark.parametrize("name", [*GONE, *EXHAUSTED])
BACKENDS = pytest.mark.parametrize("backend", ["trio", "asyncio"])


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> FaultyAccept:
    return FaultyAccept(monkeypatch)


@ERRORS
@BACKENDS
@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_a_connection_is_served_after_accept_has_failed(
    faulty: FaultyAccept, name: str, backend: str, kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(accepting, "RETRY_DELAY", 0.001)

    async def main() -> None:
        path = tmp_path / "echo.sock"
        listener = await (open_tcp_listener(LOOPBACK, 0) if kind == "tcp" else open_unix_listener(path))
        target = f"unix:{path}" if kind == "unix" else f"{LOOPBACK}:{listener.extra(SocketAttribute.local_port)}"
        async with anyio.create_task_group() as tasks:
            await tasks.start(Server([ECHO], codec=CODEC).serve, listener)
            faulty.fail(name)
            async with open_channel(target, codec=CODEC) as channel:
                assert await unary(channel, "One", b"hi") == b"hi"
            assert faulty.failed
            tasks.cancel_scope.cancel()

    anyio.run(main, backend=backend)


@BACKENDS
def test_a_broken_listening_socket_ends_the_server(faulty: FaultyAccept, backend: str) -> None:
    async def main() -> None:
        listener = await open_tcp_listener(LOOPBACK, 0)
        with pytest.raises(BaseExceptionGroup) as raised:
            async with anyio.create_task_group() as tasks:
                faulty.fail("EINVAL")
                tasks.start_soon(Server([]).serve, listener)
                with connected(listener.extra(SocketAttribute.local_port)):
                    await anyio.sleep_forever()
        assert [str(error) for error in leaves(raised.value)] == ["[Errno 22] Invalid argument"]

    anyio.run(main, backend=backend)


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_a_listening_socket_that_is_closed_ends_the_server(kind: str, run: Run, tmp_path: Path) -> None:
    async def test() -> None:
        listener = await (open_tcp_listener(LOOPBACK, 0) if kind == "tcp" else open_unix_listener(tmp_path / "socket"))
        with pytest.raises(BaseExceptionGroup) as raised:
            async with anyio.create_task_group() as tasks:
                await tasks.start(Server([]).serve, listener)
                await anyio.wait_all_tasks_blocked()
                await listener.aclose()
        assert [type(error) for error in leaves(raised.value)] == [anyio.ClosedResourceError]

    run(test)


def leaves(group: BaseException) -> Iterator[BaseException]:
    if isinstance(group, BaseExceptionGroup):
        for error in group.exceptions:
            yield from leaves(error)
    else:
        yield group


async def test_a_shortage_of_descriptors_is_waited_out(caplog: pytest.LogCaptureFixture) -> None:
    server = Server([ECHO], codec=CODEC)
    listener = await open_tcp_listener(LOOPBACK, 0)
    async with trio.open_nursery() as nursery:
        await nursery.start(server.serve, listener)
        with socket.socket() as client:
            client.setblocking(False)
            give_back = no_descriptors()
            try:
                client.connect_ex((LOOPBACK, listener.extra(SocketAttribute.local_port)))
                await settles(lambda: "Too many open files" in caplog.text, True, "said in the log")
                assert server.connections == 0
            finally:
                give_back()
            await settles(lambda: server.connections, 1, "connections of the server")
        nursery.cancel_scope.cancel()


async def test_a_shortage_costs_one_log_line_and_no_busy_loop(
    faulty: FaultyAccept, caplog: pytest.LogCaptureFixture, quiet_clock: trio.abc.Clock
) -> None:
    listener = await open_tcp_listener(LOOPBACK, 0)
    faulty.fail("EMFILE", FOR_EVER)
    async with trio.open_nursery() as nursery:
        await nursery.start(Server([]).serve, listener)
        with connected(listener.extra(SocketAttribute.local_port)):
            await trio.sleep(10)
        assert 50 < faulty.attempts < 150
        assert caplog.text.count("cannot accept connections") == 1
        nursery.cancel_scope.cancel()


async def test_every_shortage_is_in_the_log(
    faulty: FaultyAccept, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accepting, "RETRY_DELAY", 0.001)
    server = Server([])
    listener = await open_tcp_listener(LOOPBACK, 0)
    async with trio.open_nursery() as nursery:
        await nursery.start(server.serve, listener)
        for shortages in (1, 2):
            await trio.testing.wait_all_tasks_blocked()
            faulty.fail("EMFILE")
            with connected(listener.extra(SocketAttribute.local_port)):
                await settles(lambda: server.connections, 1, "connections of the server")
            assert caplog.text.count("cannot accept connections") == shortages
            await settles(lambda: server.connections, 0, "connections of the server")
        nursery.cancel_scope.cancel()


async def test_a_server_that_is_cancelled_closes_every_socket() -> None:
    async with no_leaks(), trio.open_nursery() as nursery:
        listeners = await anyio.create_tcp_listener(local_host="localhost")
        listeners.listeners = [*listeners.listeners, *(await anyio.create_tcp_listener(local_host=LOOPBACK)).listeners]
        assert len(listeners.listeners) > 1
        listener = under_test.StreamListener(listeners, None, 1)
        await nursery.start(Server([]).serve, listener)
        nursery.cancel_scope.cancel()
