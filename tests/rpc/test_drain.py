"""A server that drains: running calls end in its grace or are cancelled, and the channel connects again."""

import anyio
import pytest
import trio
from anyio.abc import ByteStream, SocketAttribute

from echo.rpc import Server, Status, open_channel, open_channel_over, open_tcp_listener
from echo.rpc.testing import memory_channel_to
from echo.transport.memory import memory_stream_pair
from tests.support.services import CODEC, ECHO, UNARY, BytesStream, Service, on_both_loops, unary
from tests.support.serving import serving
from tests.support.waiting import Handler, outcome


@on_both_loops
async def test_a_drain_lets_running_calls_finish_and_takes_no_new_ones() -> None:
    handler = Handler()
    server = Server([Service(Wait=(UNARY, handler))], codec=CODEC)
    outcomes: list[Status | bytes] = []
    async with serving(server) as port, open_channel("127.0.0.1", port, codec=CODEC) as channel:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(outcome, channel, "Wait", outcomes)
            await handler.started.wait()
            tasks.start_soon(server.drain, 5)
            await anyio.wait_all_tasks_blocked()
            late: list[Status | bytes] = []
            await outcome(channel, "Wait", late)
            assert late == [Status.UNAVAILABLE]
            handler.release.set()
        assert outcomes == [b"done"]
        assert (server.connections, server.calls) == (0, 0)


@on_both_loops
async def test_a_drain_whose_grace_is_over_cancels_with_unavailable() -> None:
    handler = Handler()
    server = Server([Service(Wait=(UNARY, handler))], codec=CODEC)
    outcomes: list[Status | bytes] = []
    async with memory_channel_to(server, codec=CODEC) as channel, anyio.create_task_group() as tasks:
        tasks.start_soon(outcome, channel, "Wait", outcomes)
        await handler.started.wait()
        await server.drain(0.01)
        assert handler.cancelled.is_set()
        assert server.connections == 0
    assert outcomes == [Status.UNAVAILABLE]


async def test_a_drain_waits_no_longer_for_handlers_that_ignore_it(autojump_clock: trio.abc.Clock) -> None:
    started = trio.Event()

    async def stubborn(stream: BytesStream) -> None:
        started.set()
        with trio.move_on_after(30) as scope:
            scope.shield = True
            await trio.sleep_forever()

    server = Server([Service(Stubborn=(UNARY, stubborn))], codec=CODEC)
    async with memory_channel_to(server, codec=CODEC) as channel, trio.open_nursery() as nursery:
        outcomes: list[Status | bytes] = []
        nursery.start_soon(outcome, channel, "Stubborn", outcomes)
        await started.wait()
        before = trio.current_time()
        await server.drain(10)
        # A shielded task cannot be ended, but its client need not wait for it.
        assert trio.current_time() - before == pytest.approx(30)
    assert outcomes == [Status.UNAVAILABLE]


@on_both_loops
async def test_draining_without_connections_ends_serving() -> None:
    server = Server([ECHO], codec=CODEC)
    async with anyio.create_task_group() as tasks:
        listener = await open_tcp_listener("127.0.0.1", 0)
        port = listener.extra(SocketAttribute.local_port)
        await tasks.start(server.serve, listener)
        await server.drain(1)
    with pytest.raises(OSError, match=r".+"):
        await anyio.connect_tcp("127.0.0.1", port)


@on_both_loops
async def test_the_channel_connects_again_after_a_drain() -> None:
    servers = [Server([ECHO], codec=CODEC), Server([ECHO], codec=CODEC)]
    async with anyio.create_task_group() as connections:

        async def dial() -> ByteStream:
            ours, theirs = memory_stream_pair()
            connections.start_soon(servers[0].serve_connection, theirs)
            return ours

        async with open_channel_over(dial, "memory", codec=CODEC) as channel:
            await unary(channel, "One")
            await servers.pop(0).drain(1)
            await anyio.wait_all_tasks_blocked()
            assert channel.connections == 0
            await unary(channel, "One")
            assert channel.connections == 1
