"""Connections that a channel opens by itself: after a failure, and in place of those that a server drains."""

import math
from contextlib import suppress
from itertools import pairwise

import anyio
import pytest
import trio
from anyio.abc import ByteStream

from echo.rpc import GRPCError, Limits, Server, Status, open_channel_over
from echo.rpc.backoff import MAX_BACKOFF, MIN_BACKOFF
from echo.transport.memory import memory_stream_pair
from echo.wire.frames import GOAWAY, GOAWAY_HEAD, MAX_STREAM_ID, ErrorCode, frame
from tests.support.raw import SETTINGS
from tests.support.refusing import CODEC, network, refuse
from tests.support.services import ECHO, UNARY, BytesStream, Service, unary


async def test_attempts_to_connect_back_off_until_one_succeeds(autojump_clock: trio.abc.Clock) -> None:
    attempts: list[float] = []
    up = False
    server = Server([ECHO], codec=CODEC)
    async with trio.open_nursery() as nursery:

        async def dial() -> ByteStream:
            attempts.append(trio.current_time())
            if not up:
                raise OSError("nobody there")
            ours, theirs = memory_stream_pair()
            nursery.start_soon(server.serve_connection, theirs)
            return ours

        async with open_channel_over(dial, "memory", codec=CODEC) as channel:
            end = trio.current_time() + 60
            while trio.current_time() < end:
                with pytest.raises(GRPCError, match="nobody there"):
                    await unary(channel, "One")
                await trio.sleep(0.01)
            gaps = [later - earlier for earlier, later in pairwise(attempts)]
            assert MIN_BACKOFF * 0.8 <= gaps[0] <= MIN_BACKOFF * 1.2 + 0.02
            assert all(MAX_BACKOFF * 0.8 <= gap <= MAX_BACKOFF * 1.2 + 0.02 for gap in gaps[10:])
            assert len(set(gaps[10:])) > 1
            up = True
            await trio.sleep(MAX_BACKOFF * 1.2)
            await unary(channel, "One")
            await server.drain(1)
            up = False
            server = Server([ECHO], codec=CODEC)
            attempts.clear()
            for _ in range(20):
                with pytest.raises(GRPCError):
                    await unary(channel, "One")
                await trio.sleep(0.01)
            assert attempts[1] - attempts[0] <= MIN_BACKOFF * 1.2 + 0.02


async def drain_at_once(stream: ByteStream) -> None:
    """A server that sends GOAWAY right after its SETTINGS, and closes when the client does."""
    async with stream:
        await stream.send(SETTINGS + frame(GOAWAY, 0, 0, GOAWAY_HEAD.pack(MAX_STREAM_ID, ErrorCode.NO_ERROR)))
        with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
            while True:
                await stream.receive()


async def test_a_call_survives_a_server_that_drains_right_after_the_connection_was_made() -> None:
    server = Server([ECHO], codec=CODEC)
    servers = [drain_at_once, server.serve_connection]
    async with trio.open_nursery() as nursery:

        async def dial() -> ByteStream:
            ours, theirs = memory_stream_pair()
            nursery.start_soon(servers.pop(0), theirs)
            return ours

        async with open_channel_over(dial, "memory", codec=CODEC) as channel:
            with trio.fail_after(30):
                await unary(channel, "One")
            assert not servers


async def test_a_call_fails_if_the_server_drains_every_new_connection() -> None:
    async with trio.open_nursery() as nursery:

        async def dial() -> ByteStream:
            ours, theirs = memory_stream_pair()
            nursery.start_soon(drain_at_once, theirs)
            return ours

        async with open_channel_over(dial, "memory", codec=CODEC) as channel:
            with trio.fail_after(30), pytest.raises(GRPCError, match="the server is draining") as raised:
                await unary(channel, "One")
            assert raised.value.status is Status.UNAVAILABLE


async def test_a_connection_without_calls_is_drained_after_a_while(autojump_clock: trio.abc.Clock) -> None:
    async def slow(stream: BytesStream) -> None:
        await stream.recv_message()
        await trio.sleep(100)
        await stream.send_message(b"done")

    server = Server(
        [ECHO, Service(Slow=(UNARY, slow))], codec=CODEC, limits=Limits(max_connection_idle=30, min_ping_interval=0)
    )
    async with network(refuse, 0, server=server) as (channel, _):
        assert await unary(channel, "Slow") == b"done"
        await trio.sleep(29)
        assert server.connections == 1
        await unary(channel, "One")
        await trio.sleep(29)
        assert server.connections == 1
        await trio.sleep(40)
        assert server.connections == 0
        await unary(channel, "One")


async def test_a_connection_that_is_old_is_drained_and_its_calls_finish(autojump_clock: trio.abc.Clock) -> None:
    async def slow(stream: BytesStream) -> None:
        await trio.sleep(float(await stream.recv_message() or 0))
        await stream.send_message(b"done")

    limits = Limits(max_connection_age=100, max_connection_age_grace=50)
    server = Server([Service(Slow=(UNARY, slow))], codec=CODEC, limits=limits)
    async with network(refuse, 0, server=server) as (channel, _), trio.open_nursery() as nursery:
        finished: list[float] = []

        async def one(seconds: float) -> None:
            try:
                await unary(channel, "Slow", b"%d" % seconds)
            except GRPCError as error:
                assert error.status is Status.UNAVAILABLE
                finished.append(-1)
            else:
                finished.append(seconds)

        nursery.start_soon(one, 120)
        nursery.start_soon(one, 1_000)
        await trio.sleep(115)
        assert await unary(channel, "Slow", b"1") == b"done"
        assert server.connections == 2
        await trio.sleep(60)
        assert sorted(finished) == [-1, 120]
        assert math.isfinite(trio.current_time())
