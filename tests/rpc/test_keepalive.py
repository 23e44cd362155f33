"""Keepalive: a peer that is gone is found, one that is there is kept, and pings are as rare as the server wants."""

import contextlib

import anyio
import pytest
import trio
from anyio.abc import ByteStream

from echo.rpc import Keepalive, Limits, Server, Status, open_channel_over
from echo.transport.memory import memory_stream_pair
from tests.support import http2_frames
from tests.support.services import CODEC, ECHO, UNARY, BytesStream, Service
from tests.support.waiting import Handler, outcome


@pytest.mark.parametrize("who", ["client", "server"])
async def test_keepalive_finds_a_peer_that_is_gone(who: str, autojump_clock: trio.abc.Clock) -> None:
    """The network between them swallows everything after the first call."""
    handler = Handler()
    keepalive = Keepalive(time=10, timeout=5)
    server = Server(
        [Service(Wait=(UNARY, handler)), ECHO],
        codec=CODEC,
        keepalive=keepalive if who == "server" else None,
        limits=Limits(min_ping_interval=5),
    )
    async with trio.open_nursery() as network:
        hole = trio.CancelScope()

        async def carry(source: ByteStream, target: ByteStream) -> None:
            with contextlib.suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):
                async with source, target:
                    async for data in source:
                        if not hole.cancel_called:
                            await target.send(data)

        async def dial() -> ByteStream:
            ours, near = memory_stream_pair()
            far, theirs = memory_stream_pair()
            network.start_soon(carry, near, far)
            network.start_soon(carry, far, near)
            network.start_soon(server.serve_connection, theirs)
            return ours

        async with open_channel_over(
            dial, "memory", codec=CODEC, keepalive=keepalive if who == "client" else None
        ) as channel:
            outcomes: list[Status | bytes] = []
            async with trio.open_nursery() as nursery:
                nursery.start_soon(outcome, channel, "Wait", outcomes)
                await handler.started.wait()
                await trio.sleep(100)  # An answered PING now and then keeps the connection.
                assert server.connections == 1
                assert not outcomes
                hole.cancel()
                before = trio.current_time()
                if who == "server":
                    await handler.cancelled.wait()
                    assert trio.current_time() - before <= 15
                    nursery.cancel_scope.cancel()
            if who == "client":
                assert trio.current_time() - before <= 15
                assert outcomes == [Status.UNAVAILABLE]
        network.cancel_scope.cancel()


async def test_keepalive_keeps_a_peer_that_sends_data_but_answers_no_ping(autojump_clock: trio.abc.Clock) -> None:
    server = Server([ECHO], codec=CODEC, keepalive=Keepalive(time=10, timeout=5))
    ours, theirs = memory_stream_pair()
    pings = 0

    async def count_pings() -> None:
        nonlocal pings
        async for data in ours:
            pings += sum(frame.kind == http2_frames.PING for frame in http2_frames.parse(data))

    async with ours, trio.open_nursery() as nursery:
        nursery.start_soon(server.serve_connection, theirs)
        nursery.start_soon(count_pings)
        await ours.send(http2_frames.PREFACE + http2_frames.settings())
        for _ in range(10):
            await trio.sleep(12)  # A PING has come after ten seconds; its answer is due after fifteen.
            await ours.send(http2_frames.window_update(0, 1))
        assert pings == 10
        assert server.connections == 1
        await trio.sleep(15.1)
        assert server.connections == 0


async def test_a_client_that_is_told_too_many_pings_pings_less_often(autojump_clock: trio.abc.Clock) -> None:
    release = trio.Event()

    async def wait(stream: BytesStream) -> None:
        await release.wait()
        await stream.send_message(b"done")

    server = Server([Service(Wait=(UNARY, wait))], codec=CODEC, limits=Limits(min_ping_interval=50))
    async with trio.open_nursery() as connections:

        async def dial() -> ByteStream:
            ours, theirs = memory_stream_pair()
            connections.start_soon(server.serve_connection, theirs)
            return ours

        async with open_channel_over(dial, "memory", codec=CODEC, keepalive=Keepalive(time=10)) as channel:
            outcomes: list[Status | bytes] = []
            for _ in range(3):
                await outcome(channel, "Wait", outcomes)  # Intervals of 10, 20 and 40 seconds.
            assert outcomes == [Status.UNAVAILABLE] * 3
            async with trio.open_nursery() as nursery:
                nursery.start_soon(outcome, channel, "Wait", outcomes)
                await trio.sleep(1_000)  # At 80 seconds the server does not mind.
                release.set()
            assert outcomes[-1] == b"done"
